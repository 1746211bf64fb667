# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from made_flight import Made, make, record


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    return make(tmp_path_factory.mktemp("flight"))


@pytest.fixture(scope="session")
def bag(made):
    return record(made, made.root / "bag")
