# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from live_vehicle import Drive
from made_flight import Made, make, record

from geoloc_ros.config import SearchConfig
from geoloc_ros.ros.loading import Loaded, load


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    return make(tmp_path_factory.mktemp("flight"))


@pytest.fixture(scope="session")
def loaded(made) -> Loaded:
    said = []
    found = load(str(made.index), str(made.model), 1, said.append, SearchConfig())
    assert said[-1] == "ready"
    assert any("shard 1 of" in line for line in said)
    return found


@pytest.fixture(scope="session")
def ticks(made, tmp_path_factory) -> list:
    found = []
    record(made, tmp_path_factory.mktemp("bag") / "bag", lambda t: found.append(t) or t)
    return found


@pytest.fixture
def drive(loaded, ticks) -> Drive:
    drive = Drive(loaded, ticks)
    drive.info()
    drive.mount()
    return drive
