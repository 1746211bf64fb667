# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras, every common encoding, and an index that is swapped on the way."""

import cv2
import numpy as np
import pytest
import rasterio
from made_flight import CAMERA, MOUNT, PLANE

from geoloc_ros.cli.main import main

LOCALISED = 3


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def rgb_of(tick) -> np.ndarray:
    bgr = cv2.imdecode(np.frombuffer(tick.jpeg, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def raw(stage, tick, frame_id: str, encoding: str, data: np.ndarray):
    from sensor_msgs.msg import Image

    from geoloc_ros.ros.conversions import header

    message = Image(header=header(tick.stamp_ns, frame_id), encoding=encoding)
    message.height, message.width = data.shape[:2]
    message.step = data.strides[0]
    message.data = data.tobytes()
    return message


def errors_m(stage, since: int = 0) -> np.ndarray:
    truth = stage.vehicle.truth
    return np.array(
        [
            np.hypot(*(truth[stamp_ns(m)][:2] - (m.pose.pose.position.x, m.pose.pose.position.y)))
            for m in stage.vehicle.poses[since:]
        ]
    )


class Pair:
    """Two cameras that look straight down, the second turned half about."""

    def __init__(self, stage) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        self.stage, self.names = stage, ("ahead", "turned")
        node = stage.vehicle
        self.images = {n: node.create_publisher(Image, f"{n}/image", 5) for n in self.names}
        self.infos = {
            n: node.create_publisher(CameraInfo, f"{n}/camera_info", 5) for n in self.names
        }

    def meet(self) -> None:
        from geometry_msgs.msg import TransformStamped
        from harness import wait_until
        from tf2_msgs.msg import TFMessage

        from geoloc_ros.geo.rotations import matrix_from_rpy, quat_xyzw_from_matrix
        from geoloc_ros.ros.conversions import header

        outs = [*self.images.values(), *self.infos.values()]
        assert wait_until(lambda: all(out.get_subscription_count() for out in outs))
        found = []
        for name, yaw in zip(self.names, (0.0, np.pi), strict=True):
            item = TransformStamped(header=header(1, "base_link"), child_frame_id=name)
            x, y, z, w = quat_xyzw_from_matrix(matrix_from_rpy(0, 0, yaw) @ MOUNT[:3, :3]).tolist()
            turn = item.transform.rotation
            turn.x, turn.y, turn.z, turn.w = x, y, z, w
            found.append(item)
        self.stage.vehicle.tf_static.publish(TFMessage(transforms=found))

    def send(self, tick, names) -> None:
        from sensor_msgs.msg import CameraInfo

        from geoloc_ros.ros.conversions import header

        vehicle = self.stage.vehicle
        vehicle.truth[tick.stamp_ns] = self.stage.made.poses[tick.number]
        vehicle.tick_clock(tick.stamp_ns)
        vehicle.send_odom(tick.stamp_ns, tick.odometry)
        vehicle.send_height(tick.stamp_ns)
        for name in names:
            info = CameraInfo(header=header(tick.stamp_ns, name), distortion_model="plumb_bob")
            info.width, info.height = CAMERA.width, CAMERA.height
            info.d, info.k = [0.0] * 5, CAMERA.K.ravel()
            self.infos[name].publish(info)
            rgb = rgb_of(tick)
            seen = rgb if name == "ahead" else np.ascontiguousarray(rgb[::-1, ::-1])
            self.images[name].publish(raw(self.stage, tick, name, "rgb8", seen))


def test_two_cameras_see_one_place_and_either_is_enough(made, tmp_path) -> None:
    from harness import Stage, wait_until

    stage = Stage(made, tmp_path, cameras="ahead, turned", image_transport="raw")
    try:
        assert stage.change("configure")
        assert stage.change("activate")
        pair = Pair(stage)
        pair.meet()
        vehicle = stage.vehicle

        def drive(numbers, names) -> None:
            for number in numbers:
                tick = vehicle.ticks[number]
                pair.send(tick, names)
                assert wait_until(
                    lambda t=tick: (
                        sum(stamp_ns(s) == t.stamp_ns for s in vehicle.statuses) >= len(names)
                    )
                )

        drive(range(60), pair.names)
        assert vehicle.statuses[-1].state == LOCALISED
        assert vehicle.statuses[-1].frames_used == 120
        drive(range(60, 95), ["turned"])
        assert vehicle.statuses[-1].state == LOCALISED
        drive(range(95, 130), ["ahead"])
        assert vehicle.statuses[-1].state == LOCALISED
        assert errors_m(stage).max() < 8.0
    finally:
        stage.close()


ENCODINGS = {
    "rgb8": lambda rgb: rgb,
    "bgr8": lambda rgb: np.ascontiguousarray(rgb[..., ::-1]),
    "rgba8": lambda rgb: np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]),
    "bgra8": lambda rgb: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 255, np.uint8)]),
    "yuv422_yuy2": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_YUY2),
    "mono8": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
    "mono16": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype("<u2") << 8,
}


def test_raw_images_of_every_common_encoding_are_taken(made, tmp_path) -> None:
    from harness import Stage, wait_until

    stage = Stage(made, tmp_path, image_transport="raw")
    try:
        stage.up_without_images()
        from sensor_msgs.msg import Image

        vehicle = stage.vehicle
        out = vehicle.create_publisher(Image, "image", 5)
        assert wait_until(lambda: out.get_subscription_count())
        vehicle.send_mount()
        names = list(ENCODINGS)
        for number in range(90):
            tick = vehicle.ticks[number]
            vehicle.truth[tick.stamp_ns] = made.poses[number]
            vehicle.tick_clock(tick.stamp_ns)
            vehicle.send_info(tick.stamp_ns)
            vehicle.send_odom(tick.stamp_ns, tick.odometry)
            vehicle.send_height(tick.stamp_ns)
            name = names[number % 5] if number < 80 else names[number % len(names)]
            out.publish(raw(stage, tick, "camera", name, ENCODINGS[name](rgb_of(tick))))
            assert wait_until(
                lambda t=tick: any(stamp_ns(s) == t.stamp_ns for s in vehicle.statuses)
            ), name
            assert "bad_image" not in vehicle.statuses[-1].reasons, name
        assert vehicle.statuses[79].state == LOCALISED
        assert errors_m(stage).max() < 8.0
    finally:
        stage.close()


@pytest.fixture
def neighbour(made, tmp_path):
    """An index of the same ground whose plane has another origin."""
    with rasterio.open(made.imagery) as file:
        window = rasterio.windows.Window(14, 0, file.width - 14, file.height - 26)
        profile = {**file.profile, "transform": file.window_transform(window)}
        profile |= {"width": int(window.width), "height": int(window.height)}
        pixels = file.read(window=window)
    with rasterio.open(tmp_path / "part.tif", "w", **profile) as file:
        file.write(pixels)
    index = tmp_path / "neighbour"
    build = ["index", "build", tmp_path / "part.tif", "--model", made.model, "--out", index]
    assert (
        main([str(w) for w in (*build, "--grid", "--pitch", "6", "--headings", "16", "--quiet")])
        == 0
    )
    return index


def test_an_index_of_another_plane_is_swapped_in_and_the_place_kept(stage, neighbour) -> None:
    from geoloc_msgs.srv import LoadIndex, ToLL

    from geoloc_ros.index.manifest import load_manifest

    assert load_manifest(neighbour).frame != PLANE
    stage.up()
    stage.vehicle.drive(range(60))
    assert stage.vehicle.statuses[-1].state == LOCALISED
    before = stage.call(ToLL, "to_ll", ToLL.Request())
    answer = stage.call(LoadIndex, "load_index", LoadIndex.Request(path=str(neighbour)))
    assert answer.success, answer.message
    count = len(stage.vehicle.poses)
    statuses = stage.vehicle.drive(range(60, 110))
    assert np.mean([s.state == LOCALISED for s in statuses]) > 0.9
    assert errors_m(stage, count).max() < 8.0
    after = stage.call(ToLL, "to_ll", ToLL.Request())
    assert (before.latitude, before.longitude) == (after.latitude, after.longitude)
    fix = [f for f in stage.vehicle.fixes if f.status.status >= 0][-1]
    x, y = PLANE.to_xy(fix.latitude, fix.longitude)[0]
    assert np.hypot(*(stage.vehicle.truth[stamp_ns(fix)][:2] - (x, y))) < 8.0
