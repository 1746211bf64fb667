# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Made descriptors: neighbours along winding paths look alike, as crops along roads do."""

import numpy as np


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def walks(count, dim, seed=0, steps=50):
    """Unit vectors (count, dim) along random walks of so many steps."""
    rng = np.random.default_rng(seed)
    starts = rng.normal(size=(-(-count // steps), 1, dim))
    moves = 0.25 * rng.normal(size=(len(starts), steps, dim))
    return unit((starts + np.cumsum(moves, axis=1)).reshape(-1, dim)[:count])


def views(vectors, count, seed=1, noise=0.8):
    """Unit vectors (count, dim): what a camera makes of some, `noise` times as long off them."""
    rng = np.random.default_rng(seed)
    picked = vectors[rng.integers(0, len(vectors), count)]
    return unit(picked + noise / np.sqrt(vectors.shape[1]) * rng.normal(size=picked.shape))


def nearest(vectors, queries, k):
    """Rows (Q, k) most similar to each query, by comparing with all."""
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]
