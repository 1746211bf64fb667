# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""`geoloc imagery` as a person types it."""

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "imagery"))
from raster_factory import LAT, LON, write_raster
from tile_files import CREDIT, span_at, tiles_of, write_mbtiles, write_pmtiles
from tile_server import Reply, serving

from geoloc_ros.cli.main import main
from geoloc_ros.imagery.manners import Manners


def said(capsys, *arguments):
    """Exit status, and what was said."""
    status = main(["imagery", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out + err


@pytest.fixture
def tiles(tmp_path):
    return write_pmtiles(tmp_path / "city.pmtiles", tiles_of(span_at(), holes={(1, 1)}))


def test_info_says_what_where_how_fine_and_whose(tiles, tmp_path, capsys):
    status, text = said(capsys, "info", tiles)
    assert status == 0
    for part in (
        "PMTiles of png tiles, 256x256 px",
        "18 (11 tiles)",
        "4x3 tiles, 1 of them missing",
        "0.41",
        "46.49",
        CREDIT["attribution"],
        CREDIT["terms"],
    ):
        assert part in text, part
    raster = write_raster(tmp_path / "a.tif", np.full((3, 64, 64), 90, np.uint8), nodata=0)
    status, text = said(capsys, "info", raster)
    assert status == 0
    for part in (
        "GTiff of 3 bands, uint8",
        "EPSG:32632",
        "0, masked",
        "0.500 m per pixel",
        "not stated",
    ):
        assert part in text, part


def test_import_then_preview(tiles, tmp_path, capsys):
    out = tmp_path / "out.mbtiles"
    status, text = said(capsys, "import", tiles, "--out", out, "--quiet")
    assert status == 0, text
    assert "MBTiles of png tiles" in text
    roads = tmp_path / "roads.geojson"
    line = {"type": "LineString", "coordinates": [[6.6, 46.499], [6.604, 46.499]]}
    feature = {"type": "Feature", "properties": {}, "geometry": line}
    roads.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    status, text = said(capsys, "preview", out, "--out", tmp_path / "p.png", "--roads", roads)
    assert status == 0, text
    picture = cv2.imread(str(tmp_path / "p.png"))
    assert 300 < picture.shape[0] < 1800
    assert (picture == (200, 0, 255)).all(axis=2).mean() > 0.03  # the missing tile
    assert said(capsys, "preview", out, "--out", tmp_path / "bare.png")[0] == 0
    bare = cv2.imread(str(tmp_path / "bare.png"))
    row = int(0.5 * picture.shape[0])
    changed = (np.abs(picture.astype(int) - bare)[row - 300 : row + 300] > 60).any(axis=2)
    assert changed.sum() > 500  # the road
    status, text = said(capsys, "preview", out, "--out", tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert CREDIT["attribution"] in page
    assert "data:image/png;base64," in page
    status, text = said(capsys, "preview", out, "--out", tmp_path / "p.gif")
    assert status == 2
    assert "must end in .png or .html" in text


def test_names_of_files_cannot_break_the_page(tmp_path, capsys):
    path = tmp_path / "<b>$x^2.mbtiles"
    write_mbtiles(path, tiles_of(span_at(columns=1, rows=1)), {"attribution": "<script>$"})
    assert said(capsys, "preview", path, "--out", tmp_path / "p.html")[0] == 0
    page = (tmp_path / "p.html").read_text()
    assert "<script>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{pm}", "--out", "{dir}/a.tif"], "must end in .mbtiles: tiles stay tiles"),
        (["{tif}", "--out", "{dir}/a.mbtiles"], "must end in .tif: rasters become"),
        (["{tif}", "{pm}", "--out", "{dir}/a.tif"], "imported one by one"),
        (["{tif}", "--out", "{dir}/a.tif", "--zoom", "3"], "--zoom is for tiles"),
        (["{tif}", "--out", "{dir}/a.tif"], "--attribution TEXT and --terms TEXT"),
        (["{dir}/no.tif", "--out", "{dir}/a.tif"], "no imagery at"),
        (["{pm}", "--out", "{dir}/a.mbtiles", "--bounds", "6", "86", "7", "87"], "85.05"),
        (["{pm}", "--out", "{dir}/a.mbtiles", "--around", "95", "0", "5"], "latitude"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(tiles, tmp_path, capsys, arguments, says):
    raster = write_raster(tmp_path / "r.tif", np.full((3, 64, 64), 90, np.uint8))
    names = {"pm": tiles, "tif": raster, "dir": tmp_path}
    status, text = said(capsys, "import", *(item.format(**names) for item in arguments))
    assert status == 2
    assert says in text
    assert text.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))


def test_an_area_is_cut_out(tmp_path, capsys):
    raster = write_raster(tmp_path / "r.tif", np.full((3, 320, 320), 90, np.uint8))
    status, text = said(
        capsys, "import", raster, "--out", tmp_path / "a.tif", "--around", LAT, LON, 20,
        "--attribution", "me", "--terms", "mine", "--quiet",
    )  # fmt: skip
    assert status == 0, text
    assert "0.04 x 0.04 km" in text


# -- fetch ----------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        yield running


def fetch_of(server, out, *more, credit=("--attribution", "© me", "--terms", "mine")):
    area = span_at().area
    bounds = (area.west, area.south, area.east, area.north)
    return (
        "fetch", "--url", server.url, "--zoom", 18, "--bounds", *bounds, "--out", out, "--rate",
        100, "--quiet", *credit, *more,
    )  # fmt: skip


def test_fetch_then_everything_else(server, tmp_path, capsys):
    out = tmp_path / "a.mbtiles"
    status, text = said(capsys, *fetch_of(server, out, "--yes"))
    assert status == 0, text
    for part in (
        "12 of zoom 18, 4x3, 0.41 m",
        "0 are there",
        "12 tiles, about 0.2 MB",
        "assumed 20 kB",
        "© me",
        "12 tiles came",
    ):
        assert part in text, part
    status, text = said(capsys, "info", out)
    assert status == 0
    assert "MBTiles of png tiles" in text
    assert said(capsys, "preview", out, "--out", tmp_path / "a.png")[0] == 0
    # now the file states whose it is, and nothing is to come
    status, text = said(capsys, *fetch_of(server, out, credit=()))
    assert status == 0
    assert "nothing is to come; --refresh" in text
    assert len(server.asked) == 12
    status, text = said(capsys, *fetch_of(server, out, "--refresh", "--yes", credit=()))
    assert status == 0
    assert "0 tiles came (0.0 MB), 12 have not changed" in text


@pytest.mark.parametrize(
    ("typed", "status"), [("y\n", 0), ("yes\n", 0), ("\n", 2), ("no\n", 2), ("", 2)]
)
def test_a_person_is_asked_before_anything_is_fetched(
    server, tmp_path, capsys, monkeypatch, typed, status
):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, text = said(capsys, *fetch_of(server, tmp_path / "a.mbtiles"))
    assert found == status
    assert "fetch 12 tiles? [y/N]" in text
    assert (len(server.asked) == 12) == (status == 0)
    assert (tmp_path / "a.mbtiles").exists() == (status == 0)


def test_what_cannot_be_fetched_is_said_in_one_line(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    out = tmp_path / "a.mbtiles"
    for arguments, says in [
        (fetch_of(server, out), "nobody can be asked; add --yes"),
        (fetch_of(server, out, credit=()), "attribution and terms; add --attribution TEXT and"),
        (fetch_of(server, out, credit=("--attribution", "x")), "state its terms; add --terms"),
        (fetch_of(server, tmp_path / "a.tif", "--yes"), "must end in .mbtiles"),
        (fetch_of(server, out, "--yes", "--rate", 0), "rate_hz is 0; it must lie in 0.05..100"),
        (fetch_of(server, out, "--yes", "--zoom", 30), "zoom is 30; it must lie in 0..23"),
        (fetch_of(server, out, "--yes", "--url", "no"), "must be a template like"),
    ]:
        status, text = said(capsys, *arguments)
        assert status == 2
        assert says in text
        assert text.splitlines()[-1].startswith("geoloc: ")
        assert server.asked == []
        assert list(tmp_path.iterdir()) == []
    server.script = lambda tile, attempt: Reply(500)
    monkeypatch.setattr("geoloc_ros.cli.imagery_fetch._DEFAULTS", Manners(backoff_s=0.001))
    status, text = said(capsys, *fetch_of(server, out, "--yes"))
    assert status == 2
    assert "12 tiles did not come, the first, 18/" in text
    assert "HTTP status 500; run the same command again" in text


@pytest.mark.parametrize("package", ["httpx", "pmtiles", "osmium"])
def test_a_missing_package_is_named_with_the_extra(
    server, tiles, tmp_path, capsys, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    raster = write_raster(tmp_path / "r.tif", np.full((3, 64, 64), 90, np.uint8))
    (tmp_path / "a.osm").write_text("<osm version='0.6'/>")
    arguments = {
        "httpx": fetch_of(server, tmp_path / "a.mbtiles", "--yes"),
        "pmtiles": ("info", tiles),
        "osmium": ("preview", raster, "--roads", tmp_path / "a.osm", "--out", tmp_path / "p.png"),
    }[package]
    status, text = said(capsys, *arguments)
    assert status == 2
    assert f"'{package}'" in text
    assert "pip install 'geoloc_ros[imagery]'" in text
