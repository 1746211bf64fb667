#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Print what the indexes of a city, a country and a continent cost, from what was measured.

Rates come from the file that `bench/index_build.py --json` writes: entries per kilometre of road,
bytes and CPU time per entry, CPU time for reading a square kilometre of imagery. Lengths of roads
and areas are facts with their sources. A core is one of the machine that was measured.

Example:
  python scripts/scale_cost.py docs/results/index_build.json --cores 16 --hours 24
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULT = Path(__file__).resolve().parents[1] / "docs/results/index_build.json"
#: an index reaches this far from its origin, in both directions (`geo.wgs84.MAX_RANGE_M`)
REACH_KM = 50.0
#: whoever asks for an index holds its poses while it is built: x, y, yaw
POSE_BYTES = 24

BFS = (
    "[Swiss Federal Statistical Office, road lengths 2020](https://www.bfs.admin.ch/bfs/de/home/"
    "statistiken/kataloge-datenbanken.gnpdetail.2020-0273.html)"
)
LAND = (
    "[the same, land use](https://www.bfs.admin.ch/bfs/de/home/statistiken/raum-umwelt/"
    "bodennutzung-bedeckung.html)"
)
ERF = "[European Road Federation 2024](https://erf.be/statistics/road-network-2024)"
BMVI = (
    "[Federal Ministry of Transport 2016](http://www.bmvi.de/SharedDocs/DE/Artikel/G/"
    "infrastruktur-statistik.html)"
)
CITEAIR = "[CITEAIR](http://airqualitynow.org/city_info/zurich/page1.php)"
FACTBOOK = (
    "[World Factbook 2018](https://allcountries.org/world_fact_book_2018/european_union/"
    "european_union_geography.html), less the United Kingdom"
)

#: km of road by country, from ERF; Germany's are BMVI's, as ERF leaves out what communes keep
EU_ROADS_KM = {
    "AT": 127_982, "BE": 155_210, "BG": 19_925, "CY": 13_226, "CZ": 130_757, "DE": 830_000,
    "DK": 74_896, "EE": 65_656, "EL": 117_852, "ES": 666_738, "FI": 77_906, "FR": 1_105_094,
    "HR": 26_412, "HU": 216_511, "IE": 103_182, "IT": 235_443, "LT": 73_777, "LU": 2_909,
    "LV": 57_458, "MT": 2_855, "NL": 141_242, "PL": 431_577, "PT": 14_325, "RO": 86_199,
    "SE": 200_025, "SI": 38_800, "SK": 57_822,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """What is to be indexed.

    Attributes:
        name: of it.
        roads_km: length of its roads.
        area_km2: of it.
        sources: of both.
    """

    name: str
    roads_km: float
    area_km2: float
    sources: str


PLACES = (
    Place("city: Zurich", 847.0, 92.0, f"roads without motorways: {BFS}; area: {CITEAIR}"),
    Place("country: Switzerland", 83_274.0, 41_291.0, f"roads: {BFS}; area: {LAND}"),
    Place(
        "continent: European Union",
        float(sum(EU_ROADS_KM.values())),
        4_236_351.0,
        f"roads: {ERF}, Germany's: {BMVI}; area: {FACTBOOK}",
    ),
)


@dataclass(frozen=True)
class Grid:
    """Poses on a grid, `pitch_m` apart, with `headings` each."""

    pitch_m: float
    headings: int

    @property
    def per_km2(self) -> float:
        """Entries."""
        return self.headings * (1000.0 / self.pitch_m) ** 2


#: what is priced: the default of `geoloc index build --grid`, and a coarse one
GRIDS = (Grid(15.0, 12), Grid(6.0, 16))


@dataclass(frozen=True)
class Cost:
    """What an index costs."""

    place: str
    policy: str
    indexes: int
    entries: float
    size_bytes: float
    core_hours: float

    def machines(self, cores: int, hours: float) -> int:
        """How many of `cores` cores build it in some hours."""
        return max(1, math.ceil(self.core_hours / (cores * hours)))


def costs(measured: dict[str, Any], poses_gb: float) -> Iterator[Cost]:
    """All places by all policies.

    Args:
        measured: by the bench.
        poses_gb: memory for the poses of one index.
    """
    roads = measured["km2"]["roads"]
    grid = next(row for name, row in measured["km2"].items() if name != "roads")
    read_s = measured["reading"]["cpu_seconds"] / measured["reading"]["km2"]
    for place in PLACES:
        per_km = roads["entries"] / roads["road_km"]
        policies = [("roads", per_km * place.roads_km, roads)]
        for each in GRIDS:
            name = f"grid {each.pitch_m:g} m x {each.headings}"
            policies.append((name, each.per_km2 * place.area_km2, grid))
        for name, entries, row in policies:
            cpu_s = entries * row["cpu_ms_per_entry"] / 1e3 + read_s * place.area_km2
            by_reach = place.area_km2 / (2.0 * REACH_KM) ** 2
            yield Cost(
                place.name,
                name,
                math.ceil(max(by_reach, entries * POSE_BYTES / (1e9 * poses_gb))),
                entries,
                entries * row["bytes_per_entry"],
                cpu_s / 3600.0,
            )


def table(
    measured: dict[str, Any], cores: int = 16, hours: float = 24.0, poses_gb: float = 8.0
) -> str:
    """Markdown: what each index costs."""
    lines = [
        f"Indexes of at most {2.0 * REACH_KM:g} km a side, whose poses take at most {poses_gb:g} "
        "GB of the memory of the machine that asks:",
        "",
        "| place | poses | indexes | entries | bytes | core hours | hours on one machine "
        f"of {cores} cores | machines for {hours:g} hours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs(measured, poses_gb):
        cells = (
            cost.place,
            cost.policy,
            f"{cost.indexes}",
            quantity(cost.entries),
            f"{quantity(cost.size_bytes)}B",
            number(cost.core_hours),
            number(cost.core_hours / cores),
            f"{cost.machines(cores, hours)}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def facts() -> str:
    """Markdown: lengths, areas, and who says so."""
    lines = ["| place | roads, km | area, km2 | sources |", "|---|---|---|---|"]
    for place in PLACES:
        lines.append(
            f"| {place.name} | {place.roads_km:.0f} | {place.area_km2:.0f} | {place.sources} |"
        )
    return "\n".join(lines)


def rates(measured: dict[str, Any]) -> str:
    """Markdown: what was measured."""
    ratio, where = measured["ratio"], measured["machine"]
    lines = [
        f"{measured['model']}, {where['threads']} threads on {where['cores']} cores "
        f"({where['cpu']}):",
        "",
        "| figure | value |",
        "|---|---|",
    ]
    for name in ratio["bare_cpu_ms"]:
        lines.append(
            f"| encoder alone, {name}, CPU ms a crop | {ratio['bare_cpu_ms'][name]:.3f} |"
        )
    lines.append(f"| whole build, CPU ms an entry | {ratio['build_cpu_ms']:.3f} |")
    for key in ("build_over_bare", "cpu_build_over_bare"):
        each = ratio[f"{key}_each"]
        lines.append(f"| `{key}` | {ratio[key]:.3f} ({min(each):.3f}..{max(each):.3f}) |")
    lines.append(
        f"| reading 1 km2 of imagery, CPU seconds | {measured['reading']['cpu_seconds']:.2f} |"
    )
    lines += ["", "| 1 km2 | entries | seconds | CPU seconds | MB |", "|---|---|---|---|---|"]
    for name, row in measured["km2"].items():
        what = f"{name}, {row['road_km']:.1f} km" if "road_km" in row else name
        lines.append(
            f"| {what} | {row['entries']} | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} | "
            f"{row['megabytes']:.1f} |"
        )
    return "\n".join(lines)


def number(value: float) -> str:
    """Two digits, or all before the point."""
    return f"{value:.0f}" if value >= 10.0 else f"{value:.2g}"


def quantity(value: float) -> str:
    """Three digits and a prefix of thousands."""
    for prefix, unit in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if value >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value / 1e3:.3g} k"


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rates", type=Path, nargs="?", default=RESULT, help="from the bench")
    parser.add_argument("--cores", type=int, default=16, help="of a machine (%(default)s)")
    parser.add_argument("--hours", type=float, default=24.0, help="it may take (%(default)g)")
    parser.add_argument(
        "--poses-gb", type=float, default=8.0, help="memory for poses of an index (%(default)g)"
    )
    arguments = parser.parse_args()
    if not all(value > 0 for value in (arguments.cores, arguments.hours, arguments.poses_gb)):
        parser.error("--cores, --hours and --poses-gb must be positive")
    try:
        measured = json.loads(arguments.rates.read_text())
    except (OSError, ValueError) as error:
        print(f"{arguments.rates}: {error}; run bench/index_build.py --json", file=sys.stderr)
        return 2
    cost = table(measured, arguments.cores, arguments.hours, arguments.poses_gb)
    print(rates(measured), facts(), cost, sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
