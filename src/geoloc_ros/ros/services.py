# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What others may ask of the localizer while it is configured."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger

from geoloc_ros.errors import GeodesyError, GeolocError
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.ros import conversions, interfaces
from geoloc_ros.ros.live import Live
from geoloc_ros.ros.loading import Loaded, load_index

INACTIVE = "the localizer is not active"
SWAP_WITHIN_S = 10.0


class Services:
    """The localizer's services.

    Args:
        node: that offers them.
        live: answers the vehicle being followed, None while inactive.
        wake: lets the worker look for something to do.
        loaded: what is in use.
        swapped: told what is in use from now on.
    """

    def __init__(
        self,
        node: LifecycleNode,
        live: Callable[[], Live | None],
        wake: Callable[[], None],
        loaded: Loaded,
        swapped: Callable[[Loaded], None],
    ) -> None:
        self._node, self._live, self._wake = node, live, wake
        self._loaded, self._swapped = loaded, swapped
        self._plane = loaded.index.manifest.frame
        self._group = MutuallyExclusiveCallbackGroup()
        self._services = [self._offer(Trigger, "~/relocalize", self._relocalize)]
        found = interfaces.geoloc_srvs
        if found is not None:
            self._services += [
                self._offer(found.LoadIndex, "~/load_index", self._load_index),
                self._offer(found.FromLL, "~/from_ll", self._from_ll),
                self._offer(found.ToLL, "~/to_ll", self._to_ll),
            ]
        nav2 = interfaces.optional("nav2_msgs.srv")
        if nav2 is not None:
            self._services.append(
                self._offer(nav2.SetInitialPose, "~/set_initial_pose", self._set_initial_pose)
            )

    def close(self) -> None:
        """Offer nothing any more."""
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _offer(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401
        return self._node.create_service(kind, name, callback, callback_group=self._group)

    def _relocalize(self, _: Any, response: Any) -> Any:  # noqa: ANN401
        live = self._live()
        response.success = live is not None
        response.message = "searching" if live is not None else INACTIVE
        if live is not None:
            live.relocalize()
            self._wake()
        return response

    def _load_index(self, request: Any, response: Any) -> Any:  # noqa: ANN401
        say = self._node.get_logger().info
        try:
            index = load_index(request.path, self._loaded.package, say)
            loaded = Loaded(self._loaded.package, self._loaded.encoder, index)
            live = self._live()
            if live is not None:
                swapped = live.load_index(loaded)
                self._wake()
                swapped.result(SWAP_WITHIN_S)
        except (GeolocError, futures.TimeoutError) as error:
            response.message = str(error) or f"the worker did not answer in {SWAP_WITHIN_S:g} s"
            self._node.get_logger().error(f"the index is not swapped: {response.message}")
        else:
            self._loaded = loaded
            self._swapped(loaded)
            response.success = True
            response.message = f"{len(index)} entries of {request.path}"
            say(f"index swapped: {response.message}")
        response.entries = len(self._loaded.index)
        return response

    def _from_ll(self, request: Any, response: Any) -> Any:  # noqa: ANN401
        try:
            place = LatLon(request.latitude, request.longitude)
            xy_m = self._plane.to_xy(place.lat_deg, place.lon_deg)[0]
        except GeodesyError as error:
            response.message = str(error)
            return response
        response.success = True
        response.map_point.x, response.map_point.y = xy_m.tolist()
        return response

    def _to_ll(self, request: Any, response: Any) -> Any:  # noqa: ANN401
        try:
            place = self._plane.position(request.map_point.x, request.map_point.y)
        except GeodesyError as error:
            response.message = str(error)
            return response
        response.success = True
        response.latitude, response.longitude = place.lat_deg, place.lon_deg
        return response

    def _set_initial_pose(self, request: Any, response: Any) -> Any:  # noqa: ANN401
        live = self._live()
        if live is None:
            self._node.get_logger().error(f"set_initial_pose: {INACTIVE}")
            return response
        now_ns = self._node.get_clock().now().nanoseconds
        try:
            asked = request.pose.pose
            mean = conversions.planar_pose_of(asked.pose)
        except GeodesyError as error:
            self._node.get_logger().error(f"set_initial_pose: {error}")
            return response
        live.initial_pose(
            now_ns, mean, conversions.planar_covariance(request.pose.pose.covariance)
        )
        self._wake()
        return response
