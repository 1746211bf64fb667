# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The layouts for RViz and Foxglove: well formed, and about topics that exist."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RVIZ = ROOT / "config" / "geoloc.rviz"
FOXGLOVE = ROOT / "config" / "geoloc.foxglove.json"
MESSAGES = ROOT / "ros2_ws" / "src" / "geoloc_msgs" / "msg"
#: published by tools, not by us
OFFERED_BY_TOOLS = {"/clicked_point", "/goal_pose"}


def strings_of(*files: str) -> set[str]:
    """Every text in some files of the nodes."""
    paths = [ROOT / "src" / "geoloc_ros" / "ros" / f"{name}.py" for name in files]
    trees = [ast.parse(path.read_text()) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def exists(topic: str) -> bool:
    """Whether a node of ours, or the EKF beside it, has a topic of this name."""
    own = re.fullmatch(r"/(geoloc_localizer|geoloc_vlm)/(.+)", topic)
    if own:
        files = ("outputs",) if own[1] == "geoloc_localizer" else ("vlm_node",)
        return f"~/{own[2]}" in strings_of(*files)
    known = strings_of("inputs", "outputs", "diagnostics", "fusing")
    name = topic.removesuffix("/compressed")
    return name in known or name.removeprefix("/") in known or topic in OFFERED_BY_TOOLS


def values(tree: object, *keys: str) -> Iterator[str]:
    """Whatever stands under some keys, anywhere."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in pairs:
        if key in keys and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from values(value, *keys)


def rviz_displays() -> list[dict]:
    return yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Displays"]


def test_rviz_shows_what_there_is() -> None:
    displays = rviz_displays()
    kinds = [display["Class"].removeprefix("rviz_default_plugins/") for display in displays]
    assert {"TF", "Image", "MarkerArray", "PoseWithCovariance", "Odometry"} <= set(kinds)
    topics = [display["Topic"]["Value"] for display in displays if "Topic" in display]
    tools = yaml.safe_load(RVIZ.read_text())["Visualization Manager"]["Tools"]
    topics += [tool["Topic"]["Value"] for tool in tools if "Topic" in tool]
    assert len(topics) > 5
    assert [topic for topic in topics if not exists(topic)] == []


def test_foxglove_shows_what_there_is() -> None:
    layout = json.loads(FOXGLOVE.read_text())
    panels = layout["configById"]
    placed = set(values(layout["layout"], "first", "second"))
    assert placed == set(panels)
    kinds = {name.split("!")[0] for name in panels}
    assert kinds >= {"Image", "map", "3D", "StateTransitions", "RawMessages", "Plot"}
    keys = ("imageTopic", "calibrationTopic", "followTopic", "topicToRender", "topicPath")
    topics = {*values(panels, *keys, "poseEstimateTopic", "poseTopic", "pointTopic")}
    topics |= set(panels["3D!map"]["topics"]) | set(panels["map!fix"]["topicColors"])
    assert len(topics) > 8
    assert sorted(topic for topic in topics if not exists(topic)) == []


def test_foxglove_plots_fields_that_messages_have() -> None:
    panels = json.loads(FOXGLOVE.read_text())["configById"]
    paths = [path["value"] for panel in panels.values() for path in panel.get("paths", [])]
    assert len(paths) == 4
    fields = re.findall(r"^\S+ (\w+)$", (MESSAGES / "LocalizationStatus.msg").read_text(), re.M)
    for path in paths:
        topic, field = path.split(".")
        assert topic == "/geoloc_localizer/status"
        assert field in fields


@pytest.mark.parametrize("name", ["/geoloc_localizer/position", "/speed"])
def test_a_topic_that_is_not_there_is_noticed(name: str) -> None:
    assert not exists(name)
