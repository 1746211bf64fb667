# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A model card in words: what its READMEs and `geoloc model info` say alike."""

from __future__ import annotations

from collections.abc import Mapping

from geoloc_ros.encoders.package import Calibration, QuerySpec, ReferenceSpec

NO_CALIBRATION = "no place is believed (status SEARCHING) until 'geoloc calibrate' has run"


def view_words(query: QuerySpec) -> str:
    """What the query encoder looks at."""
    size = f"{query.height_px} x {query.width_px} px"
    if query.view == "perspective":
        return f"{size}, pinhole, {query.hfov_deg:g} degrees wide, level"
    if query.view == "panorama":
        low, high = query.elevations_deg
        return (
            f"{size}, panorama all round, elevations {low:g} to {high:g} degrees, trained with "
            f"{'north' if query.alignment == 'north' else 'the heading'} up; the middle looks "
            f"{query.centre_azimuth_deg:g} degrees right of that"
        )
    return f"{size}, overhead, heading up, {query.extent_m:g} m; unseen pixels in the mean colour"


def crop_words(query: QuerySpec, reference: ReferenceSpec) -> str:
    """What the reference encoder looks at."""
    up = "north" if query.alignment == "north" else "heading"
    return (
        f"{reference.size_px} x {reference.size_px} px, {reference.extent_m:g} m, {up} up, "
        f"centre {reference.offset_forward_m:g} m ahead of the anchor"
    )


def calibration_words(calibration: Calibration) -> str:
    """What similarity is worth, in one line; what is missing, if it is."""
    if calibration.missing:
        return f"none: {NO_CALIBRATION}"
    if not calibration.fitted_on:
        return "set by hand, fitted on nothing; 'geoloc calibrate' fits it"
    return (
        f"right {calibration.matched:.3f} ± {calibration.matched_sigma:.3f}, wrong "
        f"{calibration.background:.3f} ± {calibration.background_sigma:.3f}, temperature "
        f"{calibration.temperature:.4f}; fitted on: {calibration.fitted_on}"
    )


def parity_words(parity: Mapping[str, float]) -> str:
    """How near an imported package is to the network it was made from, in one line."""
    return (
        f"{parity['images']} made pictures beside the network itself: largest difference "
        f"{parity['max_abs']:.1e}, mean {parity['mean_abs']:.1e}, least cosine "
        f"{parity['cosine_min']:.7f}"
    )
