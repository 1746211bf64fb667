# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Images between the callback that hears them and the worker that looks at them."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Holds the newest images of every camera.

    Attributes:
        replaced: images that a newer one replaced before anybody looked.

    Args:
        keep: how many of each camera. Of cameras that are one rig more than one: where only the
            newest were kept, those of a moment might never be there together.
    """

    def __init__(self, keep: int) -> None:
        self.replaced = 0
        self._lock = threading.Lock()
        self._images: defaultdict[str, deque[tuple[int, Any]]] = defaultdict(
            lambda: deque(maxlen=keep)
        )

    def put(self, camera: str, stamp_ns: int, message: Any) -> None:  # noqa: ANN401
        """Leave an image for the worker."""
        with self._lock:
            images = self._images[camera]
            self.replaced += len(images) == images.maxlen
            images.append((stamp_ns, message))

    def take(self, wanted: Callable[[str], bool]) -> list[tuple[str, int, Any]]:
        """Camera, stamp and message of the images of cameras that are wanted, the oldest first."""
        with self._lock:
            names = [name for name in self._images if wanted(name)]
            found = [(name, *image) for name in names for image in self._images.pop(name)]
        return sorted(found, key=lambda item: item[1])

    def clear(self) -> None:
        """Throw all away."""
        with self._lock:
            self._images.clear()
