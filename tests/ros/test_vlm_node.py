# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The vision-language node with the stand-in for a model, alone and beside a localizer."""

import os
import signal
import time

import numpy as np
import pytest

OK, TIMED_OUT, UNPARSEABLE, FAILED = range(4)


@pytest.fixture
def vlm(stage):
    """The node in the same context as a stage, with a list of what it says."""
    from geoloc_msgs.msg import SceneDescription
    from harness import Spinning
    from rclpy.parameter import Parameter

    from geoloc_ros.ros.vlm_node import Vlm

    settings = {"answerer": "rules", "image_transport": "compressed", "worker.deadline_s": 1.0}
    settings |= {"use_sim_time": True, "diagnostics_every_s": 0.2}
    node = Vlm(
        context=stage.context,
        parameter_overrides=[Parameter(k, value=v) for k, v in settings.items()],
        cli_args=["--ros-args", "-r", f"__node:=vlm_of_{stage.name}"],
    )
    spinning = Spinning(node, 3)
    node.heard = []
    stage.vehicle.listen(SceneDescription, f"/vlm_of_{stage.name}/scene", node.heard)
    yield node
    node.close()
    spinning.close()


def up(node) -> None:
    node.trigger_configure()
    node.trigger_activate()


def stamps(node) -> list[int]:
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in node.heard]


def show(stage, node, number: int, outcome: int, timeout_s: float = 20.0) -> None:
    """Show a frame until something of the wanted outcome is said about it."""
    from harness import wait_until

    tick = stage.vehicle.ticks[number]
    stage.vehicle.tick_clock(tick.stamp_ns)
    stage.vehicle.send_image(tick.stamp_ns, tick.jpeg)
    assert wait_until(
        lambda: any(
            s == tick.stamp_ns and m.outcome == outcome
            for s, m in zip(stamps(node), node.heard, strict=True)
        ),
        timeout_s,
    ), [m.outcome for m in node.heard]


def test_what_is_said_carries_the_stamp_of_the_frame_it_is_about(stage, vlm) -> None:
    from harness import wait_until

    up(vlm)
    assert wait_until(lambda: stage.vehicle.image.get_subscription_count())
    for number in (3, 4, 5):
        show(stage, vlm, number, OK)
    answers = {a.question: a.answer for a in vlm.heard[-1].answers}
    assert answers["scene.anything"] == "something"
    said = vlm.heard[-1]
    assert (said.vlm, len(said.vlm_sha256), said.questions_sha256) == ("rules", 64, "")
    assert stamps(vlm) == [stage.vehicle.ticks[n].stamp_ns for n in (3, 4, 5)]


def test_process_killed_and_hung(stage, vlm) -> None:
    from harness import wait_until

    up(vlm)
    assert wait_until(lambda: stage.vehicle.image.get_subscription_count())
    show(stage, vlm, 0, OK)
    os.kill(vlm.process.pid, signal.SIGSTOP)
    show(stage, vlm, 1, TIMED_OUT)
    show(stage, vlm, 2, OK)
    os.kill(vlm.process.pid, signal.SIGKILL)
    assert wait_until(lambda: not vlm.process._child.is_alive())
    show(stage, vlm, 3, OK)
    assert vlm.process.restarts == 2


def test_the_newest_frame_wins_while_somebody_thinks(stage, vlm) -> None:
    from harness import wait_until

    up(vlm)
    assert wait_until(lambda: stage.vehicle.image.get_subscription_count())
    show(stage, vlm, 0, OK)
    os.kill(vlm.process.pid, signal.SIGSTOP)
    ticks = stage.vehicle.ticks
    stage.vehicle.send_image(ticks[1].stamp_ns, ticks[1].jpeg)
    time.sleep(0.3)  # now somebody thinks about it
    for tick in ticks[2:9]:
        stage.vehicle.send_image(tick.stamp_ns, tick.jpeg)
    last = ticks[8].stamp_ns
    assert wait_until(lambda: stamps(vlm)[-1] == last and vlm.heard[-1].outcome == OK, 20.0)
    assert len(stamps(vlm)) <= 4


def test_without_an_answerer_it_does_not_configure_and_says_why(stage, vlm) -> None:
    from rclpy.parameter import Parameter

    vlm.set_parameters([Parameter("answerer", value="")])
    vlm.trigger_configure()
    assert "no vlm package" in vlm._fault
    vlm.set_parameters([Parameter("answerer", value="rules")])
    up(vlm)


@pytest.mark.parametrize(
    ("parameter", "value", "said"),
    [
        ("camera", "front,rear", "no name for a topic"),
        ("camera", "front cam", "no name for a topic"),
        ("answerer", "a" * 300, "no vlm package can be read"),
    ],
)
def test_what_cannot_be_configured_is_told(stage, vlm, parameter, value, said) -> None:
    from rclpy.parameter import Parameter

    right = vlm.get_parameter(parameter).value
    vlm.set_parameters([Parameter(parameter, value=value)])
    vlm.trigger_configure()
    assert said in vlm._fault
    assert vlm._reports()[0].message == vlm._fault
    vlm.set_parameters([Parameter(parameter, value=right)])
    up(vlm)
    assert not vlm._fault


def test_an_answer_from_before_the_clock_went_back_is_kept_to_itself(stage, vlm) -> None:
    from harness import wait_until

    up(vlm)
    assert wait_until(lambda: stage.vehicle.image.get_subscription_count())
    show(stage, vlm, 20, OK)
    os.kill(vlm.process.pid, signal.SIGSTOP)
    late, waiting = stage.vehicle.ticks[30:32]
    for tick in (late, waiting):
        stage.vehicle.tick_clock(tick.stamp_ns)
        stage.vehicle.send_image(tick.stamp_ns, tick.jpeg)
        time.sleep(0.2)  # now somebody thinks about the first, and the second waits
    assert vlm._newest is not None
    for number in (0, 40):  # back, and forth beyond them before the answer comes
        stamp_ns = stage.vehicle.ticks[number].stamp_ns
        stage.vehicle.tick_clock(stamp_ns)
        assert wait_until(lambda now=stamp_ns: vlm.get_clock().now().nanoseconds == now)
    os.kill(vlm.process.pid, signal.SIGCONT)
    assert wait_until(lambda: sum(vlm.outcomes.values()) == 2)
    show(stage, vlm, 41, OK)
    assert not {late.stamp_ns, waiting.stamp_ns} & set(stamps(vlm))


def test_the_launch_file_leaves_the_image_transport_to_the_parameters() -> None:
    from launch.actions import DeclareLaunchArgument

    from geoloc_ros.ros import launching
    from launch import LaunchContext

    for given, wanted in (({}, []), ({"image_transport": "raw"}, ["raw"])):
        context = LaunchContext()
        for action in launching.declared(use_vlm="true", params_file="v.yaml", **given):
            assert isinstance(action, DeclareLaunchArgument)
            action.execute(context)
        node = launching.nodes(context)[1]
        values = next(part for part in node._Node__parameters if isinstance(part, dict))
        found = [v.value for key, v in values.items() if key[0].text == "image_transport"]
        assert found == wanted


def test_a_model_that_keeps_dying_is_left_alone_and_not_spoken_of_with_every_frame(
    stage, vlm
) -> None:
    from harness import wait_until
    from rclpy.parameter import Parameter

    vlm.set_parameters([Parameter("worker.backoff_s", value=30.0)])
    up(vlm)
    assert wait_until(lambda: stage.vehicle.image.get_subscription_count())
    show(stage, vlm, 0, OK)
    os.kill(vlm.process.pid, signal.SIGSTOP)
    show(stage, vlm, 1, TIMED_OUT)
    vlm.process._backoff.failed("as before")
    show(stage, vlm, 2, FAILED)
    said = len(vlm.heard)
    for tick in stage.vehicle.ticks[3:20]:
        stage.vehicle.send_image(tick.stamp_ns, tick.jpeg)
    time.sleep(0.5)
    assert len(vlm.heard) == said
    assert "left alone" in vlm._last.why
    vlm.trigger_deactivate()  # does not wait for the time to be over


def test_the_lifecycle_ends_the_process(stage, vlm) -> None:
    for _ in range(3):
        up(vlm)
        child = vlm.process.pid
        os.kill(child, signal.SIGSTOP)
        vlm.trigger_deactivate()
        vlm.trigger_cleanup()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_killing_the_model_moves_no_pose(made, tmp_path, vlm, stage) -> None:
    """What the localizer says is the same to the byte with the model dying beside it."""
    stage.up()
    up(vlm)
    quiet = [np.array(m.pose.covariance).tobytes() for m in _poses(stage, range(60))]
    for number in range(60, 130):
        if number % 10 == 0 and vlm.process.pid is not None:
            os.kill(vlm.process.pid, signal.SIGKILL)
        stage.vehicle.drive([number])
    beside = [np.array(m.pose.covariance).tobytes() for m in stage.vehicle.poses]
    from harness import Stage

    alone = Stage(made, tmp_path / "alone")
    try:
        alone.up()
        alone.vehicle.drive(range(130))
        assert [np.array(m.pose.covariance).tobytes() for m in alone.vehicle.poses] == beside
    finally:
        alone.close()
    assert quiet


def _poses(stage, numbers) -> list:
    stage.vehicle.drive(numbers)
    return stage.vehicle.poses
