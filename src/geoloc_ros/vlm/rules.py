# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a vision-language model: three questions answered from mean colours.

For tests of everything around a model, never for a vehicle.
"""

from __future__ import annotations

import numpy as np

from geoloc_ros.datatypes import Image
from geoloc_ros.vlm.answerer import Answer, Reply


class Rules:
    """Tells day from night, green from grey, and whether there is anything to see."""

    def answer(self, rgb: Image, view: str = "ground") -> Reply:
        """See `Answerer.answer`; colours mean the same from above."""
        del view
        mean = rgb.reshape(-1, 3).mean(axis=0) / 255.0
        brightness, contrast = float(mean.mean()), float(rgb.std() / 255.0)
        green = float(mean[1] - 0.5 * (mean[0] + mean[2]))
        return Reply(
            (
                _choice("scene.light", ("day", "night"), brightness - 0.25),
                _choice("scene.plants", ("green", "grey"), green),
                _choice("scene.anything", ("something", "nothing"), contrast - 0.02),
            )
        )


def _choice(question: str, options: tuple[str, str], evidence: float) -> Answer:
    yes = float(1.0 / (1.0 + np.exp(-20.0 * evidence)))
    return Answer(question, options[0] if yes >= 0.5 else options[1], max(yes, 1.0 - yes))
