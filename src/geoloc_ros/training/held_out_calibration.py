# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a similarity is worth, fitted on views that a training has held out.

How much evidence a strange place needs, and how far errors reach, only whole drives can tell
(`geoloc calibrate`); that stays as it was in the package that the training began with.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.encoders.onnx_backend import OnnxEncoder
from geoloc_ros.encoders.package import Calibration, ModelPackage
from geoloc_ros.filtering.calibration import MIN_SAMPLES, fit_similarity
from geoloc_ros.training.posed_pairs import Area
from geoloc_ros.training.teacher import sized

_MOST_VIEWS, _WRONG_POSES = 300, 256
_WRONG_BEYOND_M = 30.0


def with_similarity(
    package: ModelPackage, unseen: Area, anchors: FloatArray, before: Calibration | None
) -> ModelPackage:
    """The package with temperature and levels of its similarity; as it was with too few views.

    Args:
        package: exported.
        unseen: views that were held out.
        anchors: (M, 3) index-like poses of the ground around.
        before: calibration of the package that the training began with, if there is one.
    """
    kept = before or Calibration.none()
    if len(unseen.poses) < MIN_SAMPLES:
        return dataclasses.replace(package, calibration=kept)
    rows = np.unique(np.linspace(0, len(unseen.poses) - 1, _MOST_VIEWS).astype(int))
    encoder, side = OnnxEncoder(package, threads=2), package.reference.size_px
    spec = package.query
    views = np.stack([unseen.images[int(row)] for row in rows])
    queries = encoder.encode_query(sized(views, spec.height_px, spec.width_px))

    def crops(poses: FloatArray) -> Float32Array:
        return encoder.encode_reference(sized(unseen.ground.crops(poses), side, side))

    rng = np.random.default_rng(6)
    wrong = anchors[rng.choice(len(anchors), min(_WRONG_POSES, len(anchors)), replace=False)]
    poses = unseen.poses[rows]
    matched = np.einsum("nd,nd->n", queries, crops(poses)).astype(np.float64)
    background = (queries @ crops(wrong).T).astype(np.float64)
    gap = np.hypot(*(poses[:, None, :2] - wrong[None, :, :2]).transpose(2, 0, 1))
    # As many wrong ones for every view: one that is near counts as the median of the others.
    middle = np.median(background, axis=1, keepdims=True)
    background = np.where(gap < _WRONG_BEYOND_M, middle, background)
    fitted = fit_similarity(matched, background)
    note = f"similarity: {len(rows)} held-out views of the training's drives"
    if kept.missing:
        note += "; evidence and covariance: nothing yet"
    elif kept.fitted_on:
        note += f"; evidence and covariance: {kept.fitted_on}, before the training"
    calibration = dataclasses.replace(
        kept,
        temperature=fitted.temperature,
        background=fitted.background,
        background_sigma=fitted.background_sigma,
        matched=fitted.matched,
        matched_sigma=fitted.matched_sigma,
        fitted_on=note,
    )
    return dataclasses.replace(package, calibration=calibration)
