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


def test_the_settings_of_flights_load() -> None:
    flight = config.load(ROOT / "config/flight.yaml")
    assert flight.filter.floor_sigma_m > config.Config().filter.floor_sigma_m


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
        ("a: [", r"cannot read configuration .*line 1, column 5: while parsing a flow node"),
        ("7", "the configuration must be a mapping of parameters, got 7"),
        ("[]", "the configuration must be a mapping"),
        ("input:", "input must be a mapping of parameters, got None"),
        ("input: []", r"input must be a mapping of parameters, got \[\]"),
        ("input: 0", "input must be a mapping of parameters, got 0"),
        ("random_seed: 1\nrandom_seed: 2", "line 2, column 1: 'random_seed' is given twice"),
        ("filter: {particles: 99, particles: 99}", "'particles' is given twice"),
        ("input: " + "[" * 3000, "cannot read configuration .*recursion"),
        ("random_seed: 2020-99-99", "a value cannot be read: month must be in 1..12"),
        ("random_seed: 2020-01-01", r"must be int, got datetime.date\(2020, 1, 1\)"),
        ("random_seed: " + "1" * 5000, "a value cannot be read"),
        ("random_seed: 0x" + "1" * 5000, "is a number of thousands of digits; it must lie in"),
        ("filter: {lost_after_m: " + "1" * 4000 + "}", "must lie in"),
        ("? 0x" + "1" * 5000 + "\n: 3", "unknown parameter a number of thousands of digits"),
        ('"a\\nb": 3', r"unknown parameter a\\nb"),
        ("random_seed: !!bool x", "a value cannot be read"),
        ("filter: !!map x", "expected a mapping node"),
        ("input: &a {<<: {}}", "merge"),
        ("filter: {floor_sigma_m: '1e1'}", "must be float, got '1e1'"),
        ("\0", "unacceptable character"),
    ],
)
def test_mistakes_are_named_in_one_short_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        config.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_values_that_grow_by_aliases_are_shown_short(tmp_path: Path) -> None:
    """Written out, the last list would hold 10^20 texts."""
    lines = ["&a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"&a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    path = tmp_path / "c.yaml"
    path.write_text(f"random_seed: [{', '.join(lines)}]")
    with pytest.raises(ConfigError, match="random_seed must be int, got") as caught:
        config.load(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("filter.particles=[", "'filter.particles=\\['.*: line 1"),
        ("filter.particles=2020-99-99", "month must be in 1..12"),
        ("filter.particles=" + "1" * 5000, "a value cannot be read"),
        ("filter.particles=", "filter.particles must be int, got None"),
        ("filter.particels=3", "'filter.particels' is no parameter"),
        ("filter.particles.x=3", "is no parameter"),
        ("input=", "'input' is no parameter"),
        ("filter=[]", "'filter' is no parameter"),
        ("=3", "'' is no parameter"),
        ("filter", "must look like"),
    ],
)
def test_overrides_that_make_no_sense_are_one_line(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        config.load(None, (override,))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", ["*a", "[x", "%x", "123", "yes", "", "/a: b # c", "a=b"])
def test_texts_are_taken_as_they_stand(text: str) -> None:
    assert config.load(None, (f"input.image_topic={text}",)).input.image_topic == text


@pytest.mark.parametrize("text", ["1e1", "1.0e1", "+1E+1", "10", "10.", ".1e2", "1_0"])
def test_numbers_may_be_written_in_every_usual_way(tmp_path: Path, text: str) -> None:
    found = config.load(None, (f"filter.floor_sigma_m={text}",))
    assert found.filter.floor_sigma_m == 10.0
    assert type(found.filter.floor_sigma_m) is float
    path = tmp_path / "c.yaml"
    path.write_text(f"filter: {{floor_sigma_m: {text}}}")
    assert config.sha256(config.load(path)) == config.sha256(found)


def test_a_file_of_comments_holds_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("# nothing\n")
    assert config.load(path) == config.Config()


def test_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "none.yaml")


def test_hash_follows_every_value() -> None:
    base = config.Config()
    other = dataclasses.replace(base, random_seed=1)
    assert config.sha256(base) != config.sha256(other)
    assert config.sha256(base) == config.sha256(config.Config())
