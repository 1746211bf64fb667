#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Does the live localizer stay as it is? A recording played in a loop, for half an hour.

Starts the localizer and `ros2 bag play --loop --clock` on a real ROS 2, watches the localizer's
process (resident memory, threads, open files, CPU time) and what it says on /diagnostics. Memory
counts from when a fifth of the time has passed: its growth is that of a straight line through
the samples, as a share of their mean. Ends with status 1 if memory grew by more than 2 %, or
threads or open files at all.

`outside_of_core` is the CPU time of everything but encoder and search, as a share of one core;
`outside_of_all`, as a share of all CPU time of the process.

Example:
  . /opt/ros/jazzy/setup.bash && . ros2_ws/install/local_setup.bash
  .venv/bin/python bench/soak.py out/demo/world/drive_00 --index out/demo/index --json soak.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from geoloc_ros.process_memory import resident_bytes

MEMORY_GROWTH = 0.02
TICK = os.sysconf("SC_CLK_TCK")


def start(bag: Path, index: Path, rate: float, topics: dict[str, str]) -> list[subprocess.Popen]:
    """The localizer and the player."""
    remapped = [word for pair in topics.items() for word in ("-r", f"{pair[0]}:={pair[1]}")]
    settings = {"index": index, "image_transport": "compressed", "use_sim_time": "true"}
    settings |= {"autostart": "true", "saved_pose_file": "none", "bond": "false"}
    given = [word for pair in settings.items() for word in ("-p", f"{pair[0]}:={pair[1]}")]
    node = [sys.executable, "-m", "geoloc_ros.ros.localizer", "--ros-args", *given, *remapped]
    play = ["ros2", "bag", "play", str(bag), "--loop", "--clock", "50", "--rate", str(rate)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [subprocess.Popen(words, start_new_session=True, **quiet) for words in (node, play)]


def end(process: subprocess.Popen) -> None:
    """Ask a command and what it has started to end; make them, if they do not."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def sample(pid: int) -> dict[str, float]:
    """Memory in MB, threads, open files and CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return {
        "memory_mb": resident_bytes(pid) / 2**20,
        "threads": float(fields[17]),
        "files": float(len(list(Path(f"/proc/{pid}/fd").iterdir()))),
        "cpu_s": (int(fields[11]) + int(fields[12])) / TICK,
        "at_s": time.monotonic(),
    }


class Listener:
    """The latest figures of the component `frames` on /diagnostics."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray

        rclpy.init()
        self.figures: dict[str, str] = {}
        self._node = rclpy.create_node("soak")
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)

    def _take(self, message: object) -> None:
        for status in message.status:
            if status.name.endswith(": frames"):
                self.figures = {item.key: item.value for item in status.values}

    def listen(self, seconds: float) -> None:
        """Listen for a while."""
        import rclpy

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            rclpy.spin_once(self._node, timeout_sec=0.5)


def summary(samples: list[dict[str, float]], first: dict, last: dict) -> dict[str, float]:
    """What the samples say."""
    late = samples[len(samples) // 5 :]
    at = np.array([s["at_s"] - late[0]["at_s"] for s in late])
    memory = np.array([s["memory_mb"] for s in late])
    slope = float(np.polyfit(at, memory, 1)[0])
    seconds = samples[-1]["at_s"] - samples[0]["at_s"]
    cpu_s = samples[-1]["cpu_s"] - samples[0]["cpu_s"]
    core = ("encode_cpu_s", "search_cpu_s")
    inside = sum(float(last.get(k, 0)) - float(first.get(k, 0)) for k in core)
    return {
        "minutes": seconds / 60,
        "frames_received": float(last.get("frames_received", 0)),
        "frames_used": float(last.get("frames_used", 0)),
        "memory_mb": float(memory.mean()),
        "memory_growth": slope * float(at[-1]) / float(memory.mean()),
        "threads_grown": late[-1]["threads"] - late[0]["threads"],
        "files_grown": late[-1]["files"] - late[0]["files"],
        "cpu_of_core": cpu_s / seconds,
        "outside_of_core": (cpu_s - inside) / seconds,
        "outside_of_all": (cpu_s - inside) / cpu_s,
    }


def main() -> int:
    """Run it; exit status 1 where something grew."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, help="recording, a rosbag2 directory")
    parser.add_argument("--index", type=Path, required=True, help="index of the place")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing")
    parser.add_argument("--image", default="/camera/image", help="topic, without /compressed")
    parser.add_argument("--camera-info", default="/camera/camera_info", help="topic")
    parser.add_argument("--odom", default="/odom", help="topic")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    topics = {
        "image/compressed": f"{arguments.image}/compressed",
        "camera_info": arguments.camera_info,
        "odom": arguments.odom,
    }
    processes = start(arguments.bag, arguments.index, arguments.rate, topics)
    samples, first, listener = [], {}, Listener()
    try:
        listener.listen(30.0)  # start, and the filter's first compilation
        for _ in tqdm(range(int(arguments.minutes * 12)), unit="sample"):
            samples.append(sample(processes[0].pid))
            first = first or dict(listener.figures)
            listener.listen(5.0)
    finally:
        for process in processes:
            end(process)
    found = summary(samples, first, listener.figures)
    for name, value in found.items():
        print(f"{name:20} {value:.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    grown = found["memory_growth"] > MEMORY_GROWTH or found["threads_grown"] > 0
    return int(grown or found["files_grown"] > 0)


if __name__ == "__main__":
    sys.exit(main())
