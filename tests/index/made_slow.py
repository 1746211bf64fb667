# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Encoders for workers that are lost while they work."""

import os
import signal
import time

from geoloc_ros.encoders.fake import FakeEncoder


class SlowEncoder(FakeEncoder):
    """Takes its time over every batch; what it says is what `FakeEncoder` says."""

    def encode_reference(self, crops):
        time.sleep(0.05)
        return super().encode_reference(crops)


class DeadlyEncoder(FakeEncoder):
    """Kills the process that asks it."""

    def encode_reference(self, crops):
        os.kill(os.getpid(), signal.SIGKILL)
