# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""One error per cause, one base for all of them.

    GeolocError
    ├── ConfigError            unknown key, wrong type, value out of bounds
    ├── GeodesyError           a point outside the local plane's stated validity
    ├── ImageryError           no CRS, rotated, empty, nodata everywhere
    ├── CameraError            wrong CameraInfo, unknown distortion model, changed frame size
    ├── ImageDecodeError       bytes that are no image
    ├── ModelError             model package missing, altered or of the wrong kind
    ├── IndexError_            base of everything about an index directory
    │   ├── IndexCorruptError      a file's bytes do not match the manifest
    │   ├── IndexMismatchError     built with another encoder, dimension or schema
    │   ├── IndexBuildError        a build that cannot go on (disk full, nothing to index)
    │   └── IndexPullError         an index that does not come (server, disk, no such region)
    ├── BagError               bag missing, truncated, empty, without the needed topics
    ├── OdometryError          odometry that cannot be used
    ├── TrajectoryError        a trajectory that cannot be read, or compared with another
    ├── PriorError             knowledge of place that is no mixture, or a gazetteer missing
    ├── SceneError             a description of a scene that cannot be heard
    ├── UnparseableError       a model's answer that is no answer; also a ValueError
    └── TrainingError          checkpoint or training data unusable
        └── DatasetError           data set incomplete, its lists or pictures unusable

Messages say what, the value, the limit with its unit, and the next action. Library code raises;
only the command line catches.
"""

from __future__ import annotations

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict = 2, 3, 3
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value as a message shows it: one short line, however large or deep the value is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python prints no more than 4300 digits
        return "a number of thousands of digits"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, at most 300 characters; its type if it is silent."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


class GeolocError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(GeolocError):
    """A configuration key is unknown, of the wrong type or out of bounds."""


class GeodesyError(GeolocError):
    """A position lies where the requested conversion is not valid."""


class ImageryError(GeolocError):
    """Satellite imagery cannot be used as given."""


class CameraError(GeolocError):
    """Camera calibration or frame geometry cannot be used as given."""


class ImageDecodeError(GeolocError):
    """Bytes could not be decoded into an image."""


class ModelError(GeolocError):
    """A model package is missing, altered or of the wrong kind."""


class IndexError_(GeolocError):
    """Something about an index directory is wrong."""


class IndexCorruptError(IndexError_):
    """A file of the index does not hold the bytes its manifest promises."""


class IndexMismatchError(IndexError_):
    """The index was built with another encoder, dimension, schema or geometry."""


class IndexBuildError(IndexError_):
    """The index cannot be built."""


class IndexPullError(IndexError_):
    """An index, or the part of it that was asked for, does not come."""


class BagError(GeolocError):
    """A recording is missing, truncated, empty or lacks the needed topics."""


class OdometryError(GeolocError):
    """Odometry cannot be used as given."""


class TrajectoryError(GeolocError):
    """A trajectory cannot be read, or not be compared with another."""


class PriorError(GeolocError):
    """Prior knowledge of place cannot be used as given."""


class SceneError(GeolocError):
    """A description of a scene cannot be used as given."""


class UnparseableError(GeolocError, ValueError):
    """A model said something that is no answer."""


class TrainingError(GeolocError):
    """A data set or a checkpoint cannot be used for training."""


class DatasetError(TrainingError):
    """A data set is incomplete, or one of its lists or pictures cannot be used."""
