# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The localizer node on a real rclpy, driven frame by frame."""

import copy
import gc
import threading

import numpy as np
import pytest
from made_flight import record

from geoloc_ros.cli.main import main
from geoloc_ros.evaluation import tables

LOCALISED = 3


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_it_finds_the_vehicle_and_publishes_sound_covariances(stage) -> None:
    stage.up()
    statuses = stage.vehicle.drive(range(130))
    assert np.mean([s.state == LOCALISED for s in statuses[40:]]) > 0.9
    poses = stage.vehicle.poses
    # before the first frame the time itself is the stamp: of each stamp the last word counts
    fixes = list({stamp_ns(fix): fix for fix in stage.vehicle.fixes}.values())
    fixes = [fix for fix in fixes if stamp_ns(fix) in map(stamp_ns, statuses)]
    assert len(poses) > 70
    truth = {t.stamp_ns: p for t, p in zip(stage.vehicle.ticks, stage.made.poses, strict=True)}
    errors = []
    for message in poses:
        covariance = np.array(message.pose.covariance).reshape(6, 6)
        assert np.isfinite(covariance).all()
        assert np.array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > 0.0
        assert message.header.frame_id == "map"
        place = message.pose.pose.position
        errors.append(np.hypot(*(truth[stamp_ns(message)][:2] - (place.x, place.y))))
    assert np.median(errors) < 2.0
    good = [fix for fix in fixes if fix.status.status >= 0]
    none = [fix for fix in fixes if fix.status.status < 0]
    assert len(good) + len(none) == 130
    assert {stamp_ns(f) for f in good} == {stamp_ns(s) for s in statuses if s.state == LOCALISED}
    for fix in good:
        covariance = np.array(fix.position_covariance).reshape(3, 3)
        assert np.linalg.eigvalsh(covariance).min() > 0.0
        assert fix.position_covariance_type == 3
        assert np.isfinite([fix.latitude, fix.longitude, fix.altitude]).all()
    assert all(np.isnan(fix.latitude) for fix in none)


def test_live_gives_the_estimates_of_replay(stage, made, tmp_path) -> None:
    bag = record(made, tmp_path / "bag")
    words = ["replay", bag, "--index", made.index, "--model", made.model, "--out"]
    assert main([str(w) for w in (*words, tmp_path / "replay", "--no-report")]) == 0
    replayed = tables.read_estimates(tmp_path / "replay")
    stage.up()
    statuses = stage.vehicle.drive(range(130))
    assert [s.frames_dropped for s in statuses] == [0] * 130
    states = ["UNINITIALISED", "SEARCHING", "AMBIGUOUS", "LOCALISED", "DEGRADED", "LOST"]
    live_states = {stamp_ns(s): states[s.state] for s in statuses}
    live = {stamp_ns(m): m.pose.pose.position for m in stage.vehicle.poses}
    held = 0
    for stamp, status, pose in zip(
        replayed.stamp_ns, replayed.status, replayed.poses, strict=True
    ):
        assert live_states[int(stamp)] == status
        if status in ("LOCALISED", "DEGRADED"):
            held += 1
            assert live[int(stamp)].x == pytest.approx(pose[0], abs=1e-3)
            assert live[int(stamp)].y == pytest.approx(pose[1], abs=1e-3)
    assert held > 70


def test_the_lifecycle_can_be_walked_again_and_again(stage) -> None:
    vehicle = stage.vehicle

    def state_of_things() -> tuple[int, set[str], int]:
        gc.collect()
        topics = {name for name, _ in vehicle.get_topic_names_and_types() if stage.name in name}
        return threading.active_count(), topics, len(list(stage.localizer.subscriptions))

    walks = []
    for walk in range(3):
        stage.up()
        statuses = vehicle.drive(range(30), shift_ns=walk * 60 * 10**9)
        assert statuses[-1].frames_used == 30
        assert stage.change("deactivate")
        silent = len(vehicle.statuses)
        vehicle.drive(range(30, 33), shift_ns=walk * 60 * 10**9, answered=False)
        vehicle.let_time_pass(0.3)
        assert len(vehicle.statuses) == silent
        assert stage.change("cleanup")
        walks.append(state_of_things())
    assert walks[1][0] == walks[2][0]
    assert walks[1][2] == walks[2][2]
    assert stage.change("shutdown")


def test_a_transition_that_is_not_possible_is_refused_and_nothing_more(stage) -> None:
    assert not stage.change("activate")
    assert not stage.change("no such thing")
    stage.up()
    assert not stage.change("configure")
    assert stage.vehicle.drive(range(3))[-1].frames_used == 3


def test_a_pose_from_somebody_shortens_the_search_and_a_service_forgets_it(stage) -> None:
    from geometry_msgs.msg import PoseWithCovarianceStamped
    from std_srvs.srv import Trigger

    from geoloc_ros.ros.conversions import covariance_6x6, header, planar_pose

    vehicle = stage.vehicle
    out = vehicle.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)
    stage.up()
    vehicle.drive(range(2))
    hint = PoseWithCovarianceStamped(header=header(vehicle.now_ns, "map"))
    hint.pose.pose = planar_pose(stage.made.poses[1])
    hint.pose.covariance = covariance_6x6(np.diag([4.0, 4.0, 0.03]))
    wrong = copy.deepcopy(hint)
    wrong.header.frame_id = "odom"
    wrong.pose.pose.position.x += 500.0
    out.publish(wrong)  # of another frame: not taken
    out.publish(hint)
    helped = vehicle.drive(range(2, 60))
    first = next(i for i, s in enumerate(helped) if s.state == LOCALISED)
    assert first < 25
    answer = stage.call(Trigger, "relocalize", Trigger.Request())
    assert answer.success
    assert vehicle.drive(range(60, 61))[0].state != LOCALISED
    unhelped = vehicle.drive(range(61, 130))
    again = next(i for i, s in enumerate(unhelped) if s.state == LOCALISED)
    assert again > first


def test_what_is_said_of_the_future_is_not_believed_but_an_operator_is(stage) -> None:
    from geoloc_msgs.msg import GeoPrior, GeoPriorComponent
    from geometry_msgs.msg import PoseWithCovarianceStamped
    from harness import wait_until
    from rclpy.parameter import Parameter

    from geoloc_ros.ros.conversions import covariance_6x6, header, planar_pose

    vehicle = stage.vehicle
    priors = vehicle.create_publisher(GeoPrior, "prior", 10)
    poses = vehicle.create_publisher(PoseWithCovarianceStamped, "initialpose", 1)
    stage.up()
    vehicle.drive(range(3))
    belief = stage.localizer.live._tracker.localizer.belief
    assert wait_until(lambda: priors.get_subscription_count() and poses.get_subscription_count())
    origin = stage.localizer.plane.origin
    place = {"latitude": origin.lat_deg, "longitude": origin.lon_deg, "share": 0.5}
    wide = np.diag([2500.0, 2500.0, 9.0]).ravel()
    for source, ahead_s in (("of before the clock went back", 5), ("of now", 0)):
        said = GeoPrior(header=header(vehicle.now_ns + ahead_s * 10**9, "map"), source=source)
        said.components = [GeoPriorComponent(covariance=wide, **place)]
        priors.publish(said)
    hint = PoseWithCovarianceStamped(header=header(vehicle.now_ns + 5 * 10**9, "map"))
    hint.pose.pose = planar_pose(stage.made.poses[2])
    hint.pose.covariance = covariance_6x6(np.diag([4.0, 4.0, 0.03]))
    poses.publish(hint)
    assert wait_until(lambda: len(belief._priors) == 2)
    known = {old.prior.source: old.prior.stamp_ns for old in belief._priors}
    assert set(known) == {"of now", "initialpose 1"}
    assert max(known.values()) <= vehicle.now_ns
    stage.localizer.set_parameters([Parameter("max_image_lead_s", value=0.0)])
    said.header, said.source = header(vehicle.now_ns + 5 * 10**9, "map"), "of the future"
    priors.publish(said)
    assert wait_until(lambda: "of the future" in {old.prior.source for old in belief._priors})


def test_the_pose_is_kept_over_a_restart(stage) -> None:
    stage.up()
    statuses = stage.vehicle.drive(range(60))
    cold = next(i for i, s in enumerate(statuses) if s.state == LOCALISED)
    assert statuses[-1].state == LOCALISED
    assert stage.change("deactivate")
    assert (stage.folder / "saved.json").is_file()
    assert stage.change("activate")
    stage.meet()
    warm = stage.vehicle.drive(range(60, 130))
    assert next(i for i, s in enumerate(warm) if s.state == LOCALISED) < cold


def test_places_go_both_ways_between_map_and_globe(stage) -> None:
    from geoloc_msgs.srv import FromLL, ToLL
    from made_flight import PLANE

    stage.up()
    there = stage.call(ToLL, "to_ll", ToLL.Request())
    assert there.success
    assert there.latitude == pytest.approx(PLANE.origin.lat_deg, abs=1e-4)
    request = FromLL.Request(latitude=there.latitude, longitude=there.longitude)
    back = stage.call(FromLL, "from_ll", request)
    assert abs(back.map_point.x) < 1e-3
    far = stage.call(FromLL, "from_ll", FromLL.Request(latitude=0.0, longitude=0.0))
    assert not far.success
    assert "50000 m" in far.message
