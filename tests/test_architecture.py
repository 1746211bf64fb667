# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Imports point downwards only, and the core imports without ROS and without heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "geoloc_ros"
BASE = {"geo", "datatypes", "checked", "config", "errors", "workers", "compiled", "messages"}
BASE |= {"stage_clock", "strict_yaml", "durable", "digest", "process_memory"}
STAGES = {"cameras", "encoders", "filtering", "imagery", "index", "rerank", "vlm"}
#: room -> rooms it may import besides itself and the base
ALLOWED = {
    "geo": set(),
    "workers": set(),
    "cameras": {"encoders", "imagery"},
    "encoders": set(),
    "filtering": {"cameras", "encoders", "index", "imagery"},
    "imagery": {"encoders"},
    "index": {"encoders", "imagery"},
    "rerank": {"encoders", "index", "vlm"},
    "yaw_hypotheses": STAGES,
    "pipeline": STAGES | {"yaw_hypotheses"},
    "synchronizer": STAGES,
    "rig": set(),
    "tracker": STAGES | {"pipeline", "rig", "synchronizer"},
    "messages": set(),
    "stage_clock": set(),
    "evaluation": STAGES | {"vlm"},
    "report": STAGES | {"evaluation", "vlm"},
    "bags": STAGES | {"pipeline", "rig", "synchronizer", "tracker", "vlm", "evaluation", "report"},
    "ros": STAGES | {"pipeline", "rig", "synchronizer", "tracker", "vlm"},
    "vlm": {"encoders"},
    "synthetic": STAGES | {"bags"},
    "training": STAGES | {"synthetic", "bags", "evaluation", "vlm", "yaw_hypotheses"},
}


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "geoloc_ros":
                names = [f"geoloc_ros.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {n.split(".")[1] for n in names if n.startswith("geoloc_ros.")}
    return rooms


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_point_downwards(room: str) -> None:
    for path in SOURCE.rglob("*.py"):
        if _room(path) == room:
            extra = _imported_rooms(path) - BASE - ALLOWED[room] - {room}
            assert not extra, f"{path.relative_to(SOURCE)} imports {sorted(extra)}"


@pytest.mark.parametrize("name", ["rclpy", "torch", "tensorrt", "matplotlib", "trimesh"])
def test_the_spine_imports_without(name: str) -> None:
    code = f"import sys; sys.modules[{name!r}] = None; import geoloc_ros.bags.replay"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_files_stay_readable() -> None:
    long = {
        str(p.relative_to(SOURCE)): n
        for p in SOURCE.rglob("*.py")
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long
