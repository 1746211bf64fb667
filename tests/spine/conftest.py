# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from made_ground import Place, make_place

from geoloc_ros.config import Config, from_mapping


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def small() -> Config:
    config: Config = from_mapping({"filter": {"particles": 800}})
    return config
