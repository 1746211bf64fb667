# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a model's networks run on: ONNX Runtime or TensorRT, and how one of them is chosen.

Read `base` first: a back end is a name, whether it can work here, and how it opens a session.
`choosing` takes the first that works, `cache` keeps engines, `building` makes them in a process of
its own, `live` and `settled` are what the node and the commands use.
"""
