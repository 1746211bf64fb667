# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Message packages that may not be there: our own, if it was not built, and geographic_msgs.

Without them the standard topics still work; the node says once what is missing.
"""

from __future__ import annotations

import dataclasses
import importlib
from types import ModuleType
from typing import Any

import numpy as np

from geoloc_ros import messages
from geoloc_ros.datatypes import Candidates, FloatArray, GeoPrior, PoseEstimate, Status
from geoloc_ros.geo.far import far_xy
from geoloc_ros.geo.wgs84 import LocalFrame
from geoloc_ros.ros.conversions import covariance_6x6, header, planar_pose
from geoloc_ros.ros.scenes import Author, Scene
from geoloc_ros.vlm.answerer import Answer, Reply
from geoloc_ros.vlm.process import Asked

STATES = {status: number for number, status in enumerate(Status)}


def optional(name: str) -> ModuleType | None:
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


geoloc_msgs = optional("geoloc_msgs.msg")
geoloc_srvs = optional("geoloc_msgs.srv")
geographic_msgs = optional("geographic_msgs.msg")


def missing() -> list[str]:
    """One line per package that is not installed."""
    lines = []
    if geoloc_msgs is None:
        lines.append(
            "geoloc_msgs is not built: no ~/status, ~/candidates, ~/load_index, ~/from_ll, "
            "~/to_ll, no priors and no scenes; build ros2_ws with colcon and source it"
        )
    if geographic_msgs is None:
        lines.append("geographic_msgs is not installed: no ~/geopose")
    return lines


def status_message(
    estimate: PoseEstimate, map_frame: str, fix_age_s: float, counts: dict[str, int]
) -> object:
    """A geoloc_msgs/LocalizationStatus."""
    assert geoloc_msgs is not None  # noqa: S101 - callers have asked
    return geoloc_msgs.LocalizationStatus(
        header=header(estimate.stamp_ns, map_frame),
        state=STATES[estimate.status],
        reasons=[reason.value for reason in estimate.reasons],
        fix_age_s=fix_age_s,
        similarity=estimate.similarity,
        spread_m=estimate.spread_m,
        **counts,
    )


def candidates_message(
    candidates: Candidates, stamp_ns: int, map_frame: str, plane: LocalFrame
) -> object:
    """A geoloc_msgs/CandidateArray of vehicle poses."""
    assert geoloc_msgs is not None  # noqa: S101 - callers have asked
    message = geoloc_msgs.CandidateArray(header=header(stamp_ns, map_frame))
    if not len(candidates):
        return message
    lat_deg, lon_deg = plane.to_latlon(candidates.poses[:, :2])
    message.candidates = [
        geoloc_msgs.Candidate(
            pose=planar_pose(pose),
            latitude=float(lat),
            longitude=float(lon),
            similarity=float(similarity),
            entry_id=int(entry),
        )
        for pose, lat, lon, similarity, entry in zip(
            candidates.poses,
            lat_deg,
            lon_deg,
            candidates.similarity,
            candidates.entry_ids,
            strict=True,
        )
    ]
    return message


def geopose_message(estimate: PoseEstimate, map_frame: str, altitude_m: float) -> object:
    """A geographic_msgs/GeoPoseWithCovarianceStamped of an estimate that holds a place."""
    assert geographic_msgs is not None  # noqa: S101 - callers have asked
    message = geographic_msgs.GeoPoseWithCovarianceStamped(
        header=header(estimate.stamp_ns, map_frame)
    )
    if estimate.position is not None:
        message.pose.pose.position.latitude = estimate.position.lat_deg
        message.pose.pose.position.longitude = estimate.position.lon_deg
    message.pose.pose.position.altitude = altitude_m
    message.pose.pose.orientation = planar_pose(estimate.pose).orientation
    message.pose.covariance = covariance_6x6(estimate.cov_xy_yaw)
    return message


def prior_of(message: object, stamp_ns: int, plane: LocalFrame) -> GeoPrior:
    """The prior of a geoloc_msgs/GeoPrior, in a plane; components may lie anywhere."""
    parts = message.components  # type: ignore[attr-defined]
    lat = [part.latitude for part in parts]
    lon = [part.longitude for part in parts]
    means: FloatArray = np.zeros((0, 3))
    if parts:
        means = np.column_stack([far_xy(plane, lat, lon), [part.yaw for part in parts]])
    covs = np.array([np.asarray(part.covariance).reshape(3, 3) for part in parts])
    covs = 0.5 * (covs + np.swapaxes(covs, 1, 2)) if parts else covs
    shares = np.array([part.share for part in parts], dtype=np.float64)
    source = str(message.source)  # type: ignore[attr-defined]
    return GeoPrior(stamp_ns, means, covs, shares, source or "prior")


def scene_message(header: object, camera: str, author: Author, asked: Asked) -> object:
    """A geoloc_msgs/SceneDescription: what became of a frame that somebody was asked about."""
    assert geoloc_msgs is not None  # noqa: S101 - callers have asked
    answers = [
        geoloc_msgs.Answer(
            question=answer.question,
            answer=answer.answer,
            probability=answer.probability,
            probabilities=answer.probabilities,
        )
        for answer in asked.reply.answers
    ]
    return geoloc_msgs.SceneDescription(
        header=header,
        camera=camera,
        outcome=asked.outcome.value,
        latency_s=asked.latency_s,
        answers=answers,
        **dataclasses.asdict(author),
    )


def scene_of(message: Any) -> Scene:  # noqa: ANN401 - its class is there where it was built
    """What a geoloc_msgs/SceneDescription says; nothing of it is checked."""
    return Scene(
        stamp_ns=messages.stamp_ns(message, 0),
        camera=message.camera,
        author=Author(
            vlm=message.vlm,
            vlm_sha256=message.vlm_sha256,
            questions_version=message.questions_version,
            questions_sha256=message.questions_sha256,
        ),
        reply=Reply(
            tuple(
                Answer(a.question, a.answer, a.probability, tuple(a.probabilities))
                for a in message.answers
            )
        ),
    )
