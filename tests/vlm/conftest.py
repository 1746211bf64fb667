# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import pytest
from made_flight import START_NS, Made, make, record

#: the flight at a quarter of its speed: there is time for an answer that is half a minute late
STEP_NS = 400_000_000


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    return make(tmp_path_factory.mktemp("flight"))


@pytest.fixture(scope="session")
def bag(made):
    def slower(tick):
        tick.stamp_ns = START_NS + tick.number * STEP_NS
        return tick

    return record(made, made.root / "bag", slower)
