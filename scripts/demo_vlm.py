#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Print the options with which `make demo` asks a vision-language model, or say why it asks none.

The model is tried first, in a process of its own: the demo never fails because of it.

Example:
  python scripts/demo_vlm.py models/vlm-tiny
"""

from __future__ import annotations

import sys

from geoloc_ros.errors import GeolocError, first_line
from geoloc_ros.vlm.llama_library import check_installed
from geoloc_ros.vlm.opening import open_vlm
from geoloc_ros.vlm.trial import try_apart

#: the drive takes about five and a half minutes
EVERY_S = 4


def main(model: str) -> int:
    """Options on stdout, for people one line on stderr."""
    try:
        open_vlm(model)
        check_installed()
        trial = try_apart(model)
    except GeolocError as error:
        say(f"the drive goes on without a vision-language model: {first_line(error)}")
        return 0
    say(f"{model} is asked on the way, about {trial.image_s:.1f} s a picture")
    print(f"--vlm {model} --vlm-every {EVERY_S}")
    return 0


def say(text: str) -> None:
    """Tell people, not the Makefile."""
    print(f"==> {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
