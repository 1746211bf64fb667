# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The spine end to end on a place without networks: it finds itself, and says when it cannot."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from made_ground import STEP_NS, StraightDown, circle, motion, seen

from geoloc_ros.config import Config
from geoloc_ros.datatypes import CameraFrame, Image, PoseEstimate, Reason, Status
from geoloc_ros.encoders.package import Calibration
from geoloc_ros.errors import ImageDecodeError
from geoloc_ros.geo import se2
from geoloc_ros.pipeline import GeoLocalizer
from geoloc_ros.tracker import Tracker


def drive(place, poses, config=None, spoil=None, seed=1) -> list[PoseEstimate]:
    rng = np.random.default_rng(seed)
    localizer = place.localizer(config)
    out = []
    for i, pose in enumerate(poses):
        stamp = (i + 1) * STEP_NS
        frame = place.frame(stamp, pose, rng)
        step = motion(poses[max(i - 1, 0)], pose, stamp, rng)
        out.append(localizer.localize(spoil(i, frame) if spoil else frame, step))
    return out


def errors(estimates, poses) -> np.ndarray:
    delta = np.array([e.pose for e in estimates]) - poses
    delta[:, 2] = se2.wrap_angle(delta[:, 2])
    return delta


def test_it_finds_itself_and_its_covariance_holds(place) -> None:
    poses = circle(200)
    estimates = drive(place, poses)
    localised = np.array([e.status is Status.LOCALISED for e in estimates])
    assert localised[60:].mean() > 0.9
    delta = errors(estimates, poses)[localised]
    assert np.median(np.hypot(delta[:, 0], delta[:, 1])) < 1.5
    covs = np.array([e.cov_xy_yaw for e in estimates])[localised]
    nees = np.einsum("ni,ni->n", delta, np.linalg.solve(covs, delta[..., None])[..., 0])
    assert np.mean(nees < 7.81) > 0.9
    lat, lon = place.ortho.frame.to_latlon(estimates[-1].pose[None, :2])
    assert estimates[-1].position.lat_deg == pytest.approx(lat[0])
    assert estimates[-1].position.lon_deg == pytest.approx(lon[0])


def test_a_model_without_calibration_is_named_when_it_starts(place, caplog) -> None:
    package = dataclasses.replace(place.package, calibration=Calibration.none())
    Tracker(Config(), place.package, place.encoder, place.index)
    assert not caplog.records
    Tracker(Config(), package, place.encoder, place.index)
    assert "has no calibration: no place is believed" in caplog.text
    assert "geoloc calibrate" in caplog.text


def test_same_seed_same_bytes_other_seed_other_bytes(place, small) -> None:
    poses = circle(60)
    first, again = drive(place, poses, small), drive(place, poses, small)
    other = drive(place, poses, dataclasses.replace(small, random_seed=9))

    def bytes_of(estimates) -> bytes:
        return b"".join(e.pose.tobytes() + e.cov_xy_yaw.tobytes() for e in estimates)

    assert bytes_of(first) == bytes_of(again)
    assert bytes_of(first) != bytes_of(other)


def test_every_published_covariance_is_sound(place, small) -> None:
    for estimate in drive(place, circle(80), small):
        if np.isfinite(estimate.pose).all():
            assert np.isfinite(estimate.cov_xy_yaw).all()
            assert np.allclose(estimate.cov_xy_yaw, estimate.cov_xy_yaw.T)
            assert np.linalg.eigvalsh(estimate.cov_xy_yaw).min() > 0
        else:
            assert estimate.status in (Status.UNINITIALISED, Status.SEARCHING, Status.LOST)


def _undecodable(_, frame: CameraFrame) -> CameraFrame:
    def decode() -> Image:
        raise ImageDecodeError("no JPEG")

    return CameraFrame(frame.stamp_ns, decode)


def _black(_, frame: CameraFrame) -> CameraFrame:
    return seen(frame.stamp_ns, np.zeros_like(frame.rgb))


def _resized(_, frame: CameraFrame) -> CameraFrame:
    return seen(frame.stamp_ns, np.repeat(frame.rgb, 2, axis=1))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_undecodable, Reason.BAD_IMAGE),
        (_black, Reason.BAD_IMAGE),
        (_resized, Reason.FRAME_SIZE_CHANGED),
    ],
)
def test_frames_that_show_nothing_are_named_and_withdraw_localised(place, spoil, reason) -> None:
    poses = circle(200)
    estimates = drive(place, poses, spoil=lambda i, f: spoil(i, f) if i >= 120 else f)
    assert estimates[119].status is Status.LOCALISED
    assert all(reason in e.reasons for e in estimates[121:])
    blind_m = 1.5 * np.arange(80)
    late = [e.status for e, d in zip(estimates[120:], blind_m, strict=True) if d > 60]
    assert late
    assert Status.LOCALISED not in late


def test_only_frames_that_are_weighed_are_decoded(place) -> None:
    decoded = []

    def count(i, frame):
        return CameraFrame(frame.stamp_ns, lambda: decoded.append(i) or frame.rgb)

    poses = np.repeat(circle(20), 3, axis=0)  # stands still for two frames of three
    drive(place, poses, spoil=count)
    assert decoded == list(range(0, 60, 3))


def test_a_camera_that_hangs_is_named_and_withdraws_localised(place) -> None:
    poses = circle(200)
    kept = {}

    def hang(i, frame):
        kept.setdefault("frame", frame) if i == 119 else None
        return seen(frame.stamp_ns, kept["frame"].rgb) if i >= 120 else frame

    estimates = drive(place, poses, spoil=hang)
    assert estimates[119].status is Status.LOCALISED
    assert all(Reason.FROZEN_VIEW in e.reasons for e in estimates[130:])
    assert Status.LOCALISED not in {e.status for e in estimates[160:]}


def test_nothing_but_bad_frames_is_uninitialised(place) -> None:
    estimates = drive(place, circle(20), spoil=_undecodable)
    assert {e.status for e in estimates} == {Status.UNINITIALISED}
    assert all(Reason.NO_FRAME_YET in e.reasons for e in estimates)
    assert estimates[-1].position is None


def test_a_frame_is_decoded_once_and_whole_if_somebody_looked_at_it(place):
    calls = []
    rgb = np.zeros((32, 32, 3), np.uint8)

    def frame():
        return CameraFrame(
            0,
            lambda: calls.append(1) or rgb,
            decode_reduced=lambda by: calls.append(by) or (rgb[::by, ::by], by),
        )

    assert frame().reduced(2)[0].shape == (16, 16, 3)
    assert frame().reduced(1)[1] == 1
    looked_at = frame()
    assert looked_at.rgb is rgb
    assert looked_at.reduced(2) == (rgb, 1)
    assert calls == [2, 1, 1]
    broken = CameraFrame(
        0, lambda: rgb, decode_reduced=lambda by: _undecodable(by, frame()).decode()
    )
    assert broken.reduced(2) == (None, 1)


def test_views_are_laid_out_on_what_stands_on_the_ground(place, small) -> None:
    class Airborne(StraightDown):
        needs_height = True
        heights: ClassVar[list[float]] = []

        def build(self, rgb, height_m=None, attitude=None, reduction=1):
            self.heights.append(height_m)
            return super().build(rgb, height_m, attitude, reduction)

    relief = dataclasses.replace(small, view=dataclasses.replace(small.view, relief_m=4.0))
    poses, rng = circle(3), np.random.default_rng(1)
    reasons = []
    for pose, height_m in zip(poses, (50.0, 5.9, None), strict=True):
        localizer = GeoLocalizer(
            relief, place.package, place.encoder, place.index, {"": Airborne()}
        )
        frame = dataclasses.replace(place.frame(STEP_NS, pose, rng), height_m=height_m)
        still = motion(pose, pose, STEP_NS, rng)
        reasons.append(Reason.NO_HEIGHT in localizer.localize(frame, still).reasons)
    assert Airborne.heights == [46.0]
    assert reasons == [False, True, True]
