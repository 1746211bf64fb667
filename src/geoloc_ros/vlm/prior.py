# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""From what a vision-language model says to where the vehicle may be, before any map is searched.

A model chooses among regions (`region_mixture`) or names a place (`written_mixture`); both become
a `PlaceMixture`. A choice goes with every reply as its guesses (`region_guesses`), which the
filter takes in through `guesses.geo_prior`. Other sources than models are in `prior_sources`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from geoloc_ros.datatypes import FloatArray, Image
from geoloc_ros.errors import PriorError, UnparseableError
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.geo.wgs84 import LatLon
from geoloc_ros.vlm.answerer import UNPARSEABLE, Answer, Answerer, PlaceGuess
from geoloc_ros.vlm.gazetteer import Gazetteer, load_gazetteer
from geoloc_ros.vlm.package import VlmPackage
from geoloc_ros.vlm.place_answer import GRAMMAR, QUESTION, parse_place_answer
from geoloc_ros.vlm.place_resolution import Resolved, Widening, resolve
from geoloc_ros.vlm.questions import CANNOT_TELL, REGION, QuestionSet, Region

VLM = "vlm"
#: successive frames see the same street: of n answers, only so much of each after the first counts
INDEPENDENT = 0.2
#: factor on the choice of a model that nobody has tried on held-out pictures
UNMEASURED = 0.5
_SUM_TOLERANCE = 1e-3


@runtime_checkable
class Model(Protocol):
    """A vision-language model with its card, as `llama.LlamaVlm` is."""

    package: VlmPackage

    def write(self, rgb: Image, text: str, grammar: str, most_tokens: int = 256) -> str:
        """What it writes of a picture when asked with a text, under a grammar."""


def ask_where(
    answerer: Answerer,
    rgb: Image,
    questions: QuestionSet,
    reliability: float | None = None,
    *,
    choose: bool = False,
) -> Resolved:
    """Ask a model where a picture (H, W, 3) was taken.

    Args:
        answerer: the model; one that was made for chat writes, any other chooses.
        rgb: the picture.
        questions: with the regions it may choose from.
        reliability: factor on what it says; None for `region_trust` of its card if it chooses.
        choose: let it choose a region even if it can write.

    Raises:
        ValueError: the model said something that is no answer.
        PriorError: the model was not asked about regions, or there is no gazetteer.
    """
    card = answerer.package if isinstance(answerer, Model) else None
    if isinstance(answerer, Model) and answerer.package.template == "chat" and not choose:
        text = answerer.write(rgb, QUESTION, GRAMMAR)
        return written_mixture(text, 1.0 if reliability is None else reliability)
    if reliability is None:
        reliability = UNMEASURED if card is None else region_trust(card, questions)
    return Resolved(chosen_mixture(answerer.answer(rgb).answers, questions, reliability))


def region_trust(package: VlmPackage, questions: QuestionSet, view: str = "ground") -> float:
    """Factor on a model's choice of region: how far its hit rate lies above chance.

    0 for one that guesses, 1 for one that is always right; `UNMEASURED` where its card does not
    say how often it was right.
    """
    rate = package.reliability.get(view, {}).get(REGION)
    if rate is None:
        return UNMEASURED
    chance = 1.0 / len(questions.regions)
    return float(np.clip((rate - chance) / (1.0 - chance), 0.0, 1.0))


def chosen_mixture(
    answers: Iterable[Answer], questions: QuestionSet, reliability: float = 1.0
) -> PlaceMixture:
    """What a model says by its answer to the question `REGION`.

    Raises:
        UnparseableError: the model said something that is none of the options.
        PriorError: that answer is missing, or its numbers are no probabilities.
    """
    options = questions[REGION].options
    for answer in answers:
        if answer.question == REGION and answer.answer == UNPARSEABLE:
            raise UnparseableError("the model did not choose a region by its letter")
        if answer.question == REGION and len(answer.probabilities) == len(options):
            each = zip((option.id for option in options), answer.probabilities, strict=True)
            return region_mixture(dict(each), questions.regions, reliability)
    raise PriorError(
        f"the model gave no probabilities for the question {REGION!r}; ask one that answers "
        f"version {questions.version} of the questions"
    )


def region_guesses(
    answers: Iterable[Answer], questions: QuestionSet, package: VlmPackage, view: str = "ground"
) -> tuple[PlaceGuess, ...]:
    """What a reply's choice of region guesses, for the filter.

    Nothing where the region was not asked for or not chosen, and from a model whose card does not
    say how often it is right.
    """
    if REGION not in package.reliability.get(view, {}):
        return ()
    try:
        mixture = chosen_mixture(answers, questions, region_trust(package, questions, view))
    except (UnparseableError, PriorError):
        return ()
    return guesses_of(mixture)


def region_mixture(
    probabilities: Mapping[str, float],
    regions: Mapping[str, Region],
    reliability: float = 1.0,
    source: str = VLM,
) -> PlaceMixture:
    """What a model says by choosing among regions.

    Args:
        probabilities: of each option of the question, adding up to one; what is given to
            "cannot_tell" belongs to everywhere.
        regions: where each other option lies.
        reliability: how often the likeliest region was right on held-out data, or any other
            factor learned there; what it takes away belongs to everywhere.
        source: who answered.

    Raises:
        PriorError: an option is unknown, or the numbers are no probabilities.
    """
    unknown = sorted(set(probabilities) - set(regions) - {CANNOT_TELL})
    if unknown:
        raise PriorError(f"{source} rates {unknown[:3]}, which are no regions of the question")
    values = np.array(list(probabilities.values()), dtype=np.float64)
    if not (np.isfinite(values).all() and abs(float(values.sum()) - 1.0) <= _SUM_TOLERANCE):
        raise PriorError(f"the region probabilities of {source} do not add up to one")
    named = [option for option in probabilities if option != CANNOT_TELL]
    return PlaceMixture.of(
        [regions[option].lat_deg for option in named],
        [regions[option].lon_deg for option in named],
        [regions[option].sigma_m for option in named],
        [probabilities[option] * reliability for option in named],
        source,
        named,
    )


def pooled(probabilities: npt.ArrayLike, independent: float = INDEPENDENT) -> FloatArray:
    """What answers to one question about successive frames say together.

    Args:
        probabilities: (F, O) of each frame's options.
        independent: how much of each answer after the first is new, 0..1.

    Returns:
        (O,) adding up to one: the normalised product, each factor to the power
        (1 + (F - 1) * independent) / F.

    Raises:
        PriorError: there is no frame, or the numbers are no probabilities.
    """
    each = np.asarray(probabilities, dtype=np.float64)
    if each.ndim != 2 or not each.size or not (np.isfinite(each).all() and (each >= 0.0).all()):
        raise PriorError(f"answers of shape {each.shape} are no probabilities of options")
    power = (1.0 + (len(each) - 1) * independent) / len(each)
    log = power * np.log(np.maximum(each, 1e-6)).sum(axis=0)
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def written_mixture(
    text: str,
    reliability: float = 1.0,
    *,
    gazetteer: Gazetteer | None = None,
    widening: Widening | None = None,
    source: str = VLM,
) -> Resolved:
    """What a model says by naming a place in JSON.

    Args:
        text: the model's answer, see `place_answer.GRAMMAR`.
        reliability: learned factor on the whole answer.
        gazetteer: of names; None: that of the extra `gazetteer`.
        widening: how often such answers are right.
        source: who answered.

    Raises:
        UnparseableError: the text is no answer.
        PriorError: there is no gazetteer.
    """
    answer = parse_place_answer(text)
    found = resolve(answer, gazetteer or load_gazetteer(), widening, source)
    return Resolved(found.mixture.flattened(reliability), found.unknown)


def guesses_of(mixture: PlaceMixture) -> tuple[PlaceGuess, ...]:
    """A mixture as the guesses of a reply."""
    columns = (mixture.lat_deg, mixture.lon_deg, mixture.sigma_m, mixture.shares)
    return tuple(
        PlaceGuess(LatLon(float(lat), float(lon)), float(sigma), float(share))
        for lat, lon, sigma, share in zip(*columns, strict=True)
    )
