# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""When the localizer says WARN and ERROR on /diagnostics.

| component | WARN | ERROR |
|---|---|---|
| localizer | not LOCALISED, or with reasons; unknown parameters | a transition failed; LOST |
| frames | more than half dropped or refused | no usable frame for `stale_after_s` |
| camera NAME | missing from the latest panorama | no CameraInfo, no mount, or unusable ones |
| index | – | – |
| encoder | a back end failed while it ran, or the one that is named does not work | – |
| transform | – | another node publishes map to odom |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoloc_ros.datatypes import Status
from geoloc_ros.encoders.backends.live import BackendState, LiveEncoder
from geoloc_ros.ros.diagnostics import ERROR, WARN, Report
from geoloc_ros.ros.inputs import camera_names
from geoloc_ros.ros.live import NS, Live

if TYPE_CHECKING:
    from geoloc_ros.ros.localizer import Localizer

FOREIGN_FOR_S = 5.0
EXPLAINED = {
    "stale_frame": "no usable image; images that are refused as too old are often recorded ones: "
    "play them with --clock and set use_sim_time",
    "no_camera_info": "no CameraInfo has arrived",
    "no_mount": "the camera is not in the transform tree",
    "bad_camera_info": "the CameraInfo describes no camera",
}


def reports(node: Localizer) -> list[Report]:
    """The health of every component of the localizer."""
    live = node.live
    found = [_localizer(node, live)]
    if live is not None:
        found.append(_frames(node, live))
        found += [_camera(name, live) for name in camera_names(node.node_config.cameras)]
        if node.node_config.publish_tf:
            found.append(_transform(node))
    if node.loaded is not None:
        index = node.loaded.index
        report = Report("index")
        report.values |= {"entries": len(index), "shards": len(index.manifest.shards)}
        report.values |= {"model": node.loaded.package.name}
        found.append(report)
        if isinstance(node.loaded.encoder, LiveEncoder):
            found.append(_encoder(node.loaded.encoder.state))
    return found


def _localizer(node: Localizer, live: Live | None) -> Report:
    report = Report("localizer", message=node.progress)
    if node.progress.startswith("cannot"):
        report.worsen(ERROR, node.progress)
    if live is not None:
        now_ns = node.get_clock().now().nanoseconds
        estimate = live.status_now(now_ns) or live.said.estimate
        status = Status.UNINITIALISED if estimate is None else estimate.status
        reasons = [] if estimate is None else [reason.value for reason in estimate.reasons]
        words = ", ".join([status.value, *reasons])
        report.message = words
        if status is Status.LOST:
            report.worsen(ERROR, words)
        elif status is not Status.LOCALISED or reasons:
            report.worsen(WARN, words)
        if estimate is not None:
            report.values |= {"similarity": estimate.similarity, "spread_m": estimate.spread_m}
            report.values["coverage"] = live.said.coverage
    for line in node.unknown:
        report.worsen(WARN, line)
    return report


def _frames(node: Localizer, live: Live) -> Report:
    counts = live.counts()
    report = Report("frames", values=dict(counts))
    report.values |= {
        "rate_hz": node.pace.rate_hz,
        "latency_p50_ms": node.pace.took_ms(50),
        "latency_p95_ms": node.pace.took_ms(95),
    }
    report.values |= {f"{k}_cpu_s": v * 1e-3 for k, v in dict(live.stages.spent_ms).items()}
    report.values |= {f"refused_{reason.value}": n for reason, n in live.refused.items()}
    reasons = live.reasons_now(node.get_clock().now().nanoseconds)
    if reasons:
        report.worsen(ERROR, "; ".join(EXPLAINED.get(r.value, r.value) for r in reasons))
    lost = counts["frames_dropped"] + counts["frames_refused"]
    if counts["frames_received"] > 20 and 2 * lost > counts["frames_received"]:
        report.worsen(WARN, f"{lost} of {counts['frames_received']} frames were not used")
    return report


def _camera(name: str, live: Live) -> Report:
    report = Report(f"camera {name}".strip())
    fault = live.cameras.faults.get(name)
    if fault is not None:
        report.worsen(ERROR, fault)
    elif live.cameras.waits_for_info(name):
        report.worsen(ERROR, "no CameraInfo has arrived")
    if live.rig is not None:
        report.values |= {"panoramas": live.rig.shots, "missing": live.rig.missing[name]}
        if name in live.rig.absent:
            report.worsen(WARN, "missing from the latest panorama: no image of its moment came")
    return report


def _encoder(state: BackendState) -> Report:
    words = [state.in_use, *([f"building {state.building}"] if state.building else [])]
    report = Report("encoder", message="; ".join(words), values={"backend": state.in_use})
    report.values |= {"building": state.building} if state.building else {}
    report.values |= {f"not {name}": why for name, why in state.rejected.items()}
    if state.fault:
        report.worsen(WARN, f"{state.in_use} in place of {state.fault}")
    return report


def _transform(node: Localizer) -> Report:
    report = Report("transform")
    foreign_ns = None if node.inputs is None else node.inputs.foreign_tf_ns
    now_ns = node.get_clock().now().nanoseconds
    if foreign_ns is not None and abs(now_ns - foreign_ns) < FOREIGN_FOR_S * NS:
        config = node.node_config
        report.worsen(
            ERROR,
            f"another node publishes {config.map_frame} to {config.odom_frame}, too; set "
            "publish_tf to false in all but one",
        )
    return report
