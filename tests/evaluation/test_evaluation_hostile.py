# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A damaged output folder is one clear error."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_run import write_run

from geoloc_ros.evaluation import tables
from geoloc_ros.evaluation.columns import ReplayOutputError, truth_from
from geoloc_ros.evaluation.result import write_result


def write_truth(folder: Path, **changes: object) -> None:
    tables.write_truth(folder, truth_from(np.arange(3), np.zeros((3, 3))))
    columns = dict(pq.read_table(folder / "truth.parquet").to_pydict(), **changes)
    pq.write_table(pa.table(columns), folder / "truth.parquet")


@pytest.mark.parametrize(
    "changes",
    [
        {"stamp_ns": ["a", "b", "c"]},
        {"stamp_ns": [0.0, 1.0, float("nan")]},
        {"stamp_ns": [0, None, 2]},
        {"x_m": ["1", "2", "3"]},
    ],
)
def test_columns_of_another_kind_are_refused(changes, tmp_path) -> None:
    write_truth(tmp_path, **changes)
    with pytest.raises(ReplayOutputError, match="column"):
        tables.read_truth(tmp_path)


@pytest.mark.parametrize("text", ['{"wall_s": NaN}', "[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_that_is_none_is_refused(text, tmp_path) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ReplayOutputError, match="summary"):
        tables.read_summary(tmp_path)


def test_figures_that_json_cannot_hold_are_refused(tmp_path) -> None:
    with pytest.raises(ReplayOutputError, match="no numbers"):
        write_result(tmp_path, {"availability": float("inf")})


@pytest.mark.parametrize("name", ["estimates", "truth", "retrieval", "latency"])
def test_a_flipped_bit_is_noticed(name, tmp_path) -> None:
    path = write_run(tmp_path, seconds=20.0) / f"{name}.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReplayOutputError, match=f"cannot read .*{name}.parquet"):
        write_result(tmp_path)
