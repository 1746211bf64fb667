# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes. The only room that knows rclpy; everything that thinks lies outside it.

`localizer` and `vlm` are the nodes, `live` is the vehicle being followed (no rclpy in it),
`conversions` are the messages, the rest is what the nodes are put together from.
"""
