# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which shards are in memory, for a reader that counts."""

import logging
import threading
import time
from collections import Counter

import pytest

from geoloc_ros.errors import IndexCorruptError
from geoloc_ros.index.residency import Residency


class Disk:
    """Ten shards of ten bytes, each of which is its number in words."""

    def __init__(self, damaged=()) -> None:
        self.reads: Counter[int] = Counter()
        self.damaged = set(damaged)
        self.slow_s = 0.0
        self.open = threading.Event()
        self.open.set()

    def __call__(self, number: int) -> str:
        self.reads[number] += 1
        self.open.wait(5.0)
        time.sleep(self.slow_s)
        if number in self.damaged:
            raise IndexCorruptError(f"shard {number} was altered")
        return f"shard {number}"


def residency(disk: Disk, budget: int) -> Residency:
    return Residency(disk, [10] * 10, budget)


def test_a_shard_is_read_once() -> None:
    disk = Disk()
    found = residency(disk, 100)
    assert [found.shard(3), found.shard(3), found.load(3)] == ["shard 3"] * 3
    assert disk.reads == {3: 1}
    assert found.held == {3}
    assert found.held_bytes == 10
    assert found.fits


def test_the_one_not_used_for_longest_goes() -> None:
    disk = Disk()
    found = residency(disk, 35)
    for number in (0, 1, 2, 0, 3):
        found.shard(number)
    assert found.held == {0, 2, 3}
    assert found.held_bytes == 30
    assert not found.fits


def test_one_shard_larger_than_the_budget_is_held() -> None:
    found = residency(Disk(), 5)
    assert found.shard(1) == "shard 1"
    assert found.held == {1}
    found.shard(2)
    assert found.held == {2}


def test_a_scan_pushes_nothing_out_and_fills_free_room() -> None:
    disk = Disk()
    found = residency(disk, 45)
    found.shard(7)
    found.shard(8)
    assert sorted(found.scan(range(10))) == [(n, f"shard {n}") for n in range(10)]
    assert found.held == {7, 8, 0, 1}
    assert found.held_bytes == 40
    assert set(disk.reads.values()) == {1}
    list(found.scan(range(10)))
    assert [disk.reads[number] for number in (0, 1, 7, 8)] == [1, 1, 1, 1]
    assert [disk.reads[number] for number in (2, 3, 4, 5, 6, 9)] == [2] * 6


def test_those_in_memory_come_together_and_the_others_one_by_one() -> None:
    disk = Disk(damaged={5})
    found = residency(disk, 25)
    found.shard(7)
    found.shard(3)
    batches = [[number for number, _ in batch] for batch in found.batches(range(10))]
    assert batches == [[3, 7], [0], [1], [2], [4], [6], [8], [9]]
    assert found.held == {3, 7}
    assert [[number for number, _ in batch] for batch in found.batches([3, 7])] == [[3, 7]]
    assert list(found.batches([])) == []


def test_a_scan_that_is_given_up_leaves_all_in_order() -> None:
    found = residency(Disk(), 45)
    assert next(found.scan(range(10))) == (0, "shard 0")
    assert found.held_bytes == 10
    assert found.shard(5) == "shard 5"


def test_a_damaged_shard_is_told_of_once_and_left_out(caplog) -> None:
    disk = Disk(damaged={2})
    found = residency(disk, 100)
    with caplog.at_level(logging.ERROR):
        assert found.shard(2) is None
        assert found.shard(2) is None
        assert [number for number, _ in found.scan(range(4))] == [0, 1, 3]
        assert [number for number, _ in found.shards(range(4))] == [0, 1, 3]
    assert disk.reads[2] == 1
    assert len(caplog.records) == 1
    assert "shard 2 was altered" in caplog.text
    assert "altered" in str(found.damaged[2])


def test_damage_holds_none_of_the_bytes_that_were_read() -> None:
    def read(number: int) -> str:
        try:
            raise ValueError("a step")
        except ValueError as error:
            raise IndexCorruptError("shard is damaged") from error

    found = Residency(read, [1], 10)
    assert found.shard(0) is None
    error = found.damaged[0]
    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_the_most_urgent_is_read_first_and_kept_longest() -> None:
    disk = Disk()
    found = residency(disk, 60)
    found.expect([3, 5, 7])
    until(lambda: found._expected.done())
    assert list(disk.reads) == [3, 5, 7]
    for number in (0, 1, 2, 4):  # one more than there is room for beside them
        found.shard(number)
    assert found.held == {3, 5, 0, 1, 2, 4}


def test_load_tells_of_damage_itself() -> None:
    found = residency(Disk(damaged={2}), 100)
    with pytest.raises(IndexCorruptError, match="shard 2 was altered"):
        found.load(2)
    assert found.shard(2) is None


def test_two_threads_read_a_shard_once() -> None:
    disk = Disk()
    disk.slow_s = 0.05
    found = residency(disk, 100)
    threads = [threading.Thread(target=found.shard, args=(4,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert disk.reads == {4: 1}


def until(condition) -> None:
    end = time.monotonic() + 5.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_expected_is_there_when_it_is_asked_for() -> None:
    disk = Disk()
    found = residency(disk, 40)
    found.expect([5, 6])
    until(lambda: found.held == {5, 6})
    assert found.shard(5) == "shard 5"
    assert disk.reads == {5: 1, 6: 1}


def test_what_is_expected_takes_no_more_than_half_the_budget() -> None:
    disk = Disk()
    found = residency(disk, 40)
    found.shard(0)
    found.shard(1)
    found.expect([5, 6, 7, 8])
    until(lambda: 5 in found.held)
    assert found.held == {0, 1, 5, 6}


def test_asking_goes_on_while_something_expected_is_slow() -> None:
    disk = Disk()
    found = residency(disk, 100)
    found.shard(0)
    disk.open.clear()
    found.expect([5])
    found.expect([6])  # passed over: the disk is busy
    assert found.shard(0) == "shard 0"
    disk.open.set()
    until(lambda: 5 in found.held)
    assert disk.reads[6] == 0


def test_damage_ahead_does_not_stop_what_is_there() -> None:
    disk = Disk(damaged={5})
    found = residency(disk, 100)
    found.expect([5, 6])
    until(lambda: 6 in found.held and 5 in found.damaged)
    assert found.shard(5) is None
