# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS messages to values: every encoding, and messages that make no sense."""

from types import SimpleNamespace as Ns

import cv2
import numpy as np
import pytest

from geoloc_ros import messages as msg
from geoloc_ros.errors import BagError, ImageDecodeError
from geoloc_ros.geo.rotations import matrix_from_rpy, transform
from geoloc_ros.geo.wgs84 import LatLon


def ramp(height=24, width=32):
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 0.5 * (255 - x) + 40], -1).astype(np.uint8)


def raw(encoding, data, width=32, height=24, step=None, big=0):
    data = np.ascontiguousarray(data)
    step = step or data.nbytes // height
    return Ns(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        is_bigendian=big,
        data=data.view(np.uint8).reshape(-1),
    )


def mosaic(rgb, pattern):
    out = np.empty(rgb.shape[:2], np.uint8)
    for k, letter in enumerate(pattern):
        r, c = divmod(k, 2)
        out[r::2, c::2] = rgb[r::2, c::2, "rgb".index(letter)]
    return out


@pytest.mark.parametrize(
    ("encoding", "make"),
    [
        ("rgb8", lambda rgb: rgb),
        ("bgr8", lambda rgb: rgb[..., ::-1]),
        ("8UC3", lambda rgb: rgb[..., ::-1]),
        ("rgba8", lambda rgb: np.dstack([rgb, rgb[..., 0]])),
        ("bgra8", lambda rgb: np.dstack([rgb[..., ::-1], rgb[..., 0]])),
    ],
)
def test_colour_encodings_are_exact(encoding, make):
    np.testing.assert_array_equal(msg.image_rgb(raw(encoding, make(ramp()))), ramp())


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns(pattern):
    got = msg.image_rgb(raw(f"bayer_{pattern}8", mosaic(ramp(), pattern)))
    error = np.abs(got.astype(int) - ramp())[2:-2, 2:-2]
    assert error.max() <= 12
    assert error.mean() < 3


@pytest.mark.parametrize(
    ("encoding", "first"), [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0), ("yuyv", 0)]
)
def test_yuv422(encoding, first):
    yuv = cv2.cvtColor(ramp(), cv2.COLOR_RGB2YUV)
    packed = np.empty((24, 32, 2), np.uint8)
    packed[..., first] = yuv[..., 0]
    packed[:, 0::2, 1 - first] = yuv[:, 0::2, 1]
    packed[:, 1::2, 1 - first] = yuv[:, 0::2, 2]
    # packed YUV is studio swing, OpenCV's planar YUV is full swing: same hue, a little contrast
    got = msg.image_rgb(raw(encoding, packed)).astype(int)
    assert np.abs(got - ramp()).mean() < 25
    assert np.corrcoef(got[..., 0].ravel(), ramp()[..., 0].ravel())[0, 1] > 0.97
    assert np.corrcoef(got[..., 2].ravel(), ramp()[..., 2].ravel())[0, 1] > 0.97


def test_row_padding_is_cut_off():
    padded = np.zeros((24, 100), np.uint8)
    padded[:, :96] = ramp().reshape(24, 96)
    padded[:, 96:] = 7
    np.testing.assert_array_equal(msg.image_rgb(raw("rgb8", padded, step=100)), ramp())


@pytest.mark.parametrize("big", [0, 1])
def test_sixteen_bits_use_the_sensor_depth(big):
    grey = (ramp()[..., 0].astype(np.uint16) << 4) | 9  # a 12-bit sensor
    message = raw("mono16", grey.astype(">u2" if big else "<u2"), big=big)
    np.testing.assert_array_equal(msg.image_rgb(message)[..., 1], ramp()[..., 0])


@pytest.mark.parametrize(
    "message",
    [
        raw("rgb8", ramp()[:10], height=24, step=96),
        raw("bayer_rggb16", ramp()),
        raw("rgb8", ramp(), step=10),
        raw("rgb8", np.zeros((24, 0, 3), np.uint8), width=0, step=1),
        Ns(format="jpeg", data=np.frombuffer(b"\xff\xd8 not a jpeg", np.uint8)),
        Ns(format="jpeg", data=np.zeros(0, np.uint8)),
    ],
)
def test_bad_images_raise(message):
    with pytest.raises(ImageDecodeError):
        msg.image_rgb(message)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed(suffix):
    done, data = cv2.imencode(suffix, ramp()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    assert done
    got = msg.image_rgb(Ns(format="whatever", data=data.reshape(-1)))
    assert np.abs(got.astype(int) - ramp()).mean() < (4 if suffix == ".jpg" else 1e-9)


HALF = (0.0, 0.0, np.sin(0.4), np.cos(0.4))


def odometry(position=(1.0, 2.0, 0.0), quat=HALF):
    return Ns(
        header=Ns(stamp=Ns(sec=5, nanosec=7), frame_id="odom"),
        pose=Ns(
            pose=Ns(
                position=Ns(**dict(zip("xyz", position, strict=True))),
                orientation=Ns(**dict(zip("xyzw", quat, strict=True))),
            )
        ),
        twist=Ns(twist=Ns(linear=Ns(x=3.0), angular=Ns(z=0.2))),
    )


def test_odometry():
    sample = msg.odometry(odometry(), 99)
    assert sample.stamp_ns == 5_000_000_007
    np.testing.assert_allclose(sample.pose, [1, 2, 0.8])


@pytest.mark.parametrize(
    "bad",
    [
        {"quat": (0.0, 0.0, 0.0, 0.0)},
        {"quat": (0.0, 0.0, float("nan"), 1.0)},
        {"position": (float("inf"), 0.0, 0.0)},
    ],
)
def test_senseless_odometry_is_returned_as_nan(bad):
    assert np.isnan(msg.odometry(odometry(**bad), 0).pose).all()


def test_stamp_falls_back_to_log_time():
    assert msg.stamp_ns(Ns(header=Ns(stamp=Ns(sec=0, nanosec=0))), 42) == 42
    assert msg.stamp_ns(Ns(transforms=[]), 42) == 42


def test_camera_info_of_ros_1_and_2():
    k = np.arange(9.0)
    upper = Ns(
        width=4, height=3, distortion_model="plumb_bob", D=[0.1], K=k, P=np.arange(12.0),
        R=np.eye(3).ravel(), header=Ns(frame_id="/cam"),
    )  # fmt: skip
    lower = Ns(**{n.lower(): v for n, v in vars(upper).items()})
    for message in (upper, lower):
        info = msg.camera_info(message)
        np.testing.assert_array_equal(info.K, k.reshape(3, 3))
        assert info.frame_id == "cam"


def test_transforms_chain_in_both_directions():
    a = transform(matrix_from_rpy(0.1, 0.2, 0.3), [1, 2, 3])
    b = transform(matrix_from_rpy(-0.3, 0.5, 2.0), [0, 1, 0])
    tree = {("base", "mast"): a, ("mast", "cam"): b, ("base", "lidar"): np.eye(4)}
    np.testing.assert_allclose(msg.find_transform(tree, "base", "/cam"), a @ b)
    np.testing.assert_allclose(msg.find_transform(tree, "cam", "lidar"), np.linalg.inv(a @ b))
    with pytest.raises(BagError, match="no static transform from base to wheel"):
        msg.find_transform(tree, "base", "wheel")


def test_broken_transform_is_named():
    zero = Ns(x=0.0, y=0.0, z=0.0, w=0.0)
    item = Ns(
        header=Ns(frame_id="base"),
        child_frame_id="cam",
        transform=Ns(rotation=zero, translation=zero),
    )
    with pytest.raises(BagError, match="base -> cam"):
        msg.static_transforms(Ns(transforms=[item]))


@pytest.mark.parametrize("x", [float("nan"), float("inf")])
def test_a_mount_that_is_nowhere_is_named(x):
    item = Ns(
        header=Ns(frame_id="base"),
        child_frame_id="cam",
        transform=Ns(rotation=Ns(x=0.0, y=0.0, z=0.0, w=1.0), translation=Ns(x=x, y=0.0, z=0.0)),
    )
    with pytest.raises(BagError, match="base -> cam is broken: moves by"):
        msg.static_transforms(Ns(transforms=[item]))


@pytest.mark.parametrize(
    "convert",
    [
        msg.image_rgb, msg.camera_info, msg.static_transforms, msg.fix, msg.pose_matrix,
        msg.height_m, lambda message: msg.odometry(message, 0),
    ],
)  # fmt: skip
def test_a_message_with_other_fields_than_in_ros_is_one_clear_error(convert):
    odd = Ns(__msgtype__="some_msgs/msg/Odd", width="wide", height=3, transforms=[3], range="far")
    with pytest.raises(BagError, match=r"a some_msgs/msg/Odd has other fields than in ROS"):
        convert(odd)


def test_fix_without_fix_is_none():
    def fix(status, lat):
        return Ns(status=Ns(status=status), latitude=lat, longitude=11.0, altitude=1.0)

    assert msg.fix(fix(0, 48.0)) == (LatLon(48.0, 11.0), 1.0)
    assert msg.fix(fix(-1, 48.0)) is None
    assert msg.fix(fix(0, float("nan"))) is None
    assert np.isnan(msg.height_m(Ns(range=float("inf"))))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_jpeg_decodes_to_a_part_of_its_size_as_if_averaged(factor):
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.normal(size=(96, 128, 3)), (0, 0), 3.0)
    picture = np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].reshape(-1)
    message = Ns(format="jpeg", data=data)
    small, reduction = msg.reduced_rgb(message, factor)
    size = 128 // factor, 96 // factor
    averaged = cv2.resize(msg.image_rgb(message), size, interpolation=cv2.INTER_AREA)
    assert reduction == factor
    assert np.abs(small.astype(int) - averaged).mean() < 2.0


def test_what_is_no_jpeg_comes_whole():
    png = Ns(format="png", data=cv2.imencode(".png", ramp())[1].reshape(-1))
    for message in (png, raw("rgb8", ramp())):
        whole, reduction = msg.reduced_rgb(message, 2)
        assert reduction == 1
        np.testing.assert_array_equal(whole, msg.image_rgb(message))
