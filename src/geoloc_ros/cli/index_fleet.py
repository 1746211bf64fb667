# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc index pull`, `diff` and `merge`: keeping the indexes of a fleet current."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from geoloc_ros.cli.asking import confirm
from geoloc_ros.cli.index_text import plain, summary
from geoloc_ros.errors import ConfigError
from geoloc_ros.geo.wgs84 import LatLon

if TYPE_CHECKING:
    from geoloc_ros.index.diff import Difference
    from geoloc_ros.index.manifest import Manifest
    from geoloc_ros.index.pull_plan import Plan
    from geoloc_ros.index.records import ShardRecord
    from geoloc_ros.index.region import Region

#: More than this is not fetched without asking.
ASK_FROM_MB = 100.0
_FIELDS_SHOWN = 6

_PULL = """\
Copy the part of an index that a vehicle needs, from a folder or from a web server that serves it
as plain files (SRC/manifest.json and SRC/shards/...). The result is an index of its own, with the
same imagery, licence and attribution.

Every file is compared with the size and sha256 in the manifest before it counts. Files that DST
has already do not come again, so that pulling again is an update; an interrupted pull goes on when
the same command is run again. The index at DST stays as it is until the new one is complete.
"""

_PULL_EXAMPLES = """\
examples:
  geoloc index pull https://maps.example.org/city.index my.index --near 46.52,6.63 --radius 3000
  geoloc index pull /media/stick/city.index my.index --region 6.55,46.49,6.70,46.56 --add
  geoloc index pull https://maps.example.org/city.index my.index --yes        # update my.index
"""

_MERGE = """\
Join indexes that were built alike (same model, sampling and origin), e.g. of the roads of one
imagery, divided among several machines. Files are shared with the old indexes (hard links) where
the disk can, else copied; each is compared with its sha256. Sources, licences and attributions of
all imagery are joined; where one index states a licence and another none, nothing is merged.
"""


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs to the parser."""
    _add_pull(verbs)
    diff = verbs.add_parser(
        "diff",
        help="say what two indexes differ in",
        description="Compare two indexes, folders or addresses, by their manifests alone. Exit "
        "status: 0 they are the same, 1 they differ, 2 there was trouble.",
    )
    diff.add_argument("old", metavar="A", help="index directory, or http(s) address of one")
    diff.add_argument("new", metavar="B", help="likewise")
    diff.add_argument("--json", type=Path, metavar="FILE", help="write it down for programs, too")
    diff.set_defaults(run=_diff)
    merge = verbs.add_parser(
        "merge",
        help="join indexes that were built alike",
        description=_MERGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    merge.add_argument("indexes", type=Path, nargs="+", metavar="INDEX", help="index directories")
    merge.add_argument("--out", type=Path, required=True, help="index directory to write")
    merge.add_argument(
        "--prefer",
        default="",
        metavar="WHICH",
        help="whose shard to take where several have different ones of a cell: first, last, or "
        "one of the indexes (refuse)",
    )
    merge.add_argument("--quiet", action="store_true", help="no progress bar")
    merge.set_defaults(run=_merge)


def _add_pull(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "pull",
        help="copy a region of an index from a folder or a server, or update it",
        description=_PULL,
        epilog=_PULL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # else a region that begins in the west is taken for an option
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    parser.add_argument("source", metavar="SRC", help="index directory, or http(s) address of one")
    parser.add_argument("out", type=Path, metavar="DST", help="index directory to write or update")
    what = parser.add_argument_group("what to take (the ground that the index at DST covers)")
    choice = what.add_mutually_exclusive_group()
    choice.add_argument(
        "--region", metavar="W,S,E,N", help="a box in degrees; W > E crosses 180 degrees"
    )
    choice.add_argument("--near", metavar="LAT,LON", help="around a place, in degrees")
    choice.add_argument("--all", action="store_true", help="everything")
    what.add_argument("--radius", type=float, metavar="M", help="how far around it, m")
    what.add_argument(
        "--add", action="store_true", help="keep, and update, what DST has beside the region"
    )
    parser.add_argument(
        "--model", help="refuse an index that this model (a name or a package) cannot read"
    )
    parser.add_argument(
        "--connections", type=int, default=4, help="to the server, at a time (%(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would come, no more")
    parser.add_argument(
        "--yes",
        action="store_true",
        help=f"do not ask before more than {ASK_FROM_MB:g} MB come or shards are dropped",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=_pull)


def _pull(arguments: argparse.Namespace) -> int:
    from geoloc_ros.encoders.registry import find_model
    from geoloc_ros.index.manifest import check_model
    from geoloc_ros.index.pull import pull
    from geoloc_ros.index.pull_plan import check_space, make_plan
    from geoloc_ros.index.source import open_source

    region = _region(arguments)
    package = find_model(arguments.model) if arguments.model else None
    with closing(open_source(arguments.source, arguments.connections)) as source:
        plan = make_plan(source, arguments.out, region, arguments.add)
        _show(plan)
        if package is not None:
            check_model(plan.manifest, package, plan.out)
        check_space(plan.out, plan.bytes)
        if arguments.dry_run:
            return 0
        if (plan.bytes > ASK_FROM_MB * 1e6 or plan.dropped) and not arguments.yes:
            dropped = f" and drop {len(plan.dropped)} shards" if plan.dropped else ""
            confirm(f"fetch {plan.bytes / 1e6:,.1f} MB{dropped}")
        done = pull(plan, arguments.connections, progress=not arguments.quiet)
    came = f"{done.files} files came ({done.bytes / 1e6:.1f} MB)" if done.new else "is current"
    print(
        f"{arguments.out}: {came}; {summary(done.manifest)}; identity {done.manifest.sha256[:12]}"
    )
    return 0


def _region(arguments: argparse.Namespace) -> Region | None:
    """The region asked for; None: that of the index at DST.

    Raises:
        ConfigError: the options do not fit together.
        IndexPullError: it is no region.
        GeodesyError: its centre is no position.
    """
    from geoloc_ros.index.region import Box, Disc, Everywhere

    if (arguments.near is None) != (arguments.radius is None):
        raise ConfigError("--near LAT,LON and --radius M are needed together")
    if arguments.region is not None:
        return Box(*_numbers("--region", arguments.region, "W,S,E,N"))
    if arguments.near is not None:
        centre = LatLon(*_numbers("--near", arguments.near, "LAT,LON"))
        return Disc(centre, arguments.radius)
    return Everywhere() if arguments.all else None


def _numbers(option: str, text: str, names: str) -> list[float]:
    try:
        found = [float(number) for number in text.split(",")]
    except ValueError:
        found = []
    if len(found) != names.count(",") + 1:
        raise ConfigError(f"{option} is {text[:80]!r}; it must be {names}, in degrees")
    return found


def _show(plan: Plan) -> None:
    from geoloc_ros.index.diff import header_difference, size_bytes
    from geoloc_ros.index.region import area_text

    whole, manifest, old = plan.whole, plan.manifest, plan.old
    total = size_bytes(manifest.shards)
    rows = {
        "from": f"{plan.source.shown}: {summary(whole)}",
        "covers": area_text(whole),
        "model": f"{whole.model}, encoder {whole.encoder_sha256[:12]}",
        "imagery": whole.imagery.source,
        "licence": whole.imagery.licence or "not stated",
        "attribution": whole.imagery.attribution or "not stated",
        "to": f"{plan.out}{f': {summary(old)}' if old else ''}",
        "wanted": f"{summary(manifest)}; {area_text(manifest)}",
        "to come": f"{len(plan.to_come)} files, {plan.bytes / 1e6:,.1f} MB of {total / 1e6:,.1f}",
    }
    if plan.dropped:
        rows["dropped"] = (
            f"{len(plan.dropped)} shards, {size_bytes(plan.dropped) / 1e6:,.1f} MB, that lie at "
            "DST now (--add keeps those beside a region)"
        )
    names = [field.name for field in header_difference(old, whole)] if old else []
    if names:
        more = ", ..." if len(names) > _FIELDS_SHOWN else ""
        rows["changed"] = f"{', '.join(names[:_FIELDS_SHOWN])}{more} ('geoloc index diff')"
    for key, value in rows.items():
        print(plain(f"{key:12}{value}"))


def _diff(arguments: argparse.Namespace) -> int:
    from geoloc_ros.index.diff import difference, report
    from geoloc_ros.index.source import open_source

    with closing(open_source(arguments.old)) as a, closing(open_source(arguments.new)) as b:
        old, new, names = a.manifest(), b.manifest(), (a.shown, b.shown)
    found = difference(old, new)
    if arguments.json is not None:
        text = json.dumps(report(found, *names), indent=1, ensure_ascii=False) + "\n"
        arguments.json.write_text(text, encoding="utf-8")
    for field in found.header:
        print(plain(f"{field.name}: {_value(field.old)} -> {_value(field.new)}"))
    _print_shards(found, old, new)
    return 0 if found.nothing else 1


def _print_shards(found: Difference, old: Manifest, new: Manifest) -> None:
    from geoloc_ros.index.diff import size_bytes

    rows = [("only in A", record, old, "") for record in found.only_old]
    rows += [("only in B", record, new, "") for record in found.only_new]
    for change in found.changed:
        what = ", ".join(change.parts) or "what is said of it"
        rows.append(("changed", change.new, new, f": {what}"))
    for what, record, manifest, parts in rows:
        print(f"{what:10}{_where(record, manifest)}{parts}")
    groups = {
        "only in A": found.only_old,
        "only in B": found.only_new,
        "changed": [change.new for change in found.changed],
        "same": found.same,
    }
    for what, records in groups.items():
        print(f"{what:10}{len(records)} shards, {size_bytes(records) / 1e6:,.1f} MB")


def _where(record: ShardRecord, manifest: Manifest) -> str:
    west, south, east, north = record.bounds_m
    middle = manifest.frame.position(0.5 * (west + east), 0.5 * (south + north))
    return f"{record.cell} around {middle.lat_deg:.5f} N {middle.lon_deg:.5f} E"


def _value(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _merge(arguments: argparse.Namespace) -> int:
    from geoloc_ros.index.merge import merge_indexes

    done = merge_indexes(
        arguments.indexes, arguments.out, arguments.prefer, progress=not arguments.quiet
    )
    imagery = done.manifest.imagery
    print(
        f"{arguments.out}: {summary(done.manifest)}; {done.twice} cells were there twice, "
        f"{done.preferred} were disputed; identity {done.manifest.sha256[:12]}"
    )
    print(plain(f"licence     {imagery.licence or 'not stated'}"))
    print(plain(f"attribution {imagery.attribution or 'not stated'}"))
    return 0
