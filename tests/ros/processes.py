# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Nodes and tools as processes of their own."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

LAUNCH = Path(__file__).parents[2] / "launch"


class Command:
    """A command whose output is read as it comes."""

    def __init__(self, words: list[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def text(self) -> str:
        """The last of what it said."""
        return "\n".join(self.lines[-30:])

    def says(self, words: str, timeout_s: float = 60.0) -> bool:
        from harness import wait_until

        return wait_until(lambda: any(words in line for line in self.lines), timeout_s)

    def child(self, pattern: str) -> int:
        """Process that it has started, by its command line; nobody else's."""
        words = ["pgrep", "-P", str(self.process.pid), "-f", pattern]
        return int(subprocess.run(words, capture_output=True, text=True).stdout.split()[-1])

    def end(self, timeout_s: float = 20.0) -> int:
        """Ctrl-C, and whatever status it ends with."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._reader.join(5.0)
            self.process.stdout.close()


def node_command(made, tmp_path, name: str = "localizer", *more: str) -> list[str]:
    settings = {
        "index": made.index,
        "model": made.model,
        "image_transport": "compressed",
        "use_height": "true",
        "use_sim_time": "true",
        "saved_pose_file": tmp_path / "saved.json",
    }
    words = [sys.executable, "-m", f"geoloc_ros.ros.{name}", "--ros-args"]
    for key, value in settings.items():
        words += ["-p", f"{key}:={value}"]
    return [*words, *more]


def launch_command(file: str, **arguments: object) -> list[str]:
    found = ["ros2", "launch", str(LAUNCH / file)]
    return found + [f"{name}:={value}" for name, value in arguments.items()]
