# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of a live node: described, bounded, checked together, told when unknown."""

import pytest

from geoloc_ros.config import Config, flatten
from geoloc_ros.ros.node_config import NOT_OF_NODE

SET, ATOMIC = "set_parameters", "set_parameters_atomically"


def ask(stage, service: str, **values):
    """Set parameters through the service, as `ros2 param set` does."""
    from rcl_interfaces.srv import SetParameters, SetParametersAtomically
    from rclpy.parameter import Parameter

    kind = SetParameters if service == SET else SetParametersAtomically
    parameters = [Parameter(k.replace("__", "."), value=v) for k, v in values.items()]
    request = kind.Request(parameters=[p.to_parameter_msg() for p in parameters])
    response = stage.call(kind, service, request)
    return response.results[0] if service == SET else response.result


def test_every_parameter_is_described_and_bounded_as_in_the_tree(stage) -> None:
    node = stage.localizer
    for name, value, item in flatten(Config()):
        if name.startswith(NOT_OF_NODE):
            assert not node.has_parameter(name)
            continue
        descriptor = node.describe_parameter(name)
        assert node.get_parameter(name).value == value
        assert item.metadata["doc"] in descriptor.description
        if item.metadata["ge"] is not None:
            (bounds,) = [*descriptor.integer_range, *descriptor.floating_point_range]
            assert (bounds.from_value, bounds.to_value) == (
                item.metadata["ge"],
                item.metadata["le"],
            )


def test_a_changed_parameter_counts_at_once(stage) -> None:
    stage.up()
    stage.vehicle.drive(range(60))
    assert stage.vehicle.statuses[-1].state == 3
    assert ask(stage, SET, filter__localised_sigma_m=0.1).successful
    (status,) = stage.vehicle.drive(range(60, 61))
    assert "wide_spread" in status.reasons


def test_a_bad_set_is_refused_whole_with_the_reason(stage) -> None:
    stage.up()
    node = stage.localizer
    answer = ask(stage, ATOMIC, search__candidates=20, filter__lost_after_m=5.0)
    assert not answer.successful
    assert "lost_after_m" in answer.reason
    assert "degraded_after_m" in answer.reason
    assert node.get_parameter("search.candidates").value == Config().search.candidates
    assert ask(stage, ATOMIC, search__candidates=20, filter__lost_after_m=50.0).successful
    assert node.get_parameter("search.candidates").value == 20


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"search__candidates": 0}, "candidates"),
        ({"filter__particles": 1.5}, "INTEGER"),
        ({"altitude_mode": "deep"}, "fixed, nan"),
        ({"max_image_age_s": float("nan")}, "max_image_age_s"),
        ({"diagnostics_every_s": 2.0}, "read"),
    ],
)
def test_values_that_make_no_sense_are_refused(stage, values, words) -> None:
    answer = ask(stage, SET, **values)
    assert not answer.successful
    assert words in answer.reason


def test_what_counts_when_configuring_cannot_change_while_configured(stage) -> None:
    assert ask(stage, SET, random_seed=7).successful
    stage.up()
    answer = ask(stage, SET, random_seed=8)
    assert not answer.successful
    assert "clean it up" in answer.reason
    assert stage.change("deactivate")
    assert stage.change("cleanup")
    assert ask(stage, SET, random_seed=8).successful


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("filter.particles", "many", "filter.particles"),
        ("max_image_age_s", -5.0, "max_image_age_s"),
        ("image_transport", "pigeon", "raw, compressed"),
        ("filter.lost_after_m", 2.0, "degraded_after_m"),
    ],
)
def test_nonsense_at_start_fails_to_configure_with_the_reason(
    made, tmp_path, name, value, words
) -> None:
    from harness import Stage

    stage = Stage(made, tmp_path, **{name: value})
    try:
        assert not stage.change("configure")
        assert words in stage.localizer.progress
        sound = {**dict((n, v) for n, v, _ in flatten(Config())), "max_image_age_s": 2.0}
        assert stage.set_parameter(name, sound.get(name, "compressed"))
        assert stage.change("configure")
    finally:
        stage.close()


def test_a_whole_number_is_a_number(made, tmp_path) -> None:
    from harness import Stage

    stage = Stage(made, tmp_path, max_image_age_s=3, **{"filter.lost_after_m": 50})
    try:
        assert stage.localizer.node_config.max_image_age_s == 3.0
        assert stage.localizer.config.filter.lost_after_m == 50.0
    finally:
        stage.close()


def test_unknown_parameters_are_told_with_the_likely_name(made, tmp_path) -> None:
    from harness import Stage, wait_until

    stage = Stage(made, tmp_path, indx="nowhere", max_image_ages=3.0)
    try:
        assert stage.localizer.unknown == [
            "unknown parameter indx; did you mean index?",
            "unknown parameter max_image_ages; did you mean max_image_age_s?",
        ]
        found = []
        from diagnostic_msgs.msg import DiagnosticArray

        stage.vehicle.listen(DiagnosticArray, "/diagnostics", found)
        assert wait_until(lambda: any("indx" in s.message for a in found for s in a.status))
    finally:
        stage.close()
