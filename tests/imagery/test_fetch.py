# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Fetching from a real server on loopback: complete, polite, resumable, and not to be fooled."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
from test_tile_hostile import HTML, PICTURES
from tile_files import PLACE, ZOOM, encode, picture, span_at
from tile_server import Reply, serving

from geoloc_ros.errors import ImageryError
from geoloc_ros.imagery import fetch as fetching
from geoloc_ros.imagery.fetch import fetch, make_plan, open_cache
from geoloc_ros.imagery.manners import Manners
from geoloc_ros.imagery.ortho import OrthoImage
from geoloc_ros.imagery.tile_client import USER_AGENT, retry_after_s
from geoloc_ros.imagery.tile_span import TileSpan
from geoloc_ros.imagery.tile_store import Credit, open_store
from geoloc_ros.imagery.tile_url import TileUrl
from geoloc_ros.imagery.tiles import Tile

WHOSE = Credit("© a test", "CC0-1.0")
SPAN = span_at(columns=4, rows=3)
QUICK = Manners(rate_hz=100.0, connections=4, retries=3, backoff_s=0.01, timeout_s=2.0)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def bring(server, path, span=SPAN, manners=QUICK, refresh=False, url=None):
    """Plan and fetch a rectangle; what came."""
    cache = open_cache(path, TileUrl(url or server.url), span.zoom)
    try:
        plan = make_plan(cache, span.area, manners, refresh)
        assert plan.span == span
        return fetch(cache, plan, WHOSE, manners, progress=False)
    finally:
        cache.close()


def assert_whole(server, path, span=SPAN, missing=()):
    with open_store(path) as store:
        assert store.to_come == 0
        for tile in span:
            expected = None if tile in missing else server.tile(tile)
            assert store.read(tile) == expected, tile
        assert store.credit == WHOSE


def nth(number, span=SPAN):
    return list(span)[number]


# -- a good server --------------------------------------------------------------------------


def test_every_tile_comes_once_and_becomes_imagery(tmp_path):
    path = tmp_path / "new" / "city.mbtiles"
    with serving(delay_s=0.02) as server:
        found = bring(server, path)
        assert (found.new, found.same, found.missing, found.failed) == (12, 0, 0, {})
        assert_whole(server, path)
        assert set(server.attempts.values()) == {1}
        assert {headers["User-Agent"] for _, _, headers in server.asked} == {USER_AGENT}
        assert USER_AGENT.startswith("geoloc_ros/")
        assert 2 <= server.at_once <= QUICK.connections
    ortho = OrthoImage.open(path, gsd_m=0.5)
    assert ortho.valid.mean() > 0.98
    assert ortho.provenance["attribution"] == WHOSE.attribution
    assert ortho.provenance["licence"] == WHOSE.terms
    assert [p.name for p in path.parent.iterdir()] == ["city.mbtiles"]


def test_the_rate_is_kept(tmp_path):
    with serving() as server:
        manners = Manners(rate_hz=20.0, connections=4)
        bring(server, tmp_path / "a.mbtiles", manners=manners)
        times = np.array([when for when, _, _ in server.asked])
    # late starts catch up on nothing: any 5 requests span at least 4 beats, less the scheduler's
    assert (times[4:] - times[:-4]).min() > 4 / 20.0 - 0.05


def test_nothing_is_asked_twice_and_an_area_can_grow(tmp_path):
    path = tmp_path / "a.mbtiles"
    small = TileSpan(ZOOM, SPAN.x, SPAN.y, 2, 2)
    with serving() as server:
        bring(server, path, small)
        assert bring(server, path, small).new == 0
        assert bring(server, path).new == 8
        assert set(server.attempts.values()) == {1}
        assert_whole(server, path)
        with open_store(path) as store:
            west, south, east, north = map(float, store.metadata["bounds"].split(","))
        assert (west, east) == pytest.approx((SPAN.area.west, SPAN.area.east), abs=1e-6)
        assert (south, north) == pytest.approx((SPAN.area.south, SPAN.area.north), abs=1e-6)


def test_refresh_brings_what_has_changed(tmp_path):
    path = tmp_path / "a.mbtiles"
    with serving() as server:
        bring(server, path)
        server.version[nth(5)] = 1
        found = bring(server, path, refresh=True)
        assert (found.new, found.same) == (1, 11)
        assert_whole(server, path)
        server.script = lambda tile, attempt: Reply(404) if tile == nth(2) else None
        found = bring(server, path, refresh=True)
        assert (found.same, found.missing) == (11, 1)
        assert_whole(server, path, missing=[nth(2)])


def test_a_date_serves_where_there_is_no_tag(tmp_path):
    date = formatdate(1_700_000_000, usegmt=True)
    path = tmp_path / "a.mbtiles"

    def script(tile, attempt):
        return Reply(304, b"") if attempt else Reply(headers={"Last-Modified": date})

    with serving(script) as server:
        bring(server, path)
        assert bring(server, path, refresh=True).same == 12
        assert server.asked[-1][2]["If-Modified-Since"] == date
        assert "If-None-Match" not in server.asked[-1][2]


def test_tiles_on_both_sides_of_the_antimeridian_are_one_area(tmp_path):
    span = TileSpan(ZOOM, (1 << ZOOM) - 2, span_at().y, 4, 2)
    with serving() as server:
        bring(server, tmp_path / "a.mbtiles", span)
        assert_whole(server, tmp_path / "a.mbtiles", span)
    assert OrthoImage.open(tmp_path / "a.mbtiles", gsd_m=0.5).valid.mean() > 0.98


def test_redirects_are_followed_but_not_for_ever(tmp_path):
    def script(tile, attempt):
        if attempt == 0:
            return Reply(302, b"", {"Location": f"/other/{tile}.png"})
        return None

    with serving(script) as server:
        assert bring(server, tmp_path / "a.mbtiles").new == 12
    loop = lambda tile, attempt: Reply(302, b"", {"Location": f"/other/{tile}.png"})  # noqa: E731
    with serving(loop) as server, pytest.raises(ImageryError, match="redirects more than 3"):
        bring(server, tmp_path / "b.mbtiles")
    assert not (tmp_path / "b.mbtiles").exists()


# -- a bad server ---------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply(404), Reply(410), Reply(204, b""), Reply(200, b"")])
def test_what_the_server_does_not_have_is_missing_and_not_asked_again(tmp_path, reply):
    path = tmp_path / "a.mbtiles"
    with serving(lambda tile, attempt: reply if tile == nth(4) else None) as server:
        assert bring(server, path).missing == 1
        assert_whole(server, path, missing=[nth(4)])
        assert bring(server, path).missing == 0
        assert server.attempts[nth(4)] == 1


HEALING = {
    "500": Reply(500, b"oops"),
    "502": Reply(502, HTML),
    "503": Reply(503, HTML, {"Retry-After": "0"}),
    "429": Reply(429, b"slow down"),
    "408": Reply(408, b""),
    "reset": Reply(cut=50),
    "reset at once": Reply(cut=0),
    "shorter than it says": Reply(length=10**6, cut=200),
    "longer than it says": Reply(length=300),
    "no end": Reply(endless=True),
    "html with 200": Reply(200, HTML),
    "json with 200": Reply(200, b'{"error": "busy"}'),
    "cut png": Reply(200, PICTURES["cut png"][0]),
    "wrong size": Reply(200, PICTURES["small"][0]),
    "bomb": Reply(200, PICTURES["bomb"][0]),
    "noise": Reply(200, os.urandom(500)),
}


@pytest.mark.parametrize("name", HEALING)
def test_a_server_that_recovers_is_asked_again(tmp_path, name):
    path = tmp_path / "a.mbtiles"

    def script(tile, attempt):
        return HEALING[name] if tile in (nth(1), nth(7)) and attempt < 2 else None

    with serving(script) as server:
        found = bring(server, path)
        assert (found.new, found.failed) == (12, {})
        assert_whole(server, path)
        assert server.attempts[nth(1)] == server.attempts[nth(7)] == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("500", "HTTP status 500"),
        ("shorter than it says", "RemoteProtocolError|ReadError"),
        ("longer than it says", "is damaged"),
        ("no end", "more than 8.4 MB for one tile"),
        ("cut png", "is damaged"),
        ("wrong size", "128x128 px"),
        ("bomb", "unpacks to more than a tile"),
    ],
)
def test_a_tile_that_never_comes_is_reported_and_to_come(tmp_path, name, says):
    path = tmp_path / "a.mbtiles"
    bad = lambda tile, attempt: HEALING[name] if tile == nth(9) else None  # noqa: E731
    with serving(bad) as server:
        found = bring(server, path)
        assert list(found.failed) == [nth(9)]
        assert re.search(says, found.failed[nth(9)])
        assert server.attempts[nth(9)] == QUICK.retries + 1
        with open_store(path) as store:
            assert store.to_come == 1
        with pytest.raises(ImageryError, match="unfinished fetch: 1 tiles"):
            OrthoImage.open(path)
        server.script = lambda tile, attempt: None
        assert bring(server, path).new == 1
        assert_whole(server, path)


def test_a_server_that_drips_is_not_waited_for(tmp_path):
    manners = Manners(rate_hz=100.0, retries=1, backoff_s=0.01, timeout_s=0.5)
    drip = lambda tile, attempt: Reply(drip_s=0.05) if tile == nth(0) else None  # noqa: E731
    start = time.monotonic()
    with serving(drip) as server:
        found = bring(server, tmp_path / "a.mbtiles", manners=manners)
    assert "bytes within 2 s" in found.failed[nth(0)]
    assert time.monotonic() - start < 20.0


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_is_left_alone_as_long_as_it_asks(tmp_path, status):
    complaint = Reply(status, b"", {"Retry-After": "1"})
    with serving(lambda tile, n: complaint if tile == nth(3) and n == 0 else None) as server:
        bring(server, tmp_path / "a.mbtiles")
        times = [when for when, _, _ in server.asked]
        first = next(when for when, tile, _ in server.asked if tile == nth(3))
    # those on their way arrive, then nobody asks for a second
    quiet = [b - a for a, b in itertools.pairwise(times) if a >= first - 0.01]
    assert max(quiet) > 0.85


def test_a_long_pause_ends_the_fetch_and_what_came_is_kept(tmp_path):
    path = tmp_path / "a.mbtiles"
    complaint = Reply(429, b"", {"Retry-After": "3600"})
    manners = Manners(rate_hz=50.0, connections=1)
    with serving(lambda tile, n: complaint if tile == nth(6) else None) as server:
        with pytest.raises(ImageryError, match=r"asks to wait 3600 s.*run the same command"):
            bring(server, path, manners=manners)
        with open_store(path) as store:
            assert store.counts == {ZOOM: 6}
            assert store.to_come == 6


def test_retry_after_is_understood():
    soon = formatdate(time.time() + 90, usegmt=True)
    assert retry_after_s("17") == 17.0
    assert retry_after_s(soon) == pytest.approx(90, abs=2)
    assert retry_after_s(formatdate(0, usegmt=True)) == 0.0
    assert retry_after_s("9" * 400) == 999_999_999.0
    for nonsense in ("", "soon", "-3", "1e9", "Mon, 99 Foo 2099", "²"):
        assert retry_after_s(nonsense) == 0.0


@pytest.mark.parametrize("body", [HTML, b'{"message": "quota"}', b"<?xml version='1.0'?><no/>"])
def test_pages_instead_of_pictures_end_the_fetch(tmp_path, body):
    says = r"sends (an HTML page|JSON|XML) \(.*in a browser"
    page = lambda tile, attempt: Reply(200, body)  # noqa: E731
    with serving(page) as server, pytest.raises(ImageryError, match=says):
        bring(server, tmp_path / "a.mbtiles")
    assert not (tmp_path / "a.mbtiles").exists()


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (400, "zoom beyond"),
        (401, "key missing"),
        (403, "terms met"),
        (402, "quota"),
        (418, "browser"),
    ],
)
def test_a_refusal_ends_the_fetch_and_keys_stay_secret(tmp_path, status, hint, caplog):
    with serving(lambda tile, attempt: Reply(status, HTML)) as server:
        url = server.url.replace("http://", "http://me:word@") + "?key=s3cret&layer=ortho"
        with caplog.at_level("INFO"), pytest.raises(ImageryError, match=hint) as caught:
            bring(server, tmp_path / "a.mbtiles", url=url)
        assert len(server.asked) <= QUICK.connections
    message = str(caught.value) + caplog.text
    assert f"HTTP status {status}" in message
    assert "Quota exceeded" in message
    assert "?key=***&layer=ortho" in message
    assert "s3cret" not in message
    assert "word" not in message


def test_keys_are_not_in_the_file(tmp_path):
    path = tmp_path / "a.mbtiles"
    with serving() as server:
        bring(server, path, url=server.url + "?token=s3cret")
    assert b"s3cret" not in path.read_bytes()
    with open_store(path) as store:
        assert store.metadata["source"].endswith("?token=***")


def test_nobody_there(tmp_path):
    with serving() as server:
        url = server.url
    manners = Manners(rate_hz=100.0, retries=1, backoff_s=0.01, timeout_s=1.0)
    path = tmp_path / "a.mbtiles"
    found = bring(None, path, TileSpan(ZOOM, SPAN.x, SPAN.y, 1, 1), manners, url=url)
    assert "refused" in next(iter(found.failed.values()))
    with pytest.raises(ImageryError, match=r"20 tiles in a row did not come.*refused"):
        bring(None, path, span_at(columns=10, rows=6), manners, url=url)


def test_a_zoom_the_server_does_not_have_is_no_imagery(tmp_path, monkeypatch):
    with serving(lambda tile, attempt: Reply(404)) as server:
        with pytest.raises(ImageryError, match=r"none of the 12 tiles.*coarser --zoom"):
            bring(server, tmp_path / "a.mbtiles")
        monkeypatch.setattr(fetching, "_HOPELESS_MISSING", 5)
        with pytest.raises(ImageryError, match="none of the 5 tiles"):
            bring(server, tmp_path / "b.mbtiles")
        assert len(server.asked) < 30


def test_one_picture_for_many_tiles_is_told(tmp_path):
    sign = encode(picture(nth(0)))
    with serving(lambda tile, n: Reply(200, sign) if tile.y == SPAN.y else None) as server:
        path = tmp_path / "a.mbtiles"
        bring(server, path, span_at(columns=9, rows=2))
        cache = open_cache(path, TileUrl(server.url), ZOOM)
        try:
            assert "9 of 18 tiles hold the very same picture" in fetching.alike(cache)
        finally:
            cache.close()


def test_tiles_of_two_sizes_do_not_mix(tmp_path):
    odd = encode(picture(nth(5), 512))
    with serving(lambda tile, n: Reply(200, odd) if tile == nth(5) else None) as server:
        found = bring(server, tmp_path / "a.mbtiles")
    assert "512" in found.failed[nth(5)]


# -- interrupted ----------------------------------------------------------------------------

FETCH = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from geoloc_ros.cli.main import main
sys.exit(main(["imagery", "fetch", "--url", {url!r}, "--zoom", "18", "--bounds", *{bounds!r},
               "--out", {out!r}, "--attribution", "a", "--terms", "b", "--rate", "50", "--yes",
               "--quiet"]))
"""


def start(server, path, span):
    area = span.area
    bounds = [repr(v) for v in (area.west, area.south, area.east, area.north)]
    code = FETCH.format(
        tests=str(Path(__file__).parent), url=server.url, bounds=bounds, out=str(path)
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)


def wait_for(server, count, process):
    deadline = time.monotonic() + 60.0
    while len(server.asked) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_fetch_that_is_killed_goes_on_without_loss(tmp_path, how):
    path, span = tmp_path / "a.mbtiles", span_at(columns=12, rows=10)
    with serving(delay_s=0.02) as server:
        for target in (50, 90):
            process = start(server, path, span)
            wait_for(server, target, process)
            process.send_signal(how)
            assert process.wait(timeout=30) != 0
            with open_store(path) as store:
                assert store.to_come > 0
        process = start(server, path, span)
        assert process.wait(timeout=60) == 0
        with open_store(path) as store:
            assert store.to_come == 0
            assert all(store.read(tile) == server.tile(tile) for tile in span)
        # what is asked twice is what came within the last second before a kill
        again = sum(server.attempts.values()) - len(span)
        assert again <= 2 * (50 + 2 * 4)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mbtiles"]


def test_two_fetches_do_not_share_a_file(tmp_path):
    with serving() as server:
        cache = open_cache(tmp_path / "a.mbtiles", TileUrl(server.url), ZOOM)
        with pytest.raises(ImageryError, match="in use by another command"):
            open_cache(tmp_path / "a.mbtiles", TileUrl(server.url), ZOOM)
        cache.close()


# -- plans and caches -----------------------------------------------------------------------


def plan_of(path, area, zoom=ZOOM, manners=QUICK):
    cache = open_cache(path, TileUrl("http://127.0.0.1:9/{z}/{x}/{y}"), zoom)
    try:
        return make_plan(cache, area, manners, refresh=False)
    finally:
        cache.close()


def test_a_plan_counts_and_estimates(tmp_path):
    plan = plan_of(tmp_path / "a.mbtiles", SPAN.area)
    assert (plan.to_come, plan.there, plan.measured) == (12, 0, False)
    assert plan.bytes == 12 * 20_000
    assert plan.seconds == pytest.approx(12 / QUICK.rate_hz)
    assert plan.gsd_m == pytest.approx(0.5972 * np.cos(np.radians(PLACE.lat_deg)), rel=0.01)
    assert not (tmp_path / "a.mbtiles").exists()
    with serving() as server:
        span = span_at(columns=5, rows=4)
        bring(server, tmp_path / "b.mbtiles", span)
        cache = open_cache(tmp_path / "b.mbtiles", TileUrl(server.url), ZOOM)
        try:
            plan = make_plan(cache, span_at(columns=6, rows=4).area, QUICK, refresh=False)
        finally:
            cache.close()
        assert (plan.there, plan.to_come, plan.measured) == (20, 4, True)
        sizes = [len(server.tile(tile)) for tile in span]
        assert plan.bytes == pytest.approx(4 * np.mean(sizes))


def test_plans_that_make_no_sense_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.mbtiles"
    with pytest.raises(ImageryError, match=r"zoom 9 has 210 m per pixel.*16 to 20"):
        plan_of(path, SPAN.area, zoom=9)
    world = TileSpan(10, 0, 300, 1024, 400).area
    with pytest.raises(ImageryError, match="at most 1,000,000 are fetched"):
        plan_of(path, world)
    disk = type("Disk", (), {"free": 50_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    with pytest.raises(ImageryError, match="has 50 MB free"):
        plan_of(path, SPAN.area)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"connections": 99}, "1..16"),
        ({"timeout_s": float("nan")}, "timeout"),
    ],
)
def test_bad_manners_are_refused(values, says):
    with pytest.raises(ImageryError, match=says):
        Manners(**values)


def test_a_cache_is_of_one_server_and_one_zoom(tmp_path):
    path = tmp_path / "a.mbtiles"
    with serving() as server:
        bring(server, path)
        with pytest.raises(ImageryError, match="by another address"):
            open_cache(path, TileUrl(server.url + "?v=2"), ZOOM)
        with pytest.raises(ImageryError, match="holds zoom 18, not 17"):
            open_cache(path, TileUrl(server.url), 17)
        assert_whole(server, path)
    from tile_files import tiles_of, write_mbtiles

    other = write_mbtiles(tmp_path / "b.mbtiles", tiles_of(span_at(columns=1, rows=1)))
    before = other.read_bytes()
    with pytest.raises(ImageryError, match="not fetched but imported"):
        open_cache(other, TileUrl("http://127.0.0.1/{z}/{x}/{y}"), ZOOM)
    assert len(before) <= other.stat().st_size
    (tmp_path / "c.mbtiles").write_bytes(b"<html>")
    with pytest.raises(ImageryError, match="begins with b'<html>'"):
        open_cache(tmp_path / "c.mbtiles", TileUrl("http://127.0.0.1/{z}/{x}/{y}"), ZOOM)
    with pytest.raises(ImageryError, match="must end in"):
        open_cache(tmp_path / "c.tif", TileUrl("http://127.0.0.1/{z}/{x}/{y}"), ZOOM)


def test_credit_is_needed_before_anything_is_asked(tmp_path):
    with serving() as server:
        cache = open_cache(tmp_path / "a.mbtiles", TileUrl(server.url), ZOOM)
        try:
            plan = make_plan(cache, SPAN.area, QUICK, refresh=False)
            with pytest.raises(ImageryError, match="--attribution TEXT and --terms TEXT"):
                fetch(cache, plan, Credit(), QUICK, progress=False)
        finally:
            cache.close()
        assert server.asked == []


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("https://a.org/{z}/{x}/{y}.jpg", "https://a.org/3/5/2.jpg"),
        ("http://a.org:8080/{z}/{x}/{-y}.png?k=1", "http://a.org:8080/3/5/5.png?k=1"),
        ("https://a.org/{TileMatrix}/{TileRow}/{TileCol}", "https://a.org/3/2/5"),
        (
            "https://a.org/?TILEMATRIX=m:{TileMatrix}&TILEROW={TileRow}&TILECOL={TileCol}",
            "https://a.org/?TILEMATRIX=m:3&TILEROW=2&TILECOL=5",
        ),
        ("https://{switch:p,q}.a.org/{q}.jpeg", "https://q.a.org/121.jpeg"),
        ("https://{s}.a.org/{Z}/{X}/{Y}", "https://b.a.org/3/5/2"),
    ],
)
def test_templates_name_tiles(template, expected):
    assert TileUrl(template).of(Tile(3, 5, 2)) == expected


def test_quadkeys_agree_with_mercantile():
    import mercantile

    for tile in (Tile(3, 5, 2), Tile(18, 135_890, 92_760), Tile(1, 0, 1)):
        expected = mercantile.quadkey(tile.x, tile.y, tile.zoom)
        assert TileUrl("http://a.org/{q}").of(tile) == f"http://a.org/{expected}"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a.org/{z}/{x}/{y}", "must be a template"),
        ("ftp://a.org/{z}/{x}/{y}", "must be a template"),
        ("file:///etc/{z}/{x}/{y}", "must be a template"),
        ("http://[/{z}/{x}/{y}", "must be a template"),
        ("http://a.org:99999/{z}/{x}/{y}", "must be a template"),
        ("http://a.org/{z}/{x}/{y} {z}", "must be a template"),
        ("http://a.org/{z}/{x}.png", "does not name a tile"),
        ("http://a.org/tile.png", "does not name a tile"),
        ("http://a.org/{z}/{x}/{y}/{bbox}", r"\{bbox\} in the address .* is unknown"),
        ("http://{switch:}.a.org/{z}/{x}/{y}", "is unknown"),
    ],
)
def test_templates_that_name_no_tile_are_refused(template, says):
    with pytest.raises(ImageryError, match=says):
        TileUrl(template)
