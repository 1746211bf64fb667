# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Some rows of several arrays on disk, as one array that is read where it is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class Rows:
    """Rows of arrays of the same row shape, one after the other.

    Args:
        arrays: for example memory maps.
        chosen: row numbers of each that belong to it.
    """

    def __init__(
        self, arrays: Sequence[npt.NDArray[Any]], chosen: Sequence[npt.NDArray[np.int64]]
    ) -> None:
        self._arrays = list(arrays)
        self._rows = np.concatenate(list(chosen))
        self._of = np.repeat(np.arange(len(arrays)), [len(rows) for rows in chosen])

    def __len__(self) -> int:
        """How many rows."""
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return (len(self), *self._arrays[0].shape[1:])

    def __getitem__(self, at: int | slice) -> npt.NDArray[Any]:
        """A row, or a run of rows, in memory."""
        if isinstance(at, slice):
            found = [self[i] for i in range(*at.indices(len(self)))]
            return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)
        return np.array(self._arrays[self._of[at]][self._rows[at]])
