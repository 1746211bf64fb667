# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Loads llama-cpp-python when it is first needed, and sends what llama.cpp prints to our log."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from collections import deque
from typing import Any

from geoloc_ros.errors import ConfigError, first_line

logger = logging.getLogger("geoloc_ros.llama_cpp")

#: log level of llama.cpp -> ours; its errors come back to the caller as exceptions as well
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.INFO}
_ERROR, _CONTINUED = 4, 5
_KEPT_LINES = 8
_MISSING = (
    "a vision-language model needs llama-cpp-python, which is not here ({why}); install it with "
    "'pip install llama-cpp-python==0.3.36', which compiles for some minutes; everything else "
    "runs without"
)


class _Listener:
    """Takes the library's output, which comes in pieces, and gives whole lines to the log."""

    def __init__(self) -> None:
        self.complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        self._level, self._line = 1, ""

    def hear(self, level: int, text: bytes | None, data: object) -> None:
        """The callback of llama.cpp."""
        del data
        self._level = level if level != _CONTINUED else self._level
        *lines, self._line = (self._line + (text or b"").decode("utf-8", "replace")).split("\n")
        for line in filter(None, map(str.strip, lines)):
            if self._level == _ERROR:
                self.complaints.append(line)
            logger.log(_LEVELS.get(self._level, logging.DEBUG), "%s", line)


_listener = _Listener()
_kept: list[Any] = []  # the callback must outlive every call into the library


def check_installed() -> None:
    """See that llama-cpp-python is there, without loading it.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise ConfigError(_MISSING.format(why="no module llama_cpp"))


def load_libraries() -> tuple[Any, Any]:
    """The modules `llama_cpp` and `llama_cpp.mtmd_cpp`.

    Raises:
        ConfigError: llama-cpp-python is not installed, or is one without what is needed here.
    """
    try:
        import llama_cpp
        from llama_cpp import mtmd_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(_MISSING.format(why=first_line(error))) from error
    if not _kept:
        missing = [n for n in ("llama_memory_seq_cp",) if not hasattr(llama_cpp, n)]
        missing += [n for n in ("mtmd_helper_log_set",) if not hasattr(mtmd_cpp, n)]
        if missing:
            raise ConfigError(
                f"llama-cpp-python {llama_cpp.__version__} lacks {', '.join(missing)}; install "
                "llama-cpp-python==0.3.36"
            )
        callback = llama_cpp.llama_log_callback(_listener.hear)
        _kept.append(callback)
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
        mtmd_cpp.mtmd_helper_log_set(callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    return llama_cpp, mtmd_cpp


def complaint() -> str:
    """What llama.cpp complained about since the last call, in one line."""
    lines = list(_listener.complaints)
    _listener.complaints.clear()
    return "; ".join(lines)[:400] or "llama.cpp gave no reason"
