# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A ride through a made picture with four cameras that look all round, all on disk.

The model needs no training: it knows where in a tile each pixel of the panorama lies.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from made_flight import PLANE, START_NS, STEP_NS, write_imagery
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
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.messages import CameraInfoData

HEIGHT_M = 6.0
FRAMES = 125
STEP_M = 1.5
CAMERA = CameraModel.from_hfov(96, 96, 110.0)
NAMES = ("front", "left", "rear", "right")
STRIP = QuerySpec(
    view="panorama", height_px=16, width_px=96, hfov_deg=360.0, vfov_deg=40.0,
    centre_elevation_deg=-34.0, alignment="north",
)  # fmt: skip
TILE = ReferenceSpec(size_px=64, extent_m=52.0, offset_forward_m=0.0)


def mounts() -> dict[str, FloatArray]:
    """T_base_camera of the four, at the corners of the roof, 30 degrees down."""
    found = {}
    for number, name in enumerate(NAMES):
        mount = mount_from_pitch(HEIGHT_M, 30.0, 90.0 * number)
        mount[:2, 3] = 0.3 * np.cos(np.pi / 2 * number), 0.3 * np.sin(np.pi / 2 * number)
        found[name] = mount
    return found


def camera_info(name: str) -> CameraInfoData:
    P = np.column_stack([CAMERA.K, np.zeros(3)])
    return CameraInfoData(96, 96, "plumb_bob", np.zeros(5), CAMERA.K, P, np.eye(3), name)


def _tile_weights() -> FloatArray:
    """(1024, 48) share of each pixel of a tile pooled to 32 x 32 in each cell of the strip."""
    side, rows, columns = 32, STRIP.height_px, STRIP.width_px
    low, high = STRIP.elevations_deg
    down = np.radians(high - (np.arange(rows) + 0.5) * (high - low) / rows)
    reach = HEIGHT_M / np.tan(-down)[:, None] * side / TILE.extent_m
    azimuth = (np.arange(columns) - 0.5 * (columns - 1)) * 2.0 * np.pi / columns
    x, y = 15.5 + reach * np.sin(azimuth), 15.5 - reach * np.cos(azimuth)
    weights = np.zeros((side * side, rows, columns))
    r, c = np.mgrid[0:rows, 0:columns]
    for dx in (0, 1):
        for dy in (0, 1):
            at_x, at_y = np.floor(x).astype(int) + dx, np.floor(y).astype(int) + dy
            share = (1.0 - np.abs(x - at_x)) * (1.0 - np.abs(y - at_y))
            inside = (at_x >= 0) & (at_x < side) & (at_y >= 0) & (at_y < side)
            weights[(at_y * side + at_x)[inside], r[inside], c[inside]] += share[inside]
    return weights.reshape(-1, 4, 4, 12, 8).mean(axis=(2, 4)).reshape(-1, 48)


def _save(path: Path, nodes: list, shape: list, constants: dict) -> None:
    tail = [
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["f", "m"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["d"]),
        helper.make_node("LpNormalization", ["d"], ["descriptor"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        [*nodes, *tail],
        "pooled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, *shape])],
        [helper.make_tensor_value_info("descriptor", TensorProto.FLOAT, ["n", 48])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def write_model(root: Path) -> ModelPackage:
    root.mkdir(parents=True)
    w = np.random.default_rng(0).normal(size=(144, 48)).astype(np.float32)
    pool = [helper.make_node("AveragePool", ["image"], ["p"], kernel_shape=[4, 8], strides=[4, 8])]
    _save(root / "query.onnx", pool, [16, 96], {"w": w})
    polar = [
        helper.make_node("AveragePool", ["image"], ["t"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["t", "flat"], ["r"]),
        helper.make_node("MatMul", ["r", "polar"], ["p"]),
    ]
    constants = {
        "w": w,
        "flat": np.array([0, 3, 1024], dtype=np.int64),
        "polar": _tile_weights().astype(np.float32),
    }
    _save(root / "reference.onnx", polar, [64, 64], constants)
    package = ModelPackage(
        root=root,
        name="all_round",
        version="1",
        query=STRIP,
        reference=TILE,
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
class Ride:
    """Paths of everything, and the true poses."""

    root: Path
    imagery: Path
    model: Path
    index: Path
    poses: FloatArray


def make(root: Path) -> Ride:
    imagery, model, index = root / "imagery.tif", root / "model", root / "index"
    write_imagery(imagery)
    write_model(model)
    build = ["index", "build", str(imagery), "--model", str(model), "--out", str(index)]
    assert main([*build, "--grid", "--pitch", "6", "--quiet"]) == 0  # north up, as trained
    angle = np.arange(FRAMES) * STEP_M / 65.0
    xy = 65.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Ride(root, imagery, model, index, np.column_stack([xy, se2.wrap_angle(angle + 1.5708)]))


def picture(
    ortho: OrthoImage, pose: FloatArray, mount: FloatArray, camera: CameraModel = CAMERA
) -> Image:
    """What a camera sees: the ground, and grey above the horizon."""
    rays = camera.rays() @ mount[:3, :3].T
    down = rays[..., 2] < -0.01
    reach = mount[2, 3] / np.where(down, -rays[..., 2], 1.0)
    ahead, left = (mount[k, 3] + rays[..., k] * reach for k in (0, 1))
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    x, y = pose[0] + cos * ahead - sin * left, pose[1] + sin * ahead + cos * left
    column = ((x - ortho.west_m) / ortho.gsd_m - 0.5).astype(np.float32)
    row = ((ortho.north_m - y) / ortho.gsd_m - 0.5).astype(np.float32)
    seen = cv2.remap(ortho.rgb, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.where(down[..., None], seen, 160).astype(np.uint8)


@dataclass
class Moment:
    """One frame of a ride: a JPEG per camera, by name; hooks take some away."""

    number: int
    stamp_ns: int
    jpegs: dict[str, bytes]
    odometry: FloatArray


def moments(ride: Ride) -> Iterator[Moment]:
    """The ride, frame by frame."""
    ortho = OrthoImage.open(ride.imagery, PLANE)
    rng, drift = np.random.default_rng(4), np.zeros(3)
    for number, pose in enumerate(ride.poses):
        if number:
            step = se2.between(ride.poses[number - 1], pose)
            drift = se2.compose(drift, step * (1.0 + rng.normal(0.0, 0.01)))
        jpegs = {}
        for name, mount in mounts().items():
            bgr = cv2.cvtColor(picture(ortho, pose, mount), cv2.COLOR_RGB2BGR)
            jpegs[name] = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        yield Moment(number, START_NS + number * STEP_NS, jpegs, drift)


def record(ride: Ride, path: Path, hook: Callable[[Moment], Moment] = lambda m: m) -> Path:
    """Write a recording of the ride."""
    with BagWriter(path) as writer:
        writer.write_tf_static(
            START_NS, {("base_link", name): mount for name, mount in mounts().items()}
        )
        for moment in map(hook, moments(ride)):
            stamp, pose = moment.stamp_ns, ride.poses[moment.number]
            position = PLANE.position(float(pose[0]), float(pose[1]))
            writer.write_fix("/ground_truth/fix", stamp, position, 0.0)
            matrix = transform(matrix_from_rpy(0.0, 0.0, pose[2]), (pose[0], pose[1], 0.0))
            writer.write_pose("/ground_truth/pose", stamp, matrix)
            writer.write_odometry("/odom", stamp, moment.odometry, (15.0, 0.2))
            for name, jpeg in moment.jpegs.items():
                writer.write_camera_info(f"/{name}/camera_info", stamp, camera_info(name))
                writer.write_compressed_image(f"/{name}/image/compressed", stamp, jpeg, name)
    return path
