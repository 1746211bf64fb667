# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What others may ask of the localizer while it is configured."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from dataclasses import replace
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger

from geoloc_ros.errors import ConfigError, GeodesyError, GeolocError, first_line
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
        map_frame: in which poses are given.
        swapped: told what is in use from now on.
    """

    def __init__(
        self,
        node: LifecycleNode,
        live: Callable[[], Live | None],
        wake: Callable[[], None],
        loaded: Loaded,
        map_frame: str,
        swapped: Callable[[Loaded], None],
    ) -> None:
        self._node, self._live, self._wake = node, live, wake
        self._loaded, self._swapped, self._map_frame = loaded, swapped, map_frame
        self._plane = loaded.index.manifest.frame
        self._closed = False
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
        """Offer nothing any more; what is going on will change nothing."""
        self._closed = True
        for service in self._services:
            self._node.destroy_service(service)
        self._services.clear()

    def _offer(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> Any:  # noqa: ANN401
        def answer(request: Any, response: Any) -> Any:  # noqa: ANN401
            try:
                callback(request, response)
            except Exception as error:  # noqa: BLE001 - a request must not end the process
                self._node.get_logger().error(f"{name}: {error!r}")
                if hasattr(response, "message"):
                    response.success, response.message = False, first_line(error)
            return response

        return self._node.create_service(kind, name, answer, callback_group=self._group)

    def _relocalize(self, _: Any, response: Any) -> None:  # noqa: ANN401
        live = self._live()
        response.success = live is not None
        response.message = "searching" if live is not None else INACTIVE
        if live is not None:
            live.relocalize()
            self._wake()

    def _load_index(self, request: Any, response: Any) -> None:  # noqa: ANN401
        say = self._node.get_logger().info
        try:
            budget_mb = self._loaded.index.budget_mb
            index = load_index(request.path, self._loaded.package, say, budget_mb)
            origin = index.manifest.origin
            self._plane.to_xy(origin.lat_deg, origin.lon_deg)  # the map must reach so far
            loaded = replace(self._loaded, index=index)
            self._swap(loaded)
        except GeolocError as error:
            response.message = str(error)
            self._node.get_logger().error(f"the index is not swapped: {response.message}")
        else:
            self._loaded = loaded
            self._swapped(loaded)
            response.success = True
            response.message = f"{len(index)} entries of {request.path}"
            say(f"index swapped: {response.message}")
        response.entries = len(self._loaded.index)

    def _swap(self, loaded: Loaded) -> None:
        """Let the worker go on with another index.

        Raises:
            ConfigError: the node is not what it was when this was asked, or is too busy.
            GeodesyError: the belief cannot be carried over.
        """
        if self._closed:
            raise ConfigError("the localizer was cleaned up meanwhile; the index is not used")
        live = self._live()
        if live is None:
            return
        swapped = live.load_index(loaded)
        self._wake()
        try:
            swapped.result(SWAP_WITHIN_S)
        except futures.TimeoutError as error:
            if swapped.cancel():
                raise ConfigError(f"the worker was busy for {SWAP_WITHIN_S:g} s") from error
            swapped.result()

    def _from_ll(self, request: Any, response: Any) -> None:  # noqa: ANN401
        try:
            place = LatLon(request.latitude, request.longitude)
            xy_m = self._plane.to_xy(place.lat_deg, place.lon_deg)[0]
        except GeodesyError as error:
            response.message = str(error)
            return
        response.success = True
        response.map_point.x, response.map_point.y = xy_m.tolist()

    def _to_ll(self, request: Any, response: Any) -> None:  # noqa: ANN401
        try:
            place = self._plane.position(request.map_point.x, request.map_point.y)
        except GeodesyError as error:
            response.message = str(error)
            return
        response.success = True
        response.latitude, response.longitude = place.lat_deg, place.lon_deg

    def _set_initial_pose(self, request: Any, response: Any) -> None:  # noqa: ANN401
        del response
        live = self._live()
        if live is None:
            self._node.get_logger().error(f"set_initial_pose: {INACTIVE}")
            return
        now_ns = self._node.get_clock().now().nanoseconds
        try:
            live.initial_pose(now_ns, *conversions.initial_pose(request.pose, self._map_frame))
        except GeolocError as error:
            self._node.get_logger().error(f"set_initial_pose: {error}")
        self._wake()
