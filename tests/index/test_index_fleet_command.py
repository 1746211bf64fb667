# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc index pull`, `diff` and `merge` as a person types them."""

import dataclasses
import io
import json
import re
import sys
from pathlib import Path

import pytest
from file_server import Reply, serving
from pulling import (
    NORTH_EAST,
    WEST,
    biggest,
    bring,
    bytes_in,
    cells,
    content,
    files_in,
    forged,
    shards_in,
)

from geoloc_ros.cli import index_fleet
from geoloc_ros.cli.index_text import summary
from geoloc_ros.cli.main import main
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.region import area_text

pytestmark = pytest.mark.usefixtures("impatient")
MODEL = Path(__file__).parents[2] / "models" / "perspective"


def said(capsys, *arguments):
    """Exit status, and what was said."""
    status = main(["index", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out + err


def part_of(root, region):
    """What is said of the size of a part."""
    return summary(dataclasses.replace(load_manifest(root), shards=tuple(shards_in(root, region))))


def test_a_pull_says_what_comes_and_whose_it_is(built, tmp_path, capsys):
    out, whole = tmp_path / "my.index", summary(load_manifest(built))
    with serving(built) as server:
        near = ("--near", "46.5035,6.605", "--radius", "100")
        status, text = said(capsys, "pull", server.url, out, *near, "--dry-run")
        assert status == 0
        for part in (
            f"from        {server.url}: {whole}",
            f"covers      {area_text(load_manifest(built))}",
            "attribution nobody",
            "licence     not stated",
            f"wanted      {part_of(built, NORTH_EAST)}; lat 46.50",
            f"to come     {files_in(built, NORTH_EAST)} files, 0.",
        ):
            assert part in text, part
        assert not list(tmp_path.iterdir())
        status, text = said(capsys, "pull", server.url, out, *near, "--quiet")
        assert status == 0
        assert f"{files_in(built, NORTH_EAST)} files came (0." in text
        assert part_of(built, NORTH_EAST) in text
        status, text = said(capsys, "pull", server.url, out)
        assert f"my.index: is current; {part_of(built, NORTH_EAST)}" in text
        status, text = said(capsys, "pull", server.url, out, "--region", "6.59,46.49,6.61,46.51")
        assert f"to come     {files_in(built) - files_in(built, NORTH_EAST)} files" in text
        assert "pull: 100%" in text
    assert content(out) == content(built)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--near", "46,6"], "--near LAT,LON and --radius M are needed together"),
        (["--all", "--radius", "5"], "--near LAT,LON and --radius M are needed together"),
        (["--near", "46", "--radius", "5"], "--near is '46'; it must be LAT,LON, in degrees"),
        (["--near", "96,6", "--radius", "5"], "latitude must lie in -90..90"),
        (["--near", "46,6", "--radius", "0"], "radius is 0 m; it must lie in 1..200000 m"),
        (["--region", "1,2,3"], "--region is '1,2,3'; it must be W,S,E,N, in degrees"),
        (["--region", "a,b,c,d"], "it must be W,S,E,N"),
        (["--region", "6,47,7,46"], "the region 6,47,7,46 is none: west, south"),
        (["--region", "-71,-34,-70,-33"], "touches none of the . shards"),
        (["--near", "-34,-70", "--radius", "9"], "covers lat 46.49551..46.50449, lon 6.59350"),
        ([], "no index at .*my.index to update; say what to pull: --region W,S,E,N"),
        (["--all", "--connections", "0"], "connections is 0; it must lie in 1..16"),
        (["--all", "--model", str(MODEL)], "was built with descriptor length 64"),
    ],
)
def test_what_cannot_be_pulled_is_said_in_one_line(built, tmp_path, capsys, arguments, says):
    status, text = said(capsys, "pull", built, tmp_path / "my.index", *arguments)
    assert status == 2
    line = text.splitlines()[-1]
    assert line.startswith("geoloc: ")
    assert re.search(says.replace("(", r"\("), line), line
    assert not list(tmp_path.iterdir())


def test_much_is_not_pulled_without_asking(built, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(index_fleet, "ASK_FROM_MB", 0.1)
    out, size = tmp_path / "my.index", f"{bytes_in(built) / 1e6:.1f}"
    status, text = said(capsys, "pull", built, out, "--all")
    assert status == 2
    assert f"fetch {size} MB? nobody can be asked; add --yes if that is right" in text

    class Person(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Person("n\n"))
    status, text = said(capsys, "pull", built, out, "--all")
    assert (status, out.exists()) == (2, False)
    assert f"fetch {size} MB? [y/N]" in text
    assert "nothing was fetched" in text
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert said(capsys, "pull", built, out, "--all", "--quiet")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    region = ("--region", "6.59,46.49,6.5995,46.51")
    status, text = said(capsys, "pull", built, out, *region)
    assert status == 2
    gone = len(shards_in(built)) - len(shards_in(built, WEST))
    assert f"dropped     {gone} shards" in text
    assert f"fetch 0.0 MB and drop {gone} shards? nobody" in text
    assert said(capsys, "pull", built, out, *region, "--add")[0] == 0
    assert cells(out) == cells(built)
    assert said(capsys, "pull", built, out, *region, "--yes")[0] == 0
    assert len(cells(out)) == len(shards_in(built, WEST))


def test_a_pull_says_what_changes(built, tmp_path, capsys):
    out = tmp_path / "my.index"
    bring(built, out, WEST)

    def change(content):
        content["imagery"]["licence"] = "CC0-1.0"
        content["model"] = "fake 2"

    new = forged(built, tmp_path / "new", change)
    status, text = said(capsys, "pull", new, out, "--quiet")
    assert status == 0
    assert "changed     model, imagery.licence ('geoloc index diff')" in text
    assert "licence     CC0-1.0" in text
    assert "to come     0 files" in text
    status, text = said(capsys, "info", out)
    assert "licence     CC0-1.0" in text


def test_failures_end_with_status_two_and_a_way_out(built, tmp_path, capsys):
    name = biggest(built)
    with serving(built, lambda n, a: Reply(404) if n == name else None) as server:
        status, text = said(capsys, "pull", server.url, tmp_path / "a", "--all", "--quiet")
    assert status == 2
    assert "run the same command again" in text.splitlines()[-1]


def test_nothing_that_a_server_says_commands_the_terminal(built, tmp_path, capsys):
    def change(content):
        content["imagery"] |= {"attribution": "\x1b[2J© me\r\nfrom: me", "licence": "\x9b1A"}

    evil = forged(built, tmp_path / "evil", change)
    out = tmp_path / "my.index"
    texts = [said(capsys, "pull", evil, out, "--all", "--quiet")[1]]
    texts += [said(capsys, "info", out)[1], said(capsys, "diff", built, evil)[1]]
    for text in texts:
        assert "?[2J© me??from: me" in text or "\\u001b[2J" in text
        assert not set(text) & {"\x1b", "\x9b", "\r"}


def test_diff_says_what_differs_and_how_it_ends(built, tmp_path, capsys):
    part = tmp_path / "part"
    bring(built, part, WEST)
    whole = f"{len(shards_in(built))} shards, {bytes_in(built) / 1e6:.1f} MB"
    gone = [shard for shard in load_manifest(built).shards if shard.cell not in cells(part)]
    with serving(part) as server:
        status, text = said(capsys, "diff", built, built)
        assert (status, text.splitlines()[-1]) == (0, f"same      {whole}")
        status, text = said(capsys, "diff", built, server.url, "--json", tmp_path / "d.json")
        assert server.names() == [NAME]
        url = server.url
    assert status == 1
    assert f"only in A {gone[0].cell} around 46." in text
    assert f"only in A {len(gone)} shards" in text
    found = json.loads((tmp_path / "d.json").read_text())
    assert (found["old"], found["new"], found["same"]) == (str(built), url, False)
    assert found["shards"]["only_old"]["count"] == len(gone)
    status, text = said(capsys, "diff", built, tmp_path / "nowhere")
    assert status == 2
    assert "no index at" in text
    with pytest.raises(SystemExit) as ended:
        said(capsys, "diff", built)
    assert ended.value.code == 2
    manifest = load_manifest(part)
    (part / NAME).write_text(dataclasses.replace(manifest, model="fake 2").render())
    status, text = said(capsys, "diff", part, built)
    assert text.startswith('model: "fake 2" -> "fake 1"\n')


def test_merge_says_what_became_of_it(built, tmp_path, capsys):
    east, west, out = tmp_path / "east", tmp_path / "west", tmp_path / "city.index"
    assert said(capsys, "pull", built, east, "--region", "6.6005,46.49,6.61,46.51")[0] == 0
    bring(built, west, WEST)
    status, text = said(capsys, "merge", east, west, "--out", out, "--quiet")
    assert status == 0
    assert summary(load_manifest(built)) in text
    assert "0 cells were there twice, 0 were disputed" in text
    assert "attribution nobody" in text
    assert content(out) == content(built)
    status, text = said(capsys, "merge", east, "--out", out)
    assert status == 2
    assert "at least two indexes" in text
