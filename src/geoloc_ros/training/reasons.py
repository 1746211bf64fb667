# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Why frames of a drive are not used, in words, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping

from geoloc_ros.training.drive_poses import MAX_YAW_OFF_DEG, NEAREST_FIX_S, ODOMETRY_GAP_S, WIDER
from geoloc_ros.training.fixes import Gate, advice

#: what became of a frame that was not kept, in words
WORDS = {
    "standing": "less than --every from the last one kept",
    "seen_often": "the place has been seen --per-place times",
    "no_trusted_fix": f"no trusted fix within {NEAREST_FIX_S:g} s, or none before or none after",
    "contradicted": "fixes and odometry contradict each other nearby",
    "heading_contradicted": f"the pose's heading is more than {MAX_YAW_OFF_DEG:g} degrees, and "
    "three deviations, off the one that fixes and odometry give",
    "heading_unsure": "the fixes do not tell the heading well enough",
    "too_few_fixes": f"fewer than four trusted fixes within {WIDER[-1]:g} times --window",
    "no_odometry": "no odometry at that time",
    "no_height": "no height above ground at that time",
    "frame_size_changed": "the picture has another size than its CameraInfo says",
    "mostly_unseen": "the camera sees less of the view than view.min_valid_share",
    "outside_imagery": "the imagery does not cover its crop",
    "blank": "the view shows nothing",
    "same_picture": "the same pixels as the one before",
    "unreadable": "the picture cannot be decoded",
}

_ADVICE = {
    "standing": "the vehicle hardly moves: lower --every",
    "seen_often": "raise --per-place",
    "no_trusted_fix": "raise --max-sigma ({max_sigma_m:g} m now), and see that camera and "
    "receiver use one clock",
    "contradicted": "fixes jump or odometry slips: choose other odometry (--odometry-topic), or "
    "lower --window ({window_m:g} m now)",
    "heading_contradicted": "yaw of a pose must be counter-clockwise from east; give the "
    "NavSatFix beside it as --truth",
    "heading_unsure": "raise --window ({window_m:g} m now, widened up to {widest_m:g} m)",
    "too_few_fixes": "raise --window ({window_m:g} m now, widened up to {widest_m:g} m)",
    "no_odometry": f"record odometry with pauses of at most {ODOMETRY_GAP_S:g} s, by the clock of "
    "the camera",
    "no_height": "record the height above ground as a Range (--set input.height_topic=TOPIC)",
    "frame_size_changed": "name the CameraInfo of these pictures "
    "(--set input.camera_info_topic=TOPIC)",
    "mostly_unseen": "check the camera's mount on /tf_static, or lower --set view.min_valid_share",
    "outside_imagery": "give --imagery that reaches further than the drive, all around",
    "blank": "look at its pictures: the lens may be covered",
    "same_picture": "look at its pictures: the camera may be stuck",
    "unreadable": "look at its pictures, or choose others (--image-topic)",
}


def frames_advice(frames: Mapping[str, int], gate: Gate) -> str:
    """Counts of frames by what became of them, and what to do about the commonest reason."""
    return advice(
        frames,
        _ADVICE,
        max_sigma_m=gate.max_sigma_m,
        window_m=gate.window_m,
        widest_m=gate.window_m * WIDER[-1],
    )
