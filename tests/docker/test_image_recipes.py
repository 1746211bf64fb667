# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What must hold of the Dockerfile, the compose files and the pinned requirements."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
ONBOARD = ("onboard-x86", "onboard-jetson")
TARGETS = ("demo", "dev", *ONBOARD)


def _instructions() -> list[str]:
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def _stages() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in _instructions():
        if line.startswith("FROM"):
            found[line.split()[-1]] = []
        elif found:
            list(found.values())[-1].append(line)
    return found


def test_every_base_has_a_name_and_a_version() -> None:
    bases = dict(re.findall(r"^ARG (\w+_BASE)=(\S+)$", DOCKERFILE, re.MULTILINE))
    used = re.findall(r"^FROM \$\{(\w+)\} AS", DOCKERFILE, re.MULTILINE)
    assert sorted(used) == sorted(bases)
    assert tuple(_stages()) == TARGETS
    for image in bases.values():
        tag = image.rpartition(":")[2]
        assert re.search(r"\d|jazzy", tag), image
        assert "latest" not in tag


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root_in_the_end(target: str) -> None:
    users = [line for line in _stages()[target] if line.startswith("USER")]
    assert users == ["USER ${UID}"]
    assert "ARG UID=1000" in _stages()[target]


@pytest.mark.parametrize("distro", ["humble", "jazzy"])
@pytest.mark.parametrize("target", TARGETS)
def test_what_it_copies_and_runs_exists(target: str, distro: str) -> None:
    for line in _stages()[target]:
        if line.startswith("COPY"):
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in (s.replace("${ROS_DISTRO}", distro) for s in sources if s != "."):
                assert any(ROOT.glob(source)), line
        for name in re.findall(r"[\w.]+\.(?:sh|py)\b", line):
            known = [*(ROOT / "docker").iterdir(), *(ROOT / "launch").iterdir()]
            assert name in [path.name for path in known], line


@pytest.mark.parametrize("target", ONBOARD)
def test_onboard_images_watch_over_themselves(target: str) -> None:
    stage = "\n".join(_stages()[target])
    assert "healthcheck.py" in re.search("HEALTHCHECK.*", stage)[0]
    assert "EXPOSE" not in DOCKERFILE


def test_onboard_images_differ_in_their_base_only() -> None:
    x86, jetson = ([re.sub("ARG .*|ENV .*", "", line) for line in _stages()[t]] for t in ONBOARD)
    jetson = [line.replace("${ROS_DISTRO}.txt", "jazzy.txt") for line in jetson]
    assert [line for line in x86 if line] == [line for line in jetson if line]


# -- compose --------------------------------------------------------------------------------------


def test_the_profiles() -> None:
    services = COMPOSE["services"]
    assert {name: service["profiles"] for name, service in services.items()} == {
        name: [name] for name in ("live", "replay", "demo")
    }
    targets = [
        str(s["build"]["target"]).rpartition(":-")[2].rstrip("}") for s in services.values()
    ]
    assert targets == ["onboard-x86", "dev", "demo"]


@pytest.mark.parametrize("name", ["live", "replay", "demo"])
def test_no_container_gets_more_than_it_needs(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"ports", "privileged", "devices", "ipc", "pid", "cap_add"} & set(service)


def test_a_replay_is_heard_by_nobody_else() -> None:
    replay = COMPOSE["services"]["replay"]
    assert replay["networks"] == ["replay"]
    assert COMPOSE["networks"]["replay"] == {"internal": True}
    assert COMPOSE["services"]["demo"]["network_mode"] == "none"


def _launch_arguments(launch_file: str) -> set[str]:
    """Names declared in a launch file and in what all have in common."""
    found: set[str] = set()
    for path in (ROOT / "launch" / launch_file, ROOT / "src/geoloc_ros/ros/launching.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "DeclareLaunchArgument":
                found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMON":
                found |= {entry[0] for entry in ast.literal_eval(node.value)}
    return found


def test_launch_arguments_exist() -> None:
    texts = [DOCKERFILE.replace('", "', " "), (ROOT / "docs" / "docker.md").read_text()]
    texts += [service.get("command", "") for service in COMPOSE["services"].values()]
    lines = [line for text in texts for line in text.splitlines() if ".launch.py" in line]
    assert len(lines) >= 4
    for line in lines:
        known = _launch_arguments(re.search(r"\w+\.launch\.py", line)[0])
        assert len(known) > 5
        assert set(re.findall(r"(\w+):=", line)) <= known, line


# -- requirements ---------------------------------------------------------------------------------


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "not every version is pinned"
    return {pair[0]: pair[1] for pair in pairs}


def _needed(keyword: str) -> list[str]:
    """Requirements in setup.py."""
    calls = [
        n for n in ast.walk(ast.parse((ROOT / "setup.py").read_text())) if isinstance(n, ast.Call)
    ]
    setup = next(call for call in calls if ast.unparse(call.func) == "setup")
    return ast.literal_eval(next(k.value for k in setup.keywords if k.arg == keyword))


def _name(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement)[0].lower()


@pytest.mark.parametrize("name", ["humble.txt", "jazzy.txt", "jazzy-dev.txt"])
def test_all_that_setup_needs_is_pinned(name: str) -> None:
    pins = _pins(name)
    assert {_name(r) for r in _needed("install_requires")} <= set(pins)
    assert "opencv-python" not in pins
    assert pins["numpy"].startswith("1.")


def test_the_extras_of_development_are_pinned() -> None:
    extras = _needed("extras_require")
    wanted = {_name(r) for extra in ("synth", "dev") for r in extras[extra]}
    assert wanted <= set(_pins("jazzy-dev.txt"))


def test_what_goes_onboard_is_what_was_tested() -> None:
    assert _pins("jazzy.txt").items() <= _pins("jazzy-dev.txt").items()


def test_nothing_that_was_built_goes_into_an_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "out", "ros2_ws/build", "ros2_ws/install"} <= set(ignored)


def test_scripts_are_executable_in_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-s", "docker"], capture_output=True, text=True, cwd=ROOT
    )
    if listed.returncode or not listed.stdout:
        pytest.skip("not in a git repository")
    for line in listed.stdout.splitlines():
        if line.endswith((".sh", ".py")):
            assert line.startswith("100755"), line
