# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A rig followed live: its images of one moment are one frame, whichever of them come."""

from types import SimpleNamespace as Message

import numpy as np
import pytest
from live_vehicle import header, quaternion
from made_ride import CAMERA, NAMES, make, moments, mounts

from geoloc_ros.config import Config, SearchConfig
from geoloc_ros.datatypes import Reason, Status
from geoloc_ros.geo.rotations import quat_xyzw_from_matrix
from geoloc_ros.ros.frame_recorder import FrameRecorder
from geoloc_ros.ros.live import Live
from geoloc_ros.ros.loading import load
from geoloc_ros.ros.node_config import LocalizerConfig

MS = 1_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    ride = make(tmp_path_factory.mktemp("ride"))
    loaded = load(str(ride.index), str(ride.model), 1, lambda line: None, SearchConfig())
    return ride, loaded, list(moments(ride))


class Rider:
    """A vehicle with a rig that speaks to a Live in plain objects."""

    def __init__(self, world) -> None:
        self.ride, loaded, self.moments = world
        config = LocalizerConfig(cameras=", ".join(NAMES))
        self.live = Live(config, Config(), loaded, loaded.index.manifest.frame)
        self.concluded = []
        for name in NAMES:
            self.live.cameras.expect(name)

    def meet(self, names=NAMES) -> None:
        for name in names:
            self.live.camera_info(
                name,
                Message(
                    header=header(1, name), width=CAMERA.width, height=CAMERA.height,
                    distortion_model="plumb_bob", d=np.zeros(5), k=CAMERA.K.ravel(),
                    p=np.zeros(12), r=np.eye(3).ravel(),
                ),
            )  # fmt: skip
        self.live.transforms(Message(transforms=[self.transform(name) for name in names]))

    def transform(self, name: str) -> Message:
        mount = mounts()[name]
        x, y, z = mount[:3, 3]
        turn = quaternion(*quat_xyzw_from_matrix(mount[:3, :3]))
        placed = Message(rotation=turn, translation=Message(x=x, y=y, z=z))
        return Message(header=header(0, "base_link"), child_frame_id=name, transform=placed)

    def drive(self, numbers, names=NAMES, late_ms=None) -> None:
        for number in numbers:
            moment = self.moments[number]
            stamp = moment.stamp_ns
            x, y, yaw = moment.odometry
            turn = quaternion(0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
            pose = Message(position=Message(x=x, y=y, z=0.0), orientation=turn)
            twist = Message(linear=Message(x=15.0), angular=Message(z=0.2))
            odometry = Message(
                header=header(stamp + 5 * MS, "odom"), pose=Message(pose=pose),
                twist=Message(twist=twist),
            )  # fmt: skip
            self.live.odometry(odometry, stamp)
            for name in names:
                at = stamp + (late_ms or {}).get(name, 0) * MS
                data = np.frombuffer(moment.jpegs[name], np.uint8)
                image = Message(header=header(at, name), format="jpeg", data=data)
                self.live.image(name, image, at)
                self.work(stamp)

    def work(self, now_ns: int) -> None:
        while (found := self.live.work()) is not None:
            self.live.used_at_ns = now_ns
            self.concluded.append(found)

    def errors_m(self, since: int = 0) -> np.ndarray:
        truth = {moment.stamp_ns: self.ride.poses[moment.number] for moment in self.moments}
        return np.array(
            [
                np.hypot(*(found.estimate.pose[:2] - truth[found.estimate.stamp_ns][:2]))
                for found in self.concluded[since:]
            ]
        )


@pytest.fixture
def rider(world) -> Rider:
    return Rider(world)


def test_images_of_one_moment_are_one_frame(rider) -> None:
    rider.meet()
    rider.drive(range(60), late_ms={"left": 4, "right": 9})
    assert len(rider.concluded) == 60
    assert rider.concluded[-1].estimate.status is Status.LOCALISED
    assert np.median(rider.errors_m(40)) < 1.5
    frame = rider.concluded[-1].tracked.frame
    assert frame.camera == "front"
    assert [part.camera for part in frame.parts] == ["front", "left", "right", "rear"]
    assert frame.rgb.shape == (96, 96, 3)
    assert rider.live.said.coverage == pytest.approx(1.0, abs=0.02)
    assert rider.live.rig.missing == {}
    counts = rider.live.counts()
    assert (counts["frames_received"], counts["frames_used"]) == (240, 60)
    assert counts["frames_dropped"] == counts["frames_refused"] == 0


def test_a_camera_that_falls_silent_is_missed_and_never_waited_for_long(rider) -> None:
    rider.meet()
    rider.drive(range(50))
    rider.drive(range(50, 80), names=("front", "left", "rear"))
    # one image later at first, at once when it has been silent for a second
    assert len(rider.concluded) == 80
    assert rider.live.rig.absent == ("right",)
    assert rider.live.rig.missing["right"] == 30
    assert 0.6 < rider.live.said.coverage < 0.9
    assert rider.concluded[-1].estimate.status is Status.LOCALISED
    assert np.median(rider.errors_m(60)) < 2.0
    rider.drive(range(80, 90))
    assert rider.live.rig.absent == ()
    assert rider.live.said.coverage > 0.97


def test_while_the_worker_is_busy_only_the_newest_moment_is_looked_at(rider) -> None:
    rider.meet()
    rider.drive(range(10))
    busy = Rider.work
    Rider.work = lambda self, now_ns: None
    try:
        rider.drive(range(10, 20))
    finally:
        Rider.work = busy
    rider.work(rider.moments[19].stamp_ns)
    assert [found.estimate.stamp_ns for found in rider.concluded[10:]] == [
        rider.moments[19].stamp_ns
    ]
    assert len(rider.concluded[-1].tracked.frame.parts) == 4
    assert rider.live.counts()["frames_dropped"] == 4 * 7 + 2  # images, then whole moments


def test_cameras_join_the_panorama_as_they_become_known(rider) -> None:
    rider.drive(range(2))
    assert rider.concluded == []
    assert rider.live.reasons_now(0) == (Reason.NO_CAMERA_INFO,)
    rider.meet(("rear",))
    rider.drive(range(2, 4))
    assert rider.concluded[-1].tracked.frame.camera == "rear"
    rider.meet()
    rider.drive(range(4, 6))
    assert rider.concluded[-1].tracked.frame.camera == "front"
    assert rider.live.said.coverage > 0.97


def test_when_the_leading_camera_is_missing_there_is_no_picture_to_show(rider) -> None:
    rider.meet()
    rider.drive(range(3))
    rider.drive(range(3, 20), names=("left", "rear", "right"))
    frame = rider.concluded[-1].tracked.frame
    assert frame.camera == "front"
    assert frame.rgb is None
    assert rider.live.said.coverage > 0.6


def test_all_pictures_of_a_frame_are_recorded(rider, tmp_path) -> None:
    rider.meet()
    rider.drive(range(1))
    recorder = FrameRecorder(LocalizerConfig(record_frames=True, record_dir=str(tmp_path)))
    recorder.keep(rider.concluded[0].tracked.frame)
    stamp = rider.moments[0].stamp_ns
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}_{stamp}.jpg" for name in NAMES}


def test_a_camera_whose_info_goes_bad_leaves_and_comes_back(rider) -> None:
    rider.meet()
    rider.drive(range(3))
    bad = Message(
        header=header(2, "left"), width=CAMERA.width, height=CAMERA.height,
        distortion_model="plumb_bob", d=np.zeros(5), k=np.zeros(9), p=np.zeros(12),
        r=np.eye(3).ravel(),
    )  # fmt: skip
    rider.live.camera_info("left", bad)
    rider.drive(range(3, 5))
    assert [p.camera for p in rider.concluded[-1].tracked.frame.parts] == [
        "front",
        "right",
        "rear",
    ]
    assert "K is all zero" in rider.live.cameras.faults["left"]
    rider.meet(("left",))
    rider.drive(range(5, 7))
    assert len(rider.concluded[-1].tracked.frame.parts) == 4
