# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Requirements on results: what they say, what they refuse, and what a program sees of them."""

import argparse

import pytest

from geoloc_ros.cli.requirements import add_require, enforce, requirements
from geoloc_ros.errors import ConfigError
from geoloc_ros.evaluation.gates import Gate, judge, parse_gate, verdict_lines

RESULT = {
    "frames": 100,
    "availability": 0.95,
    "position_error_m": {"median": 2.0, "p95": None, "rmse": float("nan")},
    "recall": {"1": 0.5, "10": 0.9},
    "encoder": "perspective",
    "runs": {"a.b": {"nees_mean": 3.5}},
}


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("position_error_m.median<=2", Gate("position_error_m.median", "<=", 2.0)),
        ("  recall.1  >=\t0.5 ", Gate("recall.1", ">=", 0.5)),
        ("frames==100", Gate("frames", "==", 100.0)),
        ("yaw<-1e-3", Gate("yaw", "<", -1e-3)),
        ("x>+.5", Gate("x", ">", 0.5)),
        ("encoder == my model", Gate("encoder", "==", "my model")),
    ],
)
def test_forms(text, gate):
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not of the form"),
        ("availability", "not of the form"),
        ("availability<=", "not of the form"),
        ("<=2", "not of the form"),
        ("a=2", "not of the form"),
        ("a=<2", "not of the form"),
        ("a!=2", "not of the form"),
        ("a<>2", "not of the form"),
        ("a <= = 2", "not of the form"),
        ("a b<=2", "not of the form"),
        ("a<=two", "only == compares texts"),
        ("a<=1 and b<=2", "only == compares texts"),
        ("a<=nan", "not finite"),
        ("a==inf", "not finite"),
    ],
)
def test_other_forms_are_refused(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_gate(text)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("position_error_m.median<=2", True),
        ("position_error_m.median<2", False),
        ("position_error_m.median>=2", True),
        ("position_error_m.median>2", False),
        ("position_error_m.median==2", True),
        ("availability==0.9", False),
        ("recall.1>=0.5", True),
        ("recall.10>0.9", False),
        ("frames==100", True),
        ("encoder==perspective", True),
        ("encoder==panorama", False),
        ("runs.a.b.nees_mean<4", True),
    ],
)
def test_operators_hold_at_the_limit(text, met):
    (verdict,) = judge([parse_gate(text)], RESULT)
    assert verdict.met is met


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("position_error_m.p95<=1e9", "null: no truth"),
        ("position_error_m.p95==null", "null: no truth"),
        ("position_error_m.rmse<=1e9", "not finite"),
        ("encoder==3", "no number"),
        ("frames==many", "a number"),
    ],
)
def test_what_cannot_be_compared_fails_with_its_reason(text, says):
    (verdict,) = judge([parse_gate(text)], RESULT, "no truth")
    assert not verdict.met
    assert says in verdict.reason


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("position_error.median", "near: position_error_m.median"),
        ("avialability", "near: availability"),
        ("median", "near: .*position_error_m.median"),
        ("position_error_m", "position_error_m.median, position_error_m.p95"),
        ("zzz", "there are: frames, availability"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_its_neighbours(key, says):
    with pytest.raises(ConfigError, match=says):
        judge([parse_gate("frames==100"), parse_gate(f"{key}<=1")], RESULT)


def test_lines_show_every_requirement_with_its_figure():
    gates = [parse_gate("frames==100"), parse_gate("availability>=0.99")]
    assert verdict_lines(judge(gates, RESULT)) == [
        "met     frames==100         it is 100",
        "FAILED  availability>=0.99  it is 0.95",
    ]


def test_the_option_gives_an_exit_status_and_the_failed_line(capsys):
    parser = argparse.ArgumentParser()
    add_require(parser)
    args = parser.parse_args(["--require", "frames==100", "--require", "availability>=0.99"])
    assert enforce(requirements(args)[:1], RESULT) == 0
    assert enforce(requirements(args), RESULT, name="out/a", json_on_stdout=False) == 1
    shown = capsys.readouterr()
    assert "FAILED  availability>=0.99  it is 0.95" in shown.out
    assert shown.err == "geoloc: availability>=0.99 of out/a is not met: it is 0.95\n"
    assert enforce(requirements(args), RESULT, json_on_stdout=True) == 1
    assert capsys.readouterr().out == ""
    assert enforce([], RESULT) == 0
