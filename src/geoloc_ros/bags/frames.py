# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A recording from a folder of pictures and a table of time stamps."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.cameras.models import CameraModel
from geoloc_ros.datatypes import FloatArray
from geoloc_ros.errors import BagError, CameraError, GeodesyError, ImageDecodeError
from geoloc_ros.geo.rotations import R_BODY_OPTICAL, matrix_from_rpy, transform
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.messages import CameraInfoData, decode_image

FRAME_ID = "camera_optical"
IMAGE_TOPIC = "/camera/image/compressed"
INFO_TOPIC = "/camera/camera_info"
HEIGHT_TOPIC = "/height_above_ground"
FIX_TOPIC = "/ground_truth/fix"
LEAST_WIDTH_PX = 32
LAST_S = 2.0**31  # a ROS stamp counts seconds in 32 bits
MOST = 1e10


@dataclass(frozen=True)
class FramesCamera:
    """Lens and mount of the camera that took the pictures.

    Give exactly one of the three lens descriptions.

    Attributes:
        hfov_deg: horizontal field of view of an undistorted lens.
        focal_px: focal length of an undistorted lens, px of the pictures as stored.
        calibration: ROS camera calibration YAML (`camera_matrix`, `distortion_model`, ...).
        equirectangular: whether the pictures are panoramas that go once round.
        pitch_deg: tilt of the camera, down positive.
        roll_deg: roll of the camera, right side down positive.
        yaw_deg: direction of the camera from the vehicle's front, left positive.
        forward_m: position of the camera ahead of the vehicle's base.
        height_m: position of the camera above the vehicle's base.
    """

    hfov_deg: float | None = None
    focal_px: float | None = None
    calibration: Path | None = None
    equirectangular: bool = False
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    forward_m: float = 0.0
    height_m: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an ambiguous or impossible lens.

        Raises:
            CameraError: none or several descriptions, or a value out of bounds.
        """
        given = [v for v in (self.hfov_deg, self.focal_px, self.calibration) if v is not None]
        count = len(given) + self.equirectangular
        if count != 1:
            raise CameraError(
                "describe the lens once: --hfov, --focal-px, --calibration or --equirectangular "
                f"({count} of them given)"
            )
        if self.hfov_deg is not None and not 1.0 <= self.hfov_deg <= 170.0:
            raise CameraError(f"field of view is {self.hfov_deg}; it must lie in 1..170 degrees")
        if self.focal_px is not None and not 1.0 <= self.focal_px <= 1e6:
            raise CameraError(f"focal length is {self.focal_px} px; it must lie in 1..1e6 px")
        for name, value, limit, unit in (
            ("pitch", self.pitch_deg, 180.0, "degrees"),
            ("roll", self.roll_deg, 180.0, "degrees"),
            ("yaw", self.yaw_deg, 180.0, "degrees"),
            ("forward", self.forward_m, 1000.0, "m"),
            ("mount-height", self.height_m, 1000.0, "m"),
        ):
            if not abs(value) <= limit:
                raise CameraError(f"--{name} is {value}; it must lie in +-{limit:g} {unit}")

    def mount(self) -> FloatArray:
        """T_base_camera (4, 4) of the optical frame."""
        angles = np.radians([self.roll_deg, self.pitch_deg, self.yaw_deg])
        rotation = matrix_from_rpy(float(angles[0]), float(angles[1]), float(angles[2]))
        return transform(rotation @ R_BODY_OPTICAL, [self.forward_m, 0.0, self.height_m])

    def info(self, width_px: int, height_px: int) -> CameraInfoData:
        """CameraInfo for pictures of a size.

        Raises:
            CameraError: the calibration file is unusable or speaks of another size.
        """
        if self.calibration is not None:
            info = _calibration(self.calibration, width_px, height_px)
            # Made only to be checked.
            CameraModel.from_camera_info(
                info.width, info.height, info.distortion_model, info.D, info.K
            )
            return info
        if self.equirectangular:
            camera = CameraModel.all_round(width_px, height_px)
            return _info(width_px, height_px, camera.distortion_model, camera.D, camera.K)
        focal = self.focal_px
        if focal is None:
            focal = 0.5 * width_px / float(np.tan(np.radians(self.hfov_deg or 0.0) / 2.0))
        k = np.array(
            [
                [focal, 0.0, 0.5 * (width_px - 1)],
                [0.0, focal, 0.5 * (height_px - 1)],
                [0.0, 0.0, 1.0],
            ]
        )
        return _info(width_px, height_px, "plumb_bob", np.zeros(5), k)


@dataclass(frozen=True)
class FramesTable:
    """What the columns of the table are called.

    Attributes:
        frame: file name of the picture.
        time: seconds, rising.
        height: height above ground (m), None for none.
        truth: (latitude, longitude) or (latitude, longitude, altitude); empty for none. Only what
            is named here becomes ground truth; nothing of it is read otherwise.
    """

    frame: str = "frame"
    time: str = "t_s"
    height: str | None = None
    truth: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse truth that is no position.

        Raises:
            BagError: one, or more than three truth columns.
        """
        if len(self.truth) not in (0, 2, 3):
            raise BagError(f"truth needs latitude, longitude[, altitude] columns: {self.truth}")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that must be there."""
        return (self.frame, self.time, *((self.height,) if self.height else ()), *self.truth)


@dataclass(frozen=True)
class _Row:
    line: int
    file: Path
    time_s: float
    height_m: float = float("nan")
    truth: tuple[float, ...] = field(default=())


def bag_from_frames(
    table: Path,
    out: Path,
    camera: FramesCamera,
    columns: FramesTable | None = None,
    images: Path | None = None,
    max_width_px: int = 0,
    start_s: float = 1e9,
    progress: bool = True,
) -> int:
    """Write a recording (rosbag2, mcap) from pictures and a CSV table.

    Args:
        table: CSV with a header row.
        out: directory to create.
        camera: lens and mount.
        columns: names of the columns; see `FramesTable`.
        images: folder of the pictures; by default ``frames`` beside the table, or the table's own.
        max_width_px: larger pictures are scaled down to this width; 0 keeps the files' bytes.
        start_s: stamp of t = 0, seconds.
        progress: show a progress bar.

    Returns:
        Number of frames written.

    Raises:
        BagError: missing file or column, unusable row, pictures of different sizes.
        CameraError: the calibration does not fit.
    """
    from tqdm import tqdm

    if max_width_px and max_width_px < LEAST_WIDTH_PX:
        raise BagError(
            f"--max-width is {max_width_px} px; it must be at least {LEAST_WIDTH_PX} px, or 0 to "
            "keep the pictures as they are"
        )
    columns = columns or FramesTable()
    folder = images or (table.parent / "frames")
    folder = folder if images or folder.is_dir() else table.parent
    rows = _read_table(table, folder, columns)
    size: tuple[int, int] | None = None
    with BagWriter(out) as bag:
        for row in tqdm(rows, unit="frame", desc="writing", disable=not progress):
            stamp = _stamp_ns(start_s, row)
            data, kind, shape = _picture(row, max_width_px)
            if size is None:
                size = shape
                info = _scaled(camera, shape, max_width_px, row)
                bag.write_tf_static(stamp, {("base_link", FRAME_ID): camera.mount()})
            if shape != size:
                raise BagError(
                    f"{row.file} is {shape[0]}x{shape[1]} px, the first {size[0]}x{size[1]} px; "
                    "all frames of a camera must have one size"
                )
            bag.write_camera_info(INFO_TOPIC, stamp, info)
            if columns.height:
                # before the picture it belongs to: no reader has to wait for it
                bag.write_range(HEIGHT_TOPIC, stamp, row.height_m, 1.5)
            bag.write_compressed_image(IMAGE_TOPIC, stamp, data, FRAME_ID, kind)
            if row.truth:
                altitude = row.truth[2] if len(row.truth) > 2 else float("nan")
                bag.write_fix(FIX_TOPIC, stamp, _position(row), altitude)
    return len(rows)


def _stamp_ns(start_s: float, row: _Row) -> int:
    seconds = start_s + row.time_s
    if not 0.0 <= seconds < LAST_S:
        raise BagError(
            f"line {row.line}: --start {start_s:g} s and the time {row.time_s:g} s give the stamp "
            f"{seconds:g} s; ROS can say 0 to {LAST_S:.0f} s"
        )
    return round(start_s * 1e9) + round(row.time_s * 1e9)


def _read_table(table: Path, folder: Path, columns: FramesTable) -> list[_Row]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns.columns if name not in (reader.fieldnames or [])]
            if missing:
                raise BagError(
                    f"{table} has no column {', '.join(missing)}; it has "
                    f"{', '.join(reader.fieldnames or []) or 'nothing'}"
                )
            rows = [_row(table, i, item, folder, columns) for i, item in enumerate(reader, 2)]
        absent = [row.file for row in rows if not row.file.is_file()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BagError(f"cannot read {table}: {error}") from error
    if not rows:
        raise BagError(f"{table} has a header but no rows")
    if absent:
        shown = ", ".join(str(path) for path in absent[:3])
        raise BagError(
            f"{len(absent)} of {len(rows)} pictures are missing: {shown}"
            f"{' ...' if len(absent) > 3 else ''}; name their folder with --images"
        )
    for before, after in pairwise(rows):
        if after.time_s <= before.time_s:
            raise BagError(
                f"{table} line {after.line}: time {after.time_s} s does not follow "
                f"{before.time_s} s; sort the rows by time"
            )
    return rows


def _row(table: Path, line: int, item: dict[str, str], folder: Path, columns: FramesTable) -> _Row:
    def number(name: str) -> float:
        text = item.get(name)
        try:
            value = float(text or "")
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise BagError(f"{table} line {line}: {name} is {text!r}, not a number")
        if abs(value) > MOST:
            raise BagError(f"{table} line {line}: {name} is {value:g}, more than {MOST:g}")
        return value

    name = item.get(columns.frame) or ""
    if not name:
        raise BagError(f"{table} line {line}: {columns.frame} is empty")
    return _Row(
        line,
        folder / name,
        number(columns.time),
        number(columns.height) if columns.height else float("nan"),
        tuple(number(column) for column in columns.truth),
    )


def _picture(row: _Row, max_width_px: int) -> tuple[bytes, str, tuple[int, int]]:
    """File bytes, format and (width, height), scaled down if asked."""
    try:
        data = row.file.read_bytes()
        rgb = decode_image(np.frombuffer(data, dtype=np.uint8))
    except OSError as error:
        raise BagError(f"cannot read {row.file}: {error.strerror}") from error
    except ImageDecodeError as error:
        raise BagError(f"{row.file}: {error}") from error
    height, width = rgb.shape[:2]
    jpeg, png = data[:2] == b"\xff\xd8", data[:8] == b"\x89PNG\r\n\x1a\n"
    if (jpeg or png) and not 0 < max_width_px < width:
        return data, "jpeg" if jpeg else "png", (width, height)
    if 0 < max_width_px < width:
        height, width = round(height * max_width_px / width), max_width_px
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    done, packed = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    if not done:
        raise BagError(f"{row.file} could not be encoded as JPEG")
    return bytes(packed), "jpeg", (width, height)


def _scaled(
    camera: FramesCamera, shape: tuple[int, int], max_width_px: int, row: _Row
) -> CameraInfoData:
    """CameraInfo of the pictures as written: the lens is given for the files as they are."""
    if not max_width_px:
        return camera.info(*shape)
    height, width = decode_image(np.fromfile(row.file, dtype=np.uint8)).shape[:2]
    info = camera.info(width, height)
    scale = np.array([shape[0] / width, shape[1] / height])
    k = info.K.copy()
    k[:2, :2] *= scale[:, None]
    k[:2, 2] = (k[:2, 2] + 0.5) * scale - 0.5
    return _info(shape[0], shape[1], info.distortion_model, info.D, k)


def _position(row: _Row) -> LatLon:
    try:
        return LatLon(row.truth[0], row.truth[1])
    except GeodesyError as error:
        raise BagError(f"line {row.line}: {error}") from error


def _calibration(path: Path, width_px: int, height_px: int) -> CameraInfoData:
    """A ROS camera calibration file (`camera_calibration_parsers` YAML)."""
    try:
        tree: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        size = (int(tree["image_width"]), int(tree["image_height"]))
        k = np.array(tree["camera_matrix"]["data"], dtype=np.float64).reshape(3, 3)
        d = np.array(tree["distortion_coefficients"]["data"], dtype=np.float64)
        model = str(tree.get("distortion_model", tree.get("camera_model", "plumb_bob")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CameraError(f"cannot read {path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CameraError(f"{path} is no ROS camera calibration: {error!r}") from error
    if size != (width_px, height_px):
        raise CameraError(
            f"{path} is for {size[0]}x{size[1]} px, the pictures have {width_px}x{height_px} px"
        )
    return _info(width_px, height_px, model, d, k)


def _info(width: int, height: int, model: str, d: FloatArray, k: FloatArray) -> CameraInfoData:
    p = np.column_stack([k, np.zeros(3)])
    return CameraInfoData(width, height, model, d, k, p, np.eye(3), FRAME_ID)
