# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""nav2.launch.py in each mode on a made drive: the error the vehicle's pose should have."""

import numpy as np
import pytest

#: images arrive so late: more than most encoders take
LATE_S = 0.15
MEDIAN_M = 3.0
EKF_LISTENS = ("/geoloc_localizer/relocalised",)
NAVSAT_LISTENS = ("/geoloc_localizer/fix",)


@pytest.fixture
def stack(made, tmp_path):
    """Starts nav2.launch.py in a mode."""
    from nav2_stack import Nav2Stack, need

    started = []

    def start(**arguments: object) -> Nav2Stack:
        if arguments["mode"] != "tf":
            need("robot_localization")
        started.append(Nav2Stack(made, tmp_path, **arguments))
        started[-1].wait_until_active()
        return started[-1]

    yield start
    for stack in started:
        stack.close()


def check_errors(stack, found) -> None:
    """Of what carries the vehicle on the map: about as good as the localizer.

    Odometry that starts at the truth is no measure: in 13 s it has hardly begun to drift.
    """
    vehicle = stack.vehicle
    own = vehicle.errors(vehicle.poses)
    print(f"\nlocalizer: {own}\nfused: {found}")
    if vehicle.fused:  # one that took late poses for new ones would be two metres behind
        apart = np.median(vehicle.apart(vehicle.fused))
        print(f"EKF and localizer are {apart:.2f} m apart")
        assert apart < 1.0
    assert np.median(found.poses) < MEDIAN_M
    assert np.median(found.poses) < np.median(own.poses) + 1.0


def test_the_localizer_publishes_the_transform(stack) -> None:
    from nav2_stack import check_transforms

    stack = stack(mode="tf")
    vehicle = stack.vehicle
    vehicle.go(range(130), LATE_S)
    check_errors(stack, vehicle.errors_of_transforms())
    assert set(check_transforms(vehicle.transforms)) == {("map", "odom"), ("odom", "base_link")}
    assert publishers(vehicle, "/tf") == {"vehicle", "geoloc_localizer"}


def test_an_ekf_fuses_the_pose_and_follows_a_vehicle_carried_away(stack) -> None:
    from harness import wait_until
    from live_drive import NS, stamp_ns
    from nav2_stack import check_transforms

    stack = stack(mode="pose")
    vehicle = stack.vehicle
    stack.drive(range(130), EKF_LISTENS, late_s=LATE_S)
    assert wait_until(lambda: stack.heard("the vehicle is located")), stack.command.text()
    check_errors(stack, vehicle.errors(vehicle.fused))
    assert check_transforms(vehicle.transforms)["map", "odom"] > 50
    assert publishers(vehicle, "/tf") == {"vehicle", "ekf_map"}
    assert min(stamp_ns(m) for m in vehicle.fused) >= stamp_ns(vehicle.found[0])

    vehicle.carry_back()
    vehicle.go(range(130), LATE_S)
    assert len(vehicle.found) == 2
    again_ns = stamp_ns(vehicle.found[1])
    after = [m for m in vehicle.fused if stamp_ns(m) > again_ns + NS]
    errors = vehicle.errors(after)
    print(f"carried away, found after {(again_ns - vehicle.carried[1][0]) / NS:.1f} s: {errors}")
    assert len(after) > 20
    assert errors.poses.max() < 2 * MEDIAN_M


def test_two_ekfs_and_navsat_transform_fuse_the_fix(stack) -> None:
    from live_drive import stamp_ns
    from nav2_stack import check_transforms
    from nav_msgs.msg import Odometry
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    stack = stack(mode="fix", local_ekf="true")
    vehicle = stack.vehicle
    of_fixes = []
    vehicle.listen(Odometry, "/odometry/gps", of_fixes)
    stack.drive(range(110), EKF_LISTENS + NAVSAT_LISTENS, late_s=LATE_S, publish_tf=False)
    check_errors(stack, vehicle.errors(vehicle.fused))
    assert set(check_transforms(vehicle.transforms)) == {("map", "odom"), ("odom", "base_link")}
    assert publishers(vehicle, "/tf") == {"vehicle", "ekf_local", "ekf_map"}
    off = vehicle.errors(of_fixes).poses
    print(f"first of navsat_transform: {np.round(off[:3], 1)} m off")
    # the first is counted from no datum yet, thousands of km away; the EKF's gate leaves it out
    assert np.all(off[1:] < 50), "navsat_transform has taken a fix for one at the map's origin"
    since_ns = stamp_ns(of_fixes[1])  # navsat_transform is started when the EKF has placed odom
    good = [f for f in vehicle.fixes if f.status.status >= 0 and stamp_ns(f) >= since_ns]
    print(f"{len(of_fixes)} fixes have passed navsat_transform, {len(good)} could have")
    assert len(of_fixes) > max(10, 0.7 * len(good))

    name = "/geoloc_localizer/set_parameters"
    unknown = Parameter("altitude_mode", value="nan").to_parameter_msg()
    answer = stack.call(SetParameters, name, SetParameters.Request(parameters=[unknown]))
    assert answer.results[0].successful, answer.results[0].reason
    vehicle.go(range(110, 115), publish_tf=False)
    passed, sent = len(of_fixes), len(vehicle.fixes)
    vehicle.go(range(115, 130), publish_tf=False)
    assert len(vehicle.fixes) > sent + 5
    assert vehicle.fixes[-1].status.status >= 0
    assert len(of_fixes) == passed, "navsat_transform takes fixes without altitude by now: tell so"


def publishers(vehicle, topic: str) -> set[str]:
    return {info.node_name for info in vehicle.get_publishers_info_by_topic(topic)}
