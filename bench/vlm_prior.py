#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""What a geographic prior brings a kidnapped vehicle that may be in any of many towns.

One town per seed, the regional styles in turn, each with an index and a drive. Every frame of
the drives is searched in all towns at once: without a prior, with softly chosen towns, re-ranked
by the prior, and with both. Right town: that of the best candidate. Nearest street: in the right
town, the road nearest to the candidate is one the vehicle is on. A short drive adds up what
`--window` successive frames say of each town; its street is that of its last frame.

The prior comes from the answers of a model to the question of regions (`--vlm`), and on a curve
from simulated ones: right at a given rate, else another region, always with the same confidence.
"learned": flattened by the reliability that answers of that rate have; "trusted": by that of
perfect answers, so that others mislead. "worst": always the region, besides the right one, whose
towns look most like the picture.

What is in WORK already is not made again, so an interrupted run goes on.

Example:
  python bench/vlm_prior.py --seeds $(seq 900400 900447) --json vlm_prior.json
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from prior_towns import Frames, Judge, Towns
from scoring import may_be_scored, write_json

from geoloc_ros.datatypes import Float32Array, FloatArray
from geoloc_ros.encoders.registry import find_model
from geoloc_ros.geo.place_mixture import PlaceMixture
from geoloc_ros.index.atlas import Atlas, AtlasCandidates
from geoloc_ros.rerank.geographic import geographic_scores
from geoloc_ros.vlm.package import VlmPackage, find_vlm
from geoloc_ros.vlm.prior import pooled, region_mixture, region_trust
from geoloc_ros.vlm.questions import CANNOT_TELL, REGION, QuestionSet, load_questions

VARIANTS = ("none", "submaps", "rerank", "both")
RATES = (1.0, 0.8, 0.6, 0.4)
CONFIDENCE = 0.8  # of a simulated answer in its region
PLACES = 5  # that a town may name
WANTED_TOWN, WANTED_STREET = 13.52, 4.51


@dataclasses.dataclass(frozen=True)
class Query:
    """One frame in the search: where it is, and what is found without a prior."""

    town: int
    frame: int
    descriptor: Float32Array
    pose: FloatArray
    found: AtlasCandidates


class Bench:
    """Searches all frames under all priors.

    Args:
        towns: made.
        frames: of each town.
        questions: with the regions.
        window: frames of a short drive.
    """

    def __init__(
        self, towns: Towns, frames: list[Frames], questions: QuestionSet, window: int
    ) -> None:
        self.atlas = Atlas([towns.index(seed) for seed in towns.seeds], towns.package)
        self.judge = Judge(towns, self.atlas.manifests)
        self.styles, self.window = towns.styles, window
        self.temperature = towns.package.calibration.temperature
        self.questions = questions
        self.options = [option.id for option in questions[REGION].options]
        self.queries = [
            Query(
                town, i, drive.descriptors[i], drive.poses[i], self._search(drive.descriptors[i])
            )
            for town, drive in enumerate(frames)
            for i in range(len(drive.poses))
        ]

    def _search(
        self, descriptor: Float32Array, prior: PlaceMixture | None = None
    ) -> AtlasCandidates:
        return self.atlas.search(descriptor, PLACES, prior)

    def run(self, answers: FloatArray, reliability: float) -> dict[str, dict[str, float]]:
        """Accuracies of single frames and short drives, per variant.

        Args:
            answers: (Q, O) probabilities that a model gives the options, one row a query.
            reliability: learned of it.
        """
        alone = [self._prior(answers[i : i + 1], reliability) for i in range(len(answers))]
        pooled_priors = [
            self._prior(answers[max(i - q.frame, i - self.window + 1) : i + 1], reliability)
            for i, q in enumerate(self.queries)
        ]
        softly = [self._searched(priors) for priors in (alone, pooled_priors)]
        return {
            variant: {
                **self._frames(variant, alone, softly[0]),
                **self._drives(variant, pooled_priors, softly[1]),
            }
            for variant in VARIANTS
        }

    def _searched(self, priors: list[PlaceMixture]) -> list[AtlasCandidates]:
        """What is found where the priors choose towns softly."""
        return [
            self._search(query.descriptor, prior)
            for query, prior in zip(self.queries, priors, strict=True)
        ]

    def _prior(self, answers: FloatArray, reliability: float) -> PlaceMixture:
        said = dict(zip(self.options, pooled(answers).tolist(), strict=True))
        return region_mixture(said, self.questions.regions, reliability)

    def _log_prior(self, variant: str, prior: PlaceMixture, found: AtlasCandidates) -> FloatArray:
        if variant not in ("rerank", "both"):
            return np.zeros(len(found))
        return self.atlas.log_prior(prior, found)

    def _frames(
        self, variant: str, priors: list[PlaceMixture], softly: list[AtlasCandidates]
    ) -> dict[str, float]:
        """How often the best candidate of a frame is right."""
        verdicts, compared = [], []
        for query, prior, chosen in zip(self.queries, priors, softly, strict=True):
            found = chosen if variant in ("submaps", "both") else query.found
            log_prior = self._log_prior(variant, prior, found)
            scores = geographic_scores(found.similarity, log_prior, self.temperature)
            verdicts.append(self._verdict(query, found, int(np.argmax(scores))))
            compared.append(found.compared)
        town, street = np.mean(verdicts, axis=0)
        share = np.mean(compared) / sum(manifest.count for manifest in self.atlas.manifests)
        return {"town": float(town), "street": float(street), "compared": float(share)}

    def _drives(
        self, variant: str, priors: list[PlaceMixture], softly: list[AtlasCandidates]
    ) -> dict[str, float]:
        """How often the best place at the end of a short drive is right.

        Per town the frames' best image scores are added up; the prior counts once.
        """
        verdicts = []
        looks: list[FloatArray] = []
        for query, prior, chosen in zip(self.queries, priors, softly, strict=True):
            found = chosen if variant in ("submaps", "both") else query.found
            scores = geographic_scores(found.similarity, np.zeros(len(found)), self.temperature)
            looks = [*(looks if query.frame else []), self._by_town(found, scores)]
            if len(looks) % self.window == 0:
                before = np.sum(looks[-self.window : -1], axis=0)[found.towns]
                total = before + scores + self._log_prior(variant, prior, found)
                verdicts.append(self._verdict(query, found, int(np.argmax(total))))
        town, street = np.mean(verdicts, axis=0)
        return {"drive_town": float(town), "drive_street": float(street)}

    def _verdict(self, query: Query, found: AtlasCandidates, best: int) -> tuple[bool, bool]:
        """Whether a candidate lies in the right town, and on the right street of it."""
        if found.towns[best] != query.town:
            return False, False
        return True, self.judge.street(query.town, query.pose, found.poses[best])

    def _by_town(self, found: AtlasCandidates, scores: FloatArray) -> FloatArray:
        """Best score (T,) of each town."""
        best = np.full(len(self.atlas), -np.inf)
        np.maximum.at(best, found.towns, scores)
        return best

    # -- answers ------------------------------------------------------------------------------

    def simulated(self, rate: float, seed: int = 0) -> FloatArray:
        """Answers (Q, O) that are right at a rate, the same all through a short drive."""
        rng = np.random.default_rng([seed, round(1000 * rate)])
        said, rows = "", []
        for query in self.queries:
            if query.frame % self.window == 0:
                right = self.styles[query.town]
                wrong = [option for option in self._known if option != right]
                said = right if rng.random() < rate else str(rng.choice(wrong))
            rows.append(self._row(said))
        return np.array(rows)

    def worst(self) -> FloatArray:
        """Answers (Q, O) that name the region of the best candidate of a wrong region."""
        rows = []
        for query in self.queries:
            styles = (self.styles[town] for town in query.found.towns)
            rows.append(self._row(next(s for s in styles if s != self.styles[query.town])))
        return np.array(rows)

    @property
    def _known(self) -> list[str]:
        return [option for option in self.options if option != CANNOT_TELL]

    def _row(self, at: str) -> list[float]:
        rest = (1.0 - CONFIDENCE) / (len(self._known) - 1)
        each = {option: CONFIDENCE if option == at else rest for option in self._known}
        return [each.get(option, 0.0) for option in self.options]

    def reliability(self, rate: float) -> float:
        """What is learned of simulated answers that are right at a rate."""
        chance = 1.0 / len(self._known)
        return float(np.clip((rate - chance) / (1.0 - chance) / CONFIDENCE, 0.0, 1.0))

    def hit_rate(self, answers: FloatArray) -> float:
        """How often the likeliest option is right."""
        said = [self.options[best] for best in answers.argmax(axis=1)]
        return float(
            np.mean([s == self.styles[q.town] for s, q in zip(said, self.queries, strict=True)])
        )


def points(figures: Mapping[str, Mapping[str, float]], key: str) -> float:
    """Percentage points that both uses of the prior together gain."""
    return 100.0 * (figures["both"][key] - figures["none"][key])


def print_figures(title: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """One table: a row a variant."""
    keys = list(figures["none"])
    print(f"\n{title}\n{'':10}" + "".join(f"{key:>14}" for key in keys))
    for variant, row in figures.items():
        print(f"{variant:10}" + "".join(f"{row[key]:14.3f}" for key in keys))


def evaluate(
    bench: Bench, frames: list[Frames], card: VlmPackage | None, options: argparse.Namespace
) -> dict[str, Any]:
    """The curve over simulated answers, and the figures of those that count."""
    curve = []
    settings = [(rate, "learned", bench.reliability(rate)) for rate in RATES]
    chance = 1.0 / len(bench.questions.regions)
    settings += [(rate, "trusted", bench.reliability(1.0)) for rate in (*RATES[1:], chance, 0.0)]
    for rate, name, reliability in settings:
        figures = bench.run(bench.simulated(rate), reliability)
        print_figures(f"answers right at {rate:.2f}, {name} ({reliability:.2f})", figures)
        curve.append({"rate": rate, "trust": name, "reliability": reliability, **figures})
    figures = bench.run(bench.worst(), bench.reliability(1.0))
    print_figures("always the worst region, trusted", figures)
    curve.append({"rate": "worst", "trust": "trusted", **figures})
    if card is not None:
        answers = np.concatenate([drive.regions for drive in frames])
        source, reliability = f"{card.name} {card.version}", options.reliability
        if reliability is None:
            reliability = region_trust(card, bench.questions)
    else:
        answers = bench.simulated(options.assume)
        source, reliability = f"simulated at {options.assume}", bench.reliability(options.assume)
    figures = bench.run(answers, reliability)
    hit_rate = bench.hit_rate(answers)
    print_figures(f"answers: {source}, right at {hit_rate:.3f}", figures)
    return {
        "curve": curve,
        "answers": source,
        "hit_rate": hit_rate,
        "reliability": reliability,
        "figures": figures,
    }


def main() -> int:
    """Run the bench; exit status 2 for seeds that are not reserved for evaluation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", required=True, help="towns")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--model", default="perspective", help="encoder package")
    parser.add_argument("--vlm", help="vision-language model that is asked; default: simulated")
    parser.add_argument("--reliability", type=float, help="of --vlm; default: from its card")
    parser.add_argument(
        "--assume", type=float, default=0.6, help="rate of simulated answers (%(default)s)"
    )
    parser.add_argument("--work", type=Path, default=Path("out/vlm_prior"), help="towns")
    parser.add_argument("--size", type=float, default=360.0, help="side of a town, m")
    parser.add_argument("--length", type=float, default=200.0, help="of a drive, m")
    parser.add_argument(
        "--spacing", type=float, default=12.0, help="of index entries, m (%(default)s)"
    )
    parser.add_argument("--window", type=int, default=5, help="frames of a short drive")
    parser.add_argument("--make-only", action="store_true", help="make the towns and stop")
    parser.add_argument(
        "--development", action="store_true", help="allow seeds below the reserved ones"
    )
    options = parser.parse_args()
    if not may_be_scored(options.seeds, options.development):
        return 2
    questions = load_questions()
    package = find_model(options.model)
    size = (options.size, options.length, options.spacing)
    towns = Towns(options.seeds, options.work, package, *size)
    towns.make()
    if options.make_only:
        return 0
    card = find_vlm(options.vlm) if options.vlm else None
    frames = towns.frames(card)
    bench = Bench(towns, frames, questions, options.window)
    regions = len(set(towns.styles))
    print(f"{len(bench.atlas)} towns of {regions} regions, {len(bench.queries)} frames")
    found = evaluate(bench, frames, card, options)
    figures = found["figures"]
    keys = {
        "prior_town_points": points(figures, "town"),
        "prior_street_points": points(figures, "street"),
        "prior_drive_town_points": points(figures, "drive_town"),
        "prior_drive_street_points": points(figures, "drive_street"),
    }
    print(f"\n{'figure':28}{'wanted':>10}{'reached':>10}")
    wanted = dict.fromkeys(keys, 0.0)
    wanted |= {"prior_town_points": WANTED_TOWN, "prior_street_points": WANTED_STREET}
    for key, value in keys.items():
        print(f"{key:28}{wanted[key]:10.2f}{value:10.2f}")
    if options.json:
        write_json(options.json, {"seeds": options.seeds, **keys, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
