# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
import dataclasses
from pathlib import Path

import pytest

from geoloc_ros import config
from geoloc_ros.errors import ConfigError

ROOT = Path(__file__).parents[1]


def test_checked_in_yaml_is_the_dump() -> None:
    assert (ROOT / "config/geoloc.yaml").read_text() == config.dump()


def test_dump_loads_to_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(config.dump())
    assert config.load(path) == config.Config()


def test_every_parameter_is_documented() -> None:
    for name, _, item in config.flatten(config.Config()):
        assert len(item.metadata["doc"]) > 10, name


def test_every_number_has_bounds_that_hold_its_default() -> None:
    for name, value, item in config.flatten(config.Config()):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert item.metadata["ge"] <= value <= item.metadata["le"], name


def test_order_is_defaults_file_override(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("filter: {particles: 700}\nrandom_seed: 3\n")
    loaded = config.load(path, ("filter.particles=900",))
    assert (loaded.filter.particles, loaded.random_seed) == (900, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filter: {particels: 3}", "unknown parameter filter.particels"),
        ("filter: {particles: many}", "filter.particles must be int"),
        ("filter: {particles: 3}", "must lie in \\[50"),
        ("filter: 7", "must be a mapping"),
        ("random_seed: true", "must be int"),
        ("filter: {decorrelation_m: .nan}", "must lie in"),
        ("- a\n- b", "must be a mapping"),
        ("a: [", "cannot read configuration"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        config.load(path)


def test_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "none.yaml")


def test_hash_follows_every_value() -> None:
    base = config.Config()
    other = dataclasses.replace(base, random_seed=1)
    assert config.sha256(base) != config.sha256(other)
    assert config.sha256(base) == config.sha256(config.Config())
