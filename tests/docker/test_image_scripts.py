# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The scripts that make up the images, run outside of them with stubs for what they call."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "docker"
NAMES = sorted(path.name for path in SCRIPTS.glob("*.sh"))


class Bench:
    """A folder with stubs that come before the machine's own commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.log = folder, folder / "bin", folder / "log"
        self.bin.mkdir()
        self.log.touch()

    def stub(self, name: str, body: str = "") -> None:
        """A command that notes how it was called, then does something."""
        path = self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        note = f'#!/bin/bash\necho "${{0##*/}} $*" >>"{self.log}"\n'
        path.write_text(note + body + "\n")
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(SCRIPTS / script), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.folder)} | variables,
        )

    def calls(self, name: str) -> list[str]:
        lines = self.log.read_text().splitlines()
        return [line.removeprefix(f"{name} ") for line in lines if line.split()[0] == name]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_they_parse_and_stop_at_errors(name: str) -> None:
    path = SCRIPTS / name
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert "\nset -e" in path.read_text()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_shellcheck_finds_nothing() -> None:
    subprocess.run(["shellcheck", *(str(SCRIPTS / name) for name in NAMES)], check=True)


# -- install_ros.sh -------------------------------------------------------------------------------


@pytest.fixture
def ubuntu(bench: Bench) -> Bench:
    """A bare Ubuntu: apt knows no ROS, downloads come, root may do what it likes."""
    (bench.folder / "os-release").write_text("VERSION_CODENAME=noble\n")
    bench.stub("apt-get")
    bench.stub("apt-cache", "exit 100")
    bench.stub("curl", 'while [[ $1 != -o ]]; do shift; done; echo downloaded >"$2"')
    bench.stub("sha256sum", "cat >/dev/null")
    bench.stub("dpkg")
    return bench


def _install_ros(bench: Bench, *packages: str, distro: str = "jazzy") -> str:
    release = str(bench.folder / "os-release")
    done = bench.run("install_ros.sh", *packages, ROS_DISTRO=distro, OS_RELEASE=release)
    return done.stderr if done.returncode else ""


def test_ros_is_installed_from_its_own_archive(ubuntu: Bench) -> None:
    assert _install_ros(ubuntu, "robot-localization") == ""
    assert ubuntu.calls("curl")[0].endswith("/1.2.0/ros2-apt-source_1.2.0.noble_all.deb")
    assert len(ubuntu.calls("dpkg")) == 1
    last = ubuntu.calls("apt-get")[-1].split()
    assert last[0] == "install"
    assert {"ros-jazzy-ros-base", "ros-jazzy-bondpy", "ros-jazzy-robot-localization"} <= set(last)
    assert "python3-venv" in last


def test_an_altered_download_is_not_installed(ubuntu: Bench) -> None:
    (ubuntu.bin / "sha256sum").unlink()  # the machine's own
    assert "did NOT match" in _install_ros(ubuntu)
    assert ubuntu.calls("dpkg") == []
    assert not any("ros-jazzy" in call for call in ubuntu.calls("apt-get"))


def test_an_image_that_has_the_archive_is_left_as_it_is(ubuntu: Bench) -> None:
    ubuntu.stub("apt-cache")
    assert _install_ros(ubuntu, distro="humble") == ""
    assert ubuntu.calls("curl") == []
    assert "ros-humble-ros-base" in ubuntu.calls("apt-get")[-1]


def test_another_system_is_refused(ubuntu: Bench) -> None:
    (ubuntu.folder / "os-release").write_text("VERSION_CODENAME=bookworm\n")
    error = _install_ros(ubuntu)
    assert "no ROS 2 packages for 'bookworm'; known: " in error
    assert "noble" in error


# -- install_python.sh ----------------------------------------------------------------------------


@pytest.fixture
def python(bench: Bench) -> Bench:
    """A python3 that makes environments whose python notes what it is told to install."""
    inner = (
        'echo "constraint=${PIP_CONSTRAINT-unset}" >>"$0.log"\n'
        'while (($#)); do [[ $1 != -r ]] || cat "$2" >>"$0.log"; shift; done'
    )
    bench.stub("inner", inner)
    bench.stub(
        "python3",
        f'[[ "$1 $2 $3" == "-m venv --system-site-packages" ]] || exit 1\n'
        f'mkdir -p "$4/bin"; cp "{bench.bin}/inner" "$4/bin/python"',
    )
    text = "numpy==1.26.4\nonnxruntime==1.32.0\nrosbags==0.11.9\n"
    (bench.folder / "pins.txt").write_text(text)
    return bench


def test_pinned_packages_are_installed_beside_the_systems(python: Bench) -> None:
    done = python.run("install_python.sh", "venv", "pins.txt", PIP_CONSTRAINT="/etc/of-nvidia")
    assert done.returncode == 0, done.stderr
    assert python.calls("python")[0].startswith("-m pip install")
    assert "import cv2, hnswlib" in python.calls("python")[-1]
    found = (python.folder / "venv" / "bin" / "python.log").read_text()
    assert "onnxruntime==1.32.0" in found
    assert "constraint=/etc/of-nvidia" not in found


def test_another_onnxruntime_takes_the_place_of_the_usual(python: Bench) -> None:
    done = python.run(
        "install_python.sh",
        "venv",
        "pins.txt",
        ONNXRUNTIME="onnxruntime-gpu==1.23.0",
        ONNXRUNTIME_INDEX="https://index",
    )
    assert done.returncode == 0, done.stderr
    found = (python.folder / "venv" / "bin" / "python.log").read_text()
    assert "onnxruntime==" not in found
    assert "rosbags==0.11.9" in found
    special = [call for call in python.calls("python") if "onnxruntime-gpu" in call]
    assert len(special) == 1
    assert special[0].endswith("--no-deps --index-url https://index onnxruntime-gpu==1.23.0")


def test_without_an_index_the_usual_one_is_asked(python: Bench) -> None:
    python.run("install_python.sh", "venv", "pins.txt", ONNXRUNTIME="onnxruntime-gpu==1.22.0")
    assert not any("--index-url" in call for call in python.calls("python"))


# -- build_workspace.sh, add_user.sh, entrypoint.sh -----------------------------------------------


def test_the_workspace_is_built_by_the_python_that_has_the_packages(bench: Bench) -> None:
    (bench.folder / "source" / "ros2_ws").mkdir(parents=True)
    (bench.folder / "setup.bash").write_text("echo $UNSET_BY_ROS; export FROM_ROS=yes\n")
    bench.stub("../venv/bin/python", 'echo "$PWD $COLCON_DEFAULTS_FILE $FROM_ROS"')
    done = bench.run("build_workspace.sh", "source", "venv", "--flag", ROS_SETUP="setup.bash")
    assert done.returncode == 0, done.stderr
    workspace = bench.folder / "source" / "ros2_ws"
    assert done.stdout.split() == [str(workspace), f"{workspace}/colcon_defaults.yaml", "yes"]
    assert bench.calls("python")[0].endswith(" build --flag")


@pytest.mark.parametrize("taken", [True, False])
def test_the_user_takes_the_place_of_the_images_own(bench: Bench, taken: bool) -> None:
    bench.stub("getent", "echo ubuntu:x:1000:1000::/home/ubuntu:/bin/bash" if taken else "exit 2")
    for name in ("userdel", "useradd", "install"):
        bench.stub(name)
    assert bench.run("add_user.sh", "1000", "/state").returncode == 0
    assert bench.calls("userdel") == (["--remove ubuntu"] if taken else [])
    assert "--uid 1000" in bench.calls("useradd")[0]
    assert bench.calls("install") == ["-d -o geoloc -g geoloc /state"]


@pytest.fixture
def workspace(bench: Bench) -> Bench:
    install = bench.folder / "ros2_ws" / "install"
    install.mkdir(parents=True)
    (bench.folder / "setup.bash").write_text("echo -n $UNSET_BY_ROS; export CHAIN=ros\n")
    (install / "local_setup.bash").write_text("export CHAIN=$CHAIN,workspace\n")
    return bench


def test_the_entrypoint_hands_over(workspace: Bench) -> None:
    command = ["bash", "-c", 'echo "$CHAIN|$1|$$"; exit 7', "name", "two words"]
    process = subprocess.Popen(
        [str(SCRIPTS / "entrypoint.sh"), *command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"ROS_SETUP": f"{workspace.folder}/setup.bash"}
        | {"GEOLOC_SOURCE": str(workspace.folder)},
    )
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 7
    # of the same process id: signals reach the command
    assert said == f"ros,workspace|two words|{process.pid}\n"


def test_the_entrypoint_fails_without_a_workspace(workspace: Bench) -> None:
    (workspace.folder / "ros2_ws" / "install" / "local_setup.bash").unlink()
    variables = {"ROS_SETUP": f"{workspace.folder}/setup.bash"}
    done = workspace.run("entrypoint.sh", "true", **variables, GEOLOC_SOURCE=str(workspace.folder))
    assert done.returncode != 0
