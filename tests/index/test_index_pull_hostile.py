# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Servers and folders that drop, throttle, lie and fail: nothing wrong ever counts."""

import dataclasses
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from file_server import Reply, serving
from pulling import ALL, NORTH_EAST, biggest, bring, content, files_in, forged

from geoloc_ros.errors import ImageryError, IndexCorruptError, IndexMismatchError, IndexPullError
from geoloc_ros.imagery.manners import Manners
from geoloc_ros.index import http_source, source
from geoloc_ros.index.manifest import NAME, load_manifest
from geoloc_ros.index.pull import pull
from geoloc_ros.index.pull_plan import make_plan
from geoloc_ros.index.records import FileRecord, ShardRecord
from geoloc_ros.index.source import files_of, open_source, read_manifest

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"


pytestmark = pytest.mark.usefixtures("impatient")


def is_file(name):
    return name.startswith("shards/")


def refused(built, tmp_path, script, kind, match, **options):
    """Nothing counts, and what counts is not asked for again when the server is well."""
    out = tmp_path / "my.index"
    with serving(built, script, **options) as server:
        with pytest.raises(kind, match=match) as caught:
            bring(server.url, out, ALL)
        assert "\n" not in str(caught.value)
        assert not out.exists()
        whole = {path.name for path in tmp_path.glob("my.index.partial/fetched/*")}
        asked = len(server.asked)
        server.script = lambda name, attempt: None
        server.ranges = True
        assert bring(server.url, out, ALL).files == files_in(built) - sum(
            "." not in n for n in whole
        )
        assert content(out) == content(built)
        return asked


# -- bad weather: it comes all the same -----------------------------------------------------

PATIENT = {
    "500": lambda name, n: Reply(500, b"oops") if n < 2 else None,
    "429": lambda name, n: Reply(429, b"", {"Retry-After": "0"}) if n < 1 else None,
    "dropped": lambda name, n: Reply(cut=20_000) if n < 3 and is_file(name) else None,
    "dropped at once": lambda name, n: Reply(cut=0) if n < 2 else None,
}


@pytest.mark.parametrize("what", PATIENT)
@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_in_bad_weather_is_asked_again(built, tmp_path, what, ranges):
    out = tmp_path / "my.index"
    with serving(built, PATIENT[what], ranges=ranges) as server:
        bring(server.url, out, NORTH_EAST)
        assert len(server.asked) > 1 + files_in(built, NORTH_EAST)
    assert len(content(out)) == 1 + files_in(built, NORTH_EAST)


def test_a_connection_that_always_drops_is_worn_out(built, tmp_path, monkeypatch):
    """Each try brings a piece; more pieces are needed than there are tries of one kind."""
    manners = Manners(rate_hz=100.0, retries=1, backoff_s=0.01)
    monkeypatch.setattr(source, "MANNERS", manners)
    monkeypatch.setattr(http_source, "_MOVED_BYTES", 8192)
    name, piece = biggest(built), 9000
    body = (built / name).read_bytes()

    def script(asked, attempt):
        if asked != name:
            return None
        start = int(server.rests(name)[-1][6:-1]) if attempt else 0
        said = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        rest = body[start : start + piece]
        return Reply(206 if start else 200, rest, said, length=len(body) - start)

    with serving(built, script) as server:
        bring(server.url, tmp_path / "my.index", ALL)
        assert server.attempts[name] == -(-len(body) // piece) > 2
    assert content(tmp_path / "my.index") == content(built)


def test_a_busy_server_gets_its_pause(built, tmp_path):
    def script(name, attempt):
        return Reply(429, b"", {"Retry-After": "1"}) if name == NAME and not attempt else None

    began = time.monotonic()
    with serving(built, script) as server:
        bring(server.url, tmp_path / "my.index", NORTH_EAST)
    assert time.monotonic() - began >= 1.0


def test_a_server_that_ends_connections_without_a_length(built, tmp_path):
    """As HTTP/1.0 does: only the manifest tells that something is missing."""

    def script(name, attempt):
        if is_file(name) and not attempt:
            return Reply(200, (built / name).read_bytes()[:5000], endless=False, length=None)
        return None

    refused(built, tmp_path, script, IndexCorruptError, "has 5000 bytes; .* are expected")


# -- what a server says that is not so ------------------------------------------------------

FILES = {
    "404": (Reply(404, b"gone"), IndexCorruptError, "lacks shards/.*404.*copied in part"),
    "401": (Reply(401, PAGE), IndexPullError, "401: an HTML page .'Sign in'.; is a user and"),
    "403": (Reply(403, b""), IndexPullError, "status 403: empty; is a key missing"),
    "500": (Reply(500, b""), IndexPullError, "does not come.*HTTP status 500.*is kept"),
    "dropped": (Reply(cut=100), IndexPullError, "does not come.*is kept"),
    "later": (
        Reply(503, b"", {"Retry-After": "7200"}), IndexPullError, "asks to wait 7200 s.*600 s",
    ),
    "a page": (Reply(200, PAGE), IndexCorruptError, "has 63 bytes and is an HTML page .'Sign in'"),
    "longer": (
        Reply(200, bytes(10**6)), IndexCorruptError, "has 1000000 bytes; .* bytes are expected",
    ),
    "endless": (Reply(200, b"", endless=True), IndexCorruptError, "goes on beyond its end"),
    "packed": (
        Reply(headers={"Content-Encoding": "gzip"}), IndexPullError, "compresses .*gzip",
    ),
    "elsewhere": (
        Reply(302, b"", {"Location": "ftp://127.0.0.1/x"}), IndexPullError, "away from http://",
    ),
    "a file": (
        Reply(302, b"", {"Location": "file:///etc/passwd"}), IndexPullError, "away from http://",
    ),
    "round and round": (Reply(302, b"", {"Location": "x"}), IndexPullError, "more than 3 times"),
    "no address": (Reply(302, b"", {"Location": "http://[::"}), IndexPullError, "does not come"),
    "206 unasked": (Reply(206, b"abc"), IndexPullError, "HTTP status 206"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_none_does_not_count(built, tmp_path, what):
    reply, kind, match = FILES[what]
    name = biggest(built)
    script = lambda asked, n: reply if asked in (name, "shards/x") else None  # noqa: E731
    refused(built, tmp_path, script, kind, match)


@pytest.mark.parametrize("place", [0, -1])
def test_an_altered_file_does_not_count(built, tmp_path, place):
    name = biggest(built)
    data = bytearray((built / name).read_bytes())
    data[place] ^= 1
    reply = Reply(200, bytes(data))
    match = f"{name.replace('+', '.')} from http.* is not what its manifest.json says"
    asked = refused(
        built, tmp_path, lambda n, a: reply if n == name else None, IndexCorruptError, match
    )
    assert asked <= 1 + files_in(built)  # once is enough to know


def ranged(root, status, said):
    """Sends the beginning of a file when first asked, and no rest of it when asked again."""

    def script(name, attempt):
        if is_file(name) and attempt == 0:
            body = (root / name).read_bytes()
            return Reply(200, body[:5000], length=len(body))
        return Reply(status, b"x" * 100, {"Content-Range": said}) if attempt == 1 else None

    return script


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (206, "bytes 0-99/100"),
        (206, "bytes 5000-5099/99999999"),
        (206, "bytes 7-/9"),
        (206, f"bytes {'9' * 30}-5/5"),
        (206, ""),
        (416, "bytes */100"),
    ],
)
def test_rests_that_are_none_are_not_taken(built, tmp_path, status, said):
    out = tmp_path / "my.index"
    with serving(built, ranged(built, status, said)) as server:
        bring(server.url, out, NORTH_EAST)
        assert any("Range" in headers for _, headers in server.asked)
    assert len(content(out)) == 1 + files_in(built, NORTH_EAST)


def test_a_wrong_rest_spoils_only_one_try(built, tmp_path):
    """It says that it is the rest, and is not: the hash tells, and all of it comes again."""
    name = biggest(built)
    size = (built / name).stat().st_size

    def script(asked, attempt):
        if asked != name or attempt > 1:
            return None
        if attempt == 0:
            return Reply(200, (built / name).read_bytes()[: size // 2], length=size)
        start = int(server.rests(name)[-1][6:-1])
        said = f"bytes {start}-{size - 1}/{size}"
        return Reply(206, b"\0" * (size - start), {"Content-Range": said})

    with serving(built, script) as server:
        bring(server.url, tmp_path / "a", ALL)
        assert server.attempts[name] == 3
    assert content(tmp_path / "a") == content(built)


def test_a_server_that_begins_anew_each_time_gets_nowhere(built, tmp_path, monkeypatch):
    monkeypatch.setattr(http_source, "_MOVED_BYTES", 8192)
    name = biggest(built)
    script = lambda asked, n: Reply(cut=20_000) if asked == name else None  # noqa: E731
    with serving(built, script, ranges=False) as server:
        with pytest.raises(IndexPullError, match="does not come"):
            bring(server.url, tmp_path / "a", ALL)
        assert server.attempts[name] <= 8  # six, and two more that may come further


def test_a_drip_is_not_waited_for(built, tmp_path, monkeypatch):
    manners = Manners(rate_hz=100.0, retries=1, backoff_s=0.01, timeout_s=10.0)
    monkeypatch.setattr(source, "MANNERS", manners)
    monkeypatch.setattr(http_source, "_PATIENCE", 0.03)
    name = biggest(built)
    for dripping, out in (({name}, tmp_path / "a"), ({NAME}, tmp_path / "b")):
        script = lambda n, a, d=dripping: Reply(drip_s=0.02) if n in d else None  # noqa: E731
        with (
            serving(built, script) as server,
            pytest.raises(IndexPullError, match=r"only \d+ bytes within 0\.3 s"),
        ):
            bring(server.url, out, ALL)


def test_nobody_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(IndexPullError, match=r"manifest.json does not come from .*refused"):
        bring(f"http://127.0.0.1:{port}/a", tmp_path / "a", ALL)
    assert not list(tmp_path.iterdir())


# -- what is no manifest --------------------------------------------------------------------


MANIFESTS = {
    "404": (Reply(404, PAGE), "no index at http.*404.*the folder that holds it"),
    "a page": (Reply(200, PAGE), "its manifest.json is an HTML page .'Sign in'"),
    "nothing": (Reply(200, b""), "its manifest.json is empty"),
    "a list": (Reply(200, b"[]"), "its manifest.json is JSON"),
    "an error": (Reply(200, b'{"error": "no such bucket"}'), "manifest.json is damaged"),
    "no text": (Reply(200, b'{"\xff": 1}'), "manifest.json is damaged"),
    "another file": (Reply(200, bytes(range(256))), "256 bytes of something else"),
}


@pytest.mark.parametrize("what", MANIFESTS)
def test_what_is_no_manifest_is_named(built, tmp_path, what):
    reply, match = MANIFESTS[what]
    with serving(built, lambda name, n: reply) as server:
        with pytest.raises(IndexCorruptError, match=match):
            bring(server.url, tmp_path / "a", ALL)
        assert server.names() == [NAME]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0.2, 0.9, 0.999])
def test_a_manifest_that_was_cut_off(built, tmp_path, keep):
    text = (built / NAME).read_bytes()
    short = text[: int(keep * len(text))]
    with (
        serving(built, lambda name, n: Reply(200, short)) as server,
        pytest.raises(IndexCorruptError, match=r"manifest.json is damaged"),
    ):
        bring(server.url, tmp_path / "a", ALL)
    with (
        serving(built, lambda name, n: Reply(cut=int(keep * len(text)))) as server,
        pytest.raises(IndexPullError, match=r"manifest.json does not come"),
    ):
        bring(server.url, tmp_path / "a", ALL)


def test_an_altered_manifest(built, tmp_path):
    text = (built / NAME).read_bytes().replace(b"made.tif", b"mode.tif")
    with serving(built, lambda name, n: Reply(200, text)) as server:
        match = r"http://127.*city.index: manifest.json was altered after it was written"
        with pytest.raises(IndexCorruptError, match=match):
            bring(server.url, tmp_path / "a", ALL)


def test_a_manifest_of_another_schema(built, tmp_path):
    other = forged(built, tmp_path / "other", lambda content: content.update(schema=99))
    with pytest.raises(IndexMismatchError, match=r"other: manifest.json is of schema 99"):
        bring(other, tmp_path / "a", ALL)


def test_a_manifest_without_end(built, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_MANIFEST_BYTES", 1 << 20)
    monkeypatch.setattr(http_source, "MAX_MANIFEST_BYTES", 1 << 20)
    with serving(built, lambda name, n: Reply(endless=True)) as server:
        with pytest.raises(IndexCorruptError, match=r"manifest.json has more than 1 MB"):
            bring(server.url, tmp_path / "a", ALL)
        assert len(server.asked) == 1
    large = tmp_path / "large"
    large.mkdir()
    with (large / NAME).open("wb") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(IndexCorruptError, match=r"manifest.json has more than 1 MB"):
        bring(large, tmp_path / "a", ALL)


def set_shard(**values):
    return lambda content: content["shards"][0].update(values)


def set_file(**values):
    return lambda content: next(iter(content["shards"][0]["files"].values())).update(values)


def one_hash_of_two_sizes(content):
    first, second = (next(iter(shard["files"].values())) for shard in content["shards"][:2])
    second.update(bytes=first["bytes"] + 1, sha256=first["sha256"])


@pytest.mark.parametrize(
    "change",
    [
        set_shard(cell=[0, "../../evil", 0]),
        set_shard(cell=[0, 10**9, 0]),
        set_shard(files={"../../../evil": {"bytes": 1, "sha256": "0" * 64}}),
        set_shard(cell=[0, 0, 0]),
        set_file(sha256="../../evil"),
        set_file(sha256="0" * 64 + "\n"),
        set_file(bytes=-1),
        set_file(bytes=10**30),
        set_file(bytes="1"),
        lambda content: content.update(shards=[]),
        one_hash_of_two_sizes,
    ],
)
def test_a_forged_manifest_is_refused_before_anything_is_written(built, tmp_path, change):
    other = forged(built, tmp_path / "other", change)
    with serving(other) as server:
        with pytest.raises((IndexCorruptError, IndexPullError)):
            bring(server.url, tmp_path / "a", ALL)
        assert server.names() == [NAME]
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("size", [2**62, 10**12])
def test_a_size_that_is_claimed_costs_nothing(built, tmp_path, size):
    other = forged(built, tmp_path / "other", set_file(bytes=size))
    with (
        serving(other) as server,
        pytest.raises(IndexPullError, match=r"disk full: [\d,.]+ MB are to come"),
    ):
        bring(server.url, tmp_path / "a", ALL)


def test_no_part_leads_elsewhere(built, tmp_path):
    """What parsing would let through some day does not get farther than this."""
    manifest = load_manifest(built)
    file = FileRecord(bytes=1, sha256="0" * 64)

    class Wandering(ShardRecord):
        def path(self, root, part):
            return root / part

    for part in ("../evil", "/etc/passwd", "shards/../../evil", "shards", NAME, "shards/a\nb"):
        record = Wandering(cell=(0, 5, 5), count=1, bounds_m=(0, 0, 1, 1), files={part: file})
        with pytest.raises(IndexCorruptError, match="names a file"):
            files_of(dataclasses.replace(manifest, shards=(record,)))
    record = Wandering(cell=(0, 5, 5), count=1, bounds_m=(0, 0, 1, 1), files={"shards/a": file})
    assert files_of(dataclasses.replace(manifest, shards=(record,))) == {"shards/a": file}
    with pytest.raises(IndexCorruptError, match="contradicts itself"):
        files_of(dataclasses.replace(manifest, shards=(record, record)))


def test_a_manifest_that_changes_between_two_requests(built, tmp_path):
    """The server is being updated: files of another version do not count."""
    name = biggest(built)
    data = bytes(reversed((built / name).read_bytes()))
    with (
        serving(built, lambda asked, n: Reply(200, data) if asked == name else None) as server,
        pytest.raises(IndexCorruptError, match="is being changed just now"),
    ):
        bring(server.url, tmp_path / "a", ALL)


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("ftp://example.org/a", "not ftp://"),
        ("file:///etc", "not file://"),
        ("s3://bucket/a", "not s3://"),
        ("http://", "must be like"),
        ("https:///a", "must be like"),
        ("http://a:99999/", "must be like"),
        ("http://a/b#c", "must be like"),
        ("http://a/b c", "must be like"),
    ],
)
def test_addresses_that_are_none(text, match):
    with pytest.raises(IndexPullError, match=match):
        open_source(text)


def test_too_many_connections():
    with pytest.raises(ImageryError, match=r"connections is 99; it must lie in 1\.\.16"):
        open_source("/somewhere", 99)


def test_keys_are_sent_and_not_shown(built, tmp_path, capsys, caplog):
    script = lambda name, n: Reply(403, b"") if (name, n) == (NAME, 0) else None  # noqa: E731
    with serving(built, script) as server:
        url = server.url.replace("http://", "http://me:secret@") + "?token=hidden"
        with pytest.raises(IndexPullError) as caught:
            bring(url, tmp_path / "a", NORTH_EAST)
        bring(url, tmp_path / "a", NORTH_EAST)
        assert all("Authorization" in headers for _, headers in server.asked)
    said = str(caught.value) + caplog.text + "".join(capsys.readouterr())
    for key in ("secret", "hidden"):
        assert key not in said


def test_redirects_within_the_scheme_are_followed(built, tmp_path):
    with serving(built) as real:
        where = lambda name, n: Reply(302, b"", {"Location": f"{real.url}/{name}"})  # noqa: E731
        with serving(built, where) as server:
            url = server.url.replace("http://", "http://me:secret@")
            bring(url, tmp_path / "a", NORTH_EAST)
        assert len(real.asked) == 1 + files_in(built, NORTH_EAST)
        assert not any("Authorization" in headers for _, headers in real.asked)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate for 127.0.0.1 that nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-keyout", path, "-out", path.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def test_a_certificate_that_nobody_signed(built, tmp_path, certificate, monkeypatch):
    with serving(built, tls=certificate) as server:
        with pytest.raises(IndexPullError, match="certificate is not to be trusted"):
            bring(server.url, tmp_path / "a", NORTH_EAST)
        assert not server.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        bring(server.url, tmp_path / "a", NORTH_EAST)
        with serving(built) as plain:
            server.script = lambda name, n: Reply(302, b"", {"Location": f"{plain.url}/{name}"})
            with pytest.raises(IndexPullError, match="away from https://"):
                bring(server.url, tmp_path / "b", NORTH_EAST)
            assert not plain.asked


# -- folders --------------------------------------------------------------------------------


def test_folders_that_are_no_index(built, tmp_path):
    with pytest.raises(IndexCorruptError, match=r"no index at .*nowhere: it has no manifest.json"):
        bring(tmp_path / "nowhere", tmp_path / "a", ALL)
    pipes = tmp_path / "pipes"
    pipes.mkdir()
    os.mkfifo(pipes / NAME)
    with pytest.raises(IndexCorruptError, match=r"no index at .*pipes"):
        bring(pipes, tmp_path / "a", ALL)
    assert not (tmp_path / "a.partial").exists()


def test_folders_that_are_no_longer_whole(built, tmp_path):
    source = Path(shutil.copytree(built, tmp_path / "source"))
    path = source / biggest(built)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(IndexCorruptError, match=f"has {len(data) - 1} bytes, the manifest says"):
        bring(source, tmp_path / "a", ALL)
    path.write_bytes(data[:-1] + b"?")
    with pytest.raises(IndexCorruptError, match=r"is not what its manifest.json says"):
        bring(source, tmp_path / "a", ALL)
    path.unlink()
    with pytest.raises(IndexCorruptError, match="lacks shards/"):
        bring(source, tmp_path / "a", ALL)
    os.mkfifo(path)
    with pytest.raises(IndexCorruptError, match="lacks shards/"):
        bring(source, tmp_path / "a", ALL)
    path.unlink()
    path.symlink_to(built / biggest(built))
    bring(source, tmp_path / "a", ALL)
    assert content(tmp_path / "a") == content(built)
    assert not any(path.is_symlink() for path in (tmp_path / "a").rglob("*"))


def test_a_pull_can_be_stopped(built, tmp_path):
    with serving(built, slow_s=0.05) as server, closing(open_source(server.url)) as opened:
        plan = make_plan(opened, tmp_path / "a", ALL)
        threading.Timer(0.3, opened.stop).start()
        with pytest.raises(IndexPullError, match="stopped"):
            pull(plan, progress=False)
    bring(built, tmp_path / "a", ALL)


def test_bytes_of_a_manifest_are_counted():
    with pytest.raises(IndexCorruptError, match="more than 67 MB"):
        read_manifest(b"{" + bytes(source.MAX_MANIFEST_BYTES), "here")
    assert ssl.OPENSSL_VERSION
