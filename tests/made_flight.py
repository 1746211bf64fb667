# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A flight over a made picture, all on disk: imagery, a tiny ONNX model, an index, recordings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import rasterio
from onnx import TensorProto, helper, numpy_helper

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.cameras.views import mount_from_pitch
from geoloc_ros.cli.main import main
from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.encoders.package import (
    Calibration,
    ModelPackage,
    QuerySpec,
    ReferenceSpec,
    file_sha256,
)
from geoloc_ros.geo import se2
from geoloc_ros.geo.rotations import matrix_from_rpy, transform
from geoloc_ros.geo.wgs84 import LatLon, LocalFrame
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.messages import CameraInfoData

HEIGHT_M = 40.0
SIDE = 300
PLANE = LocalFrame(LatLon(46.5, 6.6))
FRAMES = 130
STEP_M = 1.5
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
CAMERA = CameraModel.from_hfov(128, 128, 60.0)
MOUNT = mount_from_pitch(0.0, 90.0)


def write_imagery(path: Path, seed: int = 3) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)).astype(np.float32), (0, 0), 7.0)
    grain = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE, 3)).astype(np.float32), (0, 0), 1.2)
    bright = 128 + 45 * smooth / smooth.std() + 20 * grain / grain.std()
    rgb = np.clip(bright, 0, 255).astype(np.uint8)
    half = SIDE / 2
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=SIDE,
        height=SIDE,
        count=3,
        dtype="uint8",
        crs=PLANE.crs,
        transform=rasterio.transform.from_origin(-half, half, 1.0, 1.0),
    ) as file:
        file.write(rgb.transpose(2, 0, 1))


def write_model(root: Path, seed: int = 0) -> ModelPackage:
    """Colours pooled to 8 x 8, contrast normalised, projected: an encoder without training."""
    root.mkdir(parents=True)
    matrix = np.random.default_rng(seed).normal(size=(192, 48)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["image"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["f", "m"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("LpNormalization", ["d"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, ["n", 48])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for name in ("query.onnx", "reference.onnx"):
        onnx.save(model, str(root / name))
    package = ModelPackage(
        root=root,
        name="pooled",
        version="1",
        query=QuerySpec(view="ground_plane", height_px=32, width_px=32, extent_m=40.0),
        reference=ReferenceSpec(size_px=32, extent_m=40.0, offset_forward_m=0.0),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        descriptor_dim=48,
        files={n: file_sha256(root / n) for n in ("query.onnx", "reference.onnx")},
        calibration=Calibration(
            temperature=0.08,
            background=0.0,
            background_sigma=0.25,
            matched=0.9,
            matched_sigma=0.06,
        ),
    )
    package.save()
    return package


@dataclass(frozen=True)
class Made:
    """Paths of everything, and the true poses."""

    root: Path
    imagery: Path
    model: Path
    index: Path
    poses: FloatArray


def make(root: Path) -> Made:
    imagery, model, index = root / "imagery.tif", root / "model", root / "index"
    write_imagery(imagery)
    write_model(model)
    build = ["index", "build", str(imagery), "--model", str(model), "--out", str(index)]
    assert main([*build, "--grid", "--pitch", "6", "--headings", "16", "--quiet"]) == 0
    angle = np.arange(FRAMES) * STEP_M / 65.0
    xy = 65.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    poses = np.column_stack([xy, se2.wrap_angle(angle + np.pi / 2)])
    return Made(root, imagery, model, index, poses)


def picture(ortho: OrthoImage, pose: FloatArray) -> Image:
    """What the camera sees: the ground straight below, nose up in the image."""
    rays = CAMERA.rays() @ MOUNT[:3, :3].T
    ground = rays[..., :2] * (HEIGHT_M / -rays[..., 2:])
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    x = pose[0] + cos * ground[..., 0] - sin * ground[..., 1]
    y = pose[1] + sin * ground[..., 0] + cos * ground[..., 1]
    column = (x - ortho.west_m) / ortho.gsd_m - 0.5
    row = (ortho.north_m - y) / ortho.gsd_m - 0.5
    return np.asarray(
        cv2.remap(ortho.rgb, column.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    )


@dataclass
class Tick:
    """One frame of a recording about to be written; hooks change it or make it None."""

    number: int
    stamp_ns: int
    jpeg: bytes
    odometry: FloatArray | None
    height_m: float | None = HEIGHT_M


Hook = Callable[[Tick], Tick | None]


def record(
    made: Made,
    path: Path,
    hook: Hook = lambda tick: tick,
    *,
    storage: str = "mcap",
    info: CameraInfoData | None = None,
    camera: bool = True,
    truth_shift_m: float = 0.0,
) -> Path:
    """Write a recording of the flight."""
    ortho = OrthoImage.open(made.imagery, PLANE)
    rng = np.random.default_rng(4)
    drift = np.zeros(3)
    with BagWriter(path, storage) as writer:
        writer.write_tf_static(START_NS, {("base_link", "camera"): MOUNT})
        for number, pose in enumerate(made.poses):
            stamp = START_NS + number * STEP_NS
            if number:
                step = se2.between(made.poses[number - 1], pose)
                drift = se2.compose(drift, step * (1.0 + rng.normal(0.0, 0.01)))
            bgr = cv2.cvtColor(picture(ortho, pose), cv2.COLOR_RGB2BGR)
            jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            tick = hook(Tick(number, stamp, jpeg, drift))
            _truth(writer, stamp, pose, truth_shift_m)
            if tick is None:
                continue
            if tick.odometry is not None:
                writer.write_odometry("/odom", tick.stamp_ns, tick.odometry, (15.0, 0.2))
            if tick.height_m is not None:
                writer.write_range("/height_above_ground", tick.stamp_ns, tick.height_m)
            if camera:
                writer.write_camera_info(
                    "/camera/camera_info", tick.stamp_ns, info or camera_info()
                )
                writer.write_compressed_image(
                    "/camera/image/compressed", tick.stamp_ns, tick.jpeg, "camera"
                )
    return path


def _truth(writer: BagWriter, stamp: int, pose: FloatArray, shift_m: float) -> None:
    lat, lon = PLANE.to_latlon([[pose[0] + shift_m, pose[1]]])
    writer.write_fix("/ground_truth/fix", stamp, LatLon(float(lat[0]), float(lon[0])), 400.0)
    matrix = transform(matrix_from_rpy(0.0, 0.0, pose[2]), (pose[0] + shift_m, pose[1], 0.0))
    writer.write_pose("/ground_truth/pose", stamp, matrix)


def camera_info(**changes: object) -> CameraInfoData:
    projection = np.hstack([CAMERA.K, np.zeros((3, 1))])
    data = CameraInfoData(
        CAMERA.width,
        CAMERA.height,
        "plumb_bob",
        np.zeros(5),
        CAMERA.K,
        projection,
        np.eye(3),
        "camera",
    )
    return replace(data, **changes)
