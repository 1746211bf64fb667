# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A vehicle that changes from the CPU to an engine while it drives, and back when that fails."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fake_engines import FakeTensorRT
from live_vehicle import Drive

from geoloc_ros.config import EncoderConfig
from geoloc_ros.datatypes import Status
from geoloc_ros.encoders.backends.live import LiveEncoder
from geoloc_ros.encoders.backends.ort import OrtCpu


@pytest.fixture
def encoder(loaded, tmp_path):
    fake = FakeTensorRT(tmp_path / "builds", takes_s=0.2, breaks_at=tmp_path / "broken")
    config = EncoderConfig(engine_dir=str(tmp_path / "engines"))
    made = LiveEncoder(loaded.package, config, 1, (fake, OrtCpu()))
    yield made
    made.close()


def test_the_switch_costs_no_frame_and_moves_no_pose(drive, loaded, ticks, encoder, tmp_path):
    drive.go(range(90))
    switching = Drive(replace(loaded, encoder=encoder), ticks)
    switching.info()
    switching.mount()
    switching.go(range(30))
    end = time.monotonic() + 60.0
    while encoder.state.in_use == "ort-cpu" and time.monotonic() < end:
        time.sleep(0.02)
    assert encoder.state.in_use == "tensorrt fp32"
    switching.go(range(30, 60))
    (tmp_path / "broken").touch()
    assert switching.go(range(60, 90))[-1] is Status.LOCALISED
    assert encoder.state.in_use == "ort-cpu"
    assert len(switching.concluded) == len(drive.concluded) == 90
    for there, here in zip(switching.concluded, drive.concluded, strict=True):
        assert there.estimate.stamp_ns == here.estimate.stamp_ns
        assert np.allclose(there.estimate.pose, here.estimate.pose, atol=1e-3, equal_nan=True)


def test_what_is_loaded_can_be_closed(loaded, encoder):
    begun = replace(loaded, encoder=encoder)
    begun.close()
    begun.close()
    assert not encoder._builder.is_alive()
