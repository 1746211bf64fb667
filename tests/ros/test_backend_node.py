# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says of the encoder's back end."""

import dataclasses

import pytest
from fake_engines import FakeTensorRT

from geoloc_ros.encoders.backends import choosing
from geoloc_ros.encoders.backends.ort import OrtCpu

WITHIN_S = 60.0


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeTensorRT:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake = FakeTensorRT(
        tmp_path / "builds", waits_for=tmp_path / "told", breaks_at=tmp_path / "broken"
    )
    monkeypatch.setattr(choosing, "all_backends", lambda: (fake, OrtCpu()))
    return fake


def says(found: list, level: bytes, *words: str) -> bool:
    """Whether the newest status of the encoder is of a level and has some words."""
    newest = [s for a in found for s in a.status if s.name.endswith(": encoder")][-1:]
    texts = [" ".join([s.message, *(f"{v.key}={v.value}" for v in s.values)]) for s in newest]
    return any(s.level == level for s in newest) and all(w in texts[0] for w in words)


def test_building_switching_and_failing_are_told(made, tmp_path, fake) -> None:
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    from harness import Stage, wait_until

    ok, warn = DiagnosticStatus.OK, DiagnosticStatus.WARN
    found: list = []
    stage = Stage(made, tmp_path)
    try:
        stage.vehicle.listen(DiagnosticArray, "/diagnostics", found)
        stage.up()
        assert wait_until(
            lambda: says(found, ok, "ort-cpu; building tensorrt fp32", "% done"), WITHIN_S
        )
        fake.waits_for.touch()
        assert wait_until(lambda: says(found, ok, "backend=tensorrt fp32"), WITHIN_S)
        fake.breaks_at.touch()
        stage.vehicle.drive(range(10))
        assert wait_until(
            lambda: says(found, warn, "ort-cpu in place of tensorrt fp32", "illegal memory"),
            WITHIN_S,
        )
        assert stage.vehicle.statuses
    finally:
        stage.close()


def test_a_back_end_that_is_not_there_does_not_configure(
    made, tmp_path, fake, monkeypatch
) -> None:
    from harness import Stage

    missing = dataclasses.replace(fake, missing="no GPU")
    monkeypatch.setattr(choosing, "all_backends", lambda: (missing, OrtCpu()))
    stage = Stage(made, tmp_path, **{"encoder.backend": "tensorrt"})
    try:
        assert not stage.change("configure")
        assert "encoder.backend is tensorrt and does not work here" in stage.localizer.progress
        assert "no GPU" in stage.localizer.progress
    finally:
        stage.close()
