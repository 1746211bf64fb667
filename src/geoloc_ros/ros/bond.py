# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The bond with nav2's lifecycle manager: it learns at once when this process is gone.

nav2 listens on the topic `bond` for an instance named like the node. bondpy is optional; without
it set the manager's `bond_timeout` to 0.
"""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from geoloc_ros.ros.interfaces import optional

TOPIC = "bond"


class BondToManager:
    """Held while the node is active.

    Args:
        node: that holds it.
        wanted: False: none is held.
    """

    def __init__(self, node: Node, wanted: bool) -> None:
        self._node = node
        self._bondpy = optional("bondpy.bondpy") if wanted else None
        self._bond: Any = None

    def hold(self) -> None:
        """Begin to send heartbeats."""
        if self._bondpy is None:
            return
        self._bond = self._bondpy.Bond(self._node, TOPIC, self._node.get_name())
        self._bond.set_heartbeat_period(0.10)
        self._bond.set_heartbeat_timeout(4.0)
        self._bond.start()

    def release(self) -> None:
        """Part as agreed; the manager is told."""
        if self._bond is None:
            return
        bond, self._bond = self._bond, None
        bond.break_bond()
        # bondpy destroys its handles and leaves them with the node, whose executor then stumbles
        # over them; so they are taken from the node first.
        self._node.destroy_subscription(bond.sub)
        bond.shutdown()
        self._node.destroy_publisher(bond.pub)
