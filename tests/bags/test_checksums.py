# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Bit rot in MCAP recordings: noticed wherever the file has a checksum, located, and survived."""

import itertools
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from geoloc_ros.bags import mcap
from geoloc_ros.bags.reader import BagReader
from geoloc_ros.bags.writer import BagWriter
from geoloc_ros.cli.main import main
from geoloc_ros.errors import BagError

START = 1_000_000_000_000_000_000
COUNT = 60
FOOTER = 37  # bytes of the footer record and the closing magic


def write(path: Path, first: int = 0) -> Path:
    """Sixty pictures in three chunks; returns the storage file."""
    rng = np.random.default_rng(first)
    with BagWriter(path) as bag:
        for i in range(first, first + COUNT):
            stamp = START + i * 100_000_000
            bag.write_compressed_image("/image", stamp, rng.bytes(50_000), "cam", "png")
            bag.write_range("/height", stamp, float(i))
    return path / f"{path.name}.mcap"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "bag")


@pytest.fixture(scope="module")
def whole(file) -> list[tuple[int, str, bytes]]:
    found, error = read(file)
    assert error == ""
    assert len(found) == 2 * COUNT
    return found


def read(path: Path) -> tuple[list[tuple[int, str, bytes]], str]:
    """What a recording delivers, and the error at its end."""
    found = []
    try:
        with BagReader(path) as bag:
            for stamp, topic, message in bag.messages():
                content = message.data.tobytes() if topic == "/image" else message.range
                found.append((stamp, topic, content))
    except BagError as error:
        return found, str(error)
    return found, ""


def records(data: bytes) -> list[tuple[int, int, bytes]]:
    """(offset, opcode, body) of all records, by the specification alone."""
    found, at = [], 8
    while at < len(data) - 8:
        code, size = struct.unpack_from("<BQ", data, at)
        found.append((at, code, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def flipped(data: bytes, place: int, bit: int = 3) -> bytes:
    damaged = bytearray(data)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


def test_recordings_are_written_with_checksums(file) -> None:
    data = file.read_bytes()
    chunks = [body for _, code, body in records(data) if code == 0x06]
    assert len(chunks) == 3
    for body in chunks:
        size, crc = struct.unpack_from("<QI", body, 16)
        assert crc == zlib.crc32(body[-size:])
    start, _, crc = struct.unpack_from("<QQI", data, len(data) - FOOTER + 9)
    assert crc == zlib.crc32(data[start : len(data) - 12]) != 0


def test_no_flipped_bit_reaches_a_message(file, whole, tmp_path) -> None:
    data = file.read_bytes()
    start = struct.unpack_from("<Q", data, len(data) - FOOTER + 9)[0]
    chunks = [(at, at + 9 + len(body)) for at, code, body in records(data) if code == 0x06]
    rng = np.random.default_rng(0)
    places = [*range(0, 60, 7), *(at + k for at, _ in chunks for k in range(0, 60, 5))]
    places += [*rng.integers(0, len(data), 30), *rng.integers(start, len(data), 30)]
    damaged = tmp_path / "damaged.mcap"
    for place in places:
        damaged.write_bytes(flipped(data, place, int(rng.integers(8))))
        found, error = read(damaged)
        assert found == whole[: len(found)], f"byte {place}"
        assert "\n" not in error
        if len(found) < len(whole) or start <= place < len(data) - 8:
            assert str(damaged) in error, f"byte {place}"


def test_a_damaged_chunk_is_located_and_what_is_before_it_used(file, whole, tmp_path) -> None:
    data = file.read_bytes()
    at, _, body = [record for record in records(data) if record[1] == 0x06][1]
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(flipped(data, at + len(body) // 2))
    found, error = read(damaged)
    assert 0 < len(found) < len(whole)
    assert error == (
        f"{damaged} is damaged after {len(found)} messages: "
        f"the chunk at byte {at} of damaged.mcap fails its checksum"
    )


def test_a_damaged_index_loses_no_message(file, whole, tmp_path, capsys) -> None:
    data = file.read_bytes()
    start = struct.unpack_from("<Q", data, len(data) - FOOTER + 9)[0]
    place = data.index(b"/image", start)
    folder = shutil.copytree(file.parent, tmp_path / "bag")
    (folder / "bag.mcap").write_bytes(flipped(data, place))
    found, error = read(folder)
    assert found == whole
    assert f"bag.mcap: its index, from byte {start} on, fails its checksum" in error
    assert "120 messages were read" in error
    assert main(["bag", "info", str(folder)]) == 2
    shown = capsys.readouterr()
    assert "60  /image  " in shown.out
    assert "fails its checksum" in shown.err


def test_damage_of_a_damaged_index_and_chunk_ends_at_the_chunk(file, whole, tmp_path) -> None:
    data = file.read_bytes()
    at, _, body = [record for record in records(data) if record[1] == 0x06][2]
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(flipped(data, at + len(body) // 2)[:-20])
    found, error = read(damaged)
    assert 0 < len(found) < len(whole)
    assert found == whole[: len(found)]
    assert f"the chunk at byte {at} of damaged.mcap fails its checksum" in error


def without_checksums(data: bytes) -> bytes:
    plain = bytearray(data)
    for at, code, _ in records(data):
        if code == 0x06:
            plain[at + 33 : at + 37] = bytes(4)
    plain[-12:-8] = bytes(4)
    return bytes(plain)


def test_without_checksums_nothing_can_be_said(file, whole, tmp_path) -> None:
    plain = without_checksums(file.read_bytes())
    at, _, body = [record for record in records(plain) if record[1] == 0x06][1]
    (tmp_path / "plain.mcap").write_bytes(flipped(plain, at + len(body) // 2))
    found, error = read(tmp_path / "plain.mcap")
    assert (len(found), error) == (len(whole), "")
    assert found != whole
    (tmp_path / "plain.mcap").write_bytes(plain)
    mcap.write_checksums(tmp_path / "plain.mcap")
    assert (tmp_path / "plain.mcap").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("chunked", [True, False])
def test_the_checksum_of_the_whole_data_is_used_where_there_is_no_other(
    file, whole, tmp_path, chunked
) -> None:
    data = without_checksums(file.read_bytes())
    kept = [record for record in records(data) if record[1] in (0x01, 0x06)]
    bare = data[:8]
    for at, code, body in kept:
        inside = body[-struct.unpack_from("<Q", body, 16)[0] :]
        bare += inside if code == 0x06 and not chunked else data[at : at + 9 + len(body)]
    bare += struct.pack("<BQI", 0x0F, 4, zlib.crc32(bare))
    bare += struct.pack("<BQQQI", 0x02, 20, 0, 0, 0) + data[:8]
    path = tmp_path / "bare.mcap"
    path.write_bytes(bare)
    assert read(path) == (whole, "")
    path.write_bytes(flipped(bare, len(bare) // 2))
    found, error = read(path)
    assert len(found) == len(whole)
    assert f"the first {len(bare) - 50} bytes of bare.mcap fail their checksum" in error
    assert "120 messages were read" in error


def test_a_recording_of_several_files_is_read_up_to_the_damage(tmp_path) -> None:
    folder = write(tmp_path / "bag").parent
    second = write(tmp_path / "more", first=COUNT)
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    inside = metadata["rosbag2_bagfile_information"]
    inside["relative_file_paths"] = ["bag.mcap", "bag_1.mcap"]
    inside["files"].append({**inside["files"][0], "path": "bag_1.mcap"})
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    shutil.copy(second, folder / "bag_1.mcap")
    complete, error = read(folder)
    assert (len(complete), error) == (4 * COUNT, "")
    data = second.read_bytes()
    for damage, says in (
        (data[: len(data) * 2 // 3], "bag_1.mcap ends at byte"),
        (flipped(data, len(data) // 2), "of bag_1.mcap fails its checksum"),
    ):
        (folder / "bag_1.mcap").write_bytes(damage)
        found, error = read(folder)
        assert 2 * COUNT < len(found) < 4 * COUNT
        assert found == complete[: len(found)]
        assert says in error
    for earlier, later in itertools.pairwise(found):
        assert earlier[0] <= later[0]
