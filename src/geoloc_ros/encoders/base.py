# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package asks of an encoder."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from geoloc_ros.datatypes import Float32Array, Image


@runtime_checkable
class QueryEncoder(Protocol):
    """Describes what the vehicle sees."""

    def encode_query(self, views: Image) -> Float32Array:
        """Unit descriptors (N, D) of views (N, H, W, 3) uint8 RGB."""


@runtime_checkable
class ReferenceEncoder(Protocol):
    """Describes satellite crops."""

    def encode_reference(self, crops: Image) -> Float32Array:
        """Unit descriptors (N, D) of crops (N, S, S, 3) uint8 RGB; several threads may ask."""


@runtime_checkable
class Encoder(QueryEncoder, ReferenceEncoder, Protocol):
    """Both halves of a model."""
