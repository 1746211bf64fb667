# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A rig of four cameras on a real ROS 2: one panorama, with a camera that fails and comes back."""

import numpy as np
import pytest
from made_ride import NAMES, Ride, camera_info, make, moments, mounts

LOCALISED = 3


@pytest.fixture(scope="module")
def ride(tmp_path_factory) -> Ride:
    return make(tmp_path_factory.mktemp("ride"))


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


class Four:
    """Publishes what four cameras take."""

    def __init__(self, stage) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import CameraInfo, CompressedImage

        self.stage, node = stage, stage.vehicle
        self.moments = list(moments(stage.made))
        self.images = {
            n: node.create_publisher(CompressedImage, f"{n}/image/compressed", 5) for n in NAMES
        }
        self.infos = {n: node.create_publisher(CameraInfo, f"{n}/camera_info", 5) for n in NAMES}
        self.diagnostics: list = []
        node.listen(DiagnosticArray, "/diagnostics", self.diagnostics)

    def meet(self) -> None:
        from geometry_msgs.msg import TransformStamped
        from harness import wait_until
        from tf2_msgs.msg import TFMessage

        from geoloc_ros.geo.rotations import quat_xyzw_from_matrix
        from geoloc_ros.ros.conversions import header

        outs = [*self.images.values(), *self.infos.values(), self.stage.vehicle.odom]
        assert wait_until(lambda: all(out.get_subscription_count() for out in outs))
        found = []
        for name, mount in mounts().items():
            item = TransformStamped(header=header(1, "base_link"), child_frame_id=name)
            turn, place = item.transform.rotation, item.transform.translation
            turn.x, turn.y, turn.z, turn.w = quat_xyzw_from_matrix(mount[:3, :3]).tolist()
            place.x, place.y, place.z = mount[:3, 3].tolist()
            found.append(item)
        self.stage.vehicle.tf_static.publish(TFMessage(transforms=found))

    def send(self, number: int, names=NAMES) -> int:
        from sensor_msgs.msg import CameraInfo, CompressedImage

        from geoloc_ros.ros.conversions import header

        vehicle, moment = self.stage.vehicle, self.moments[number]
        stamp = moment.stamp_ns
        vehicle.truth[stamp] = self.stage.made.poses[number]
        vehicle.tick_clock(stamp)
        vehicle.send_odom(stamp, moment.odometry)
        for name in names:
            data = camera_info(name)
            info = CameraInfo(header=header(stamp, name), distortion_model="plumb_bob")
            info.width, info.height = data.width, data.height
            info.d, info.k = data.D.tolist(), data.K.ravel()
            self.infos[name].publish(info)
        for name in names:
            image = CompressedImage(header=header(stamp, name), format="jpeg")
            image.data = moment.jpegs[name]
            self.images[name].publish(image)
        return stamp

    def answered(self, stamp: int) -> bool:
        """Whether a moment is answered, or a later one that came with it."""
        from harness import wait_until

        statuses = self.stage.vehicle.statuses
        return wait_until(lambda: any(stamp_ns(s) >= stamp and s.frames_used for s in statuses))

    def report(self, name: str):
        """Level, message and values of a component, as last heard."""
        for array in reversed(self.diagnostics):
            for status in array.status:
                if status.name.endswith(f": {name}"):
                    values = {pair.key: pair.value for pair in status.values}
                    return status.level, status.message, values
        return None


def test_four_cameras_are_one_panorama_and_three_will_do(ride, tmp_path) -> None:
    from harness import Stage, wait_until

    stage = Stage(ride, tmp_path, cameras=", ".join(NAMES), use_height=False)
    try:
        assert stage.change("configure")
        assert stage.change("activate")
        four = Four(stage)
        four.meet()
        for number in range(50):
            assert four.answered(four.send(number)), number
        vehicle = stage.vehicle
        assert vehicle.statuses[-1].state == LOCALISED
        assert wait_until(lambda: (four.report("camera left") or (1,))[0] == b"\0")

        previous = None
        for number in range(50, 85):  # left fails: a moment is closed by the next at first
            stamp = four.send(number, ("front", "rear", "right"))
            assert previous is None or four.answered(previous), number
            previous = stamp
        assert four.answered(previous)
        assert vehicle.statuses[-1].state == LOCALISED
        assert wait_until(lambda: four.report("camera left")[2]["missing"] == "35")
        level, message, _ = four.report("camera left")
        assert level == b"\1"
        assert "missing from the latest panorama" in message
        assert 0.6 < float(four.report("localizer")[2]["coverage"]) < 0.9

        for number in range(85, 110):
            stamp = four.send(number)
            if number > 86:
                assert four.answered(stamp), number
        assert wait_until(lambda: four.report("camera left")[0] == b"\0")
        assert vehicle.statuses[-1].state == LOCALISED
        away = [
            np.hypot(
                *(
                    vehicle.truth[stamp_ns(m)][:2]
                    - (m.pose.pose.position.x, m.pose.pose.position.y)
                )
            )
            for m in vehicle.poses
        ]
        assert np.median(away) < 1.5
        assert max(away) < 8.0
    finally:
        stage.close()
