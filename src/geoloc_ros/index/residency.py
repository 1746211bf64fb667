# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Which shards are in memory: those used last and those expected, within a budget.

A shard is read, verified and kept until the room is needed for another; the one not used for
longest goes. A look at all shards (`scan`) pushes none out: what does not fit is read, used and
forgotten. A shard that turns out damaged on the way is told of once and left out from then on:
a vehicle under way is better off with the rest of its map than without any.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from geoloc_ros.errors import IndexCorruptError
from geoloc_ros.index.shard import Shard

_LOG = logging.getLogger(__name__)


class Residency:
    """Shards of an index, read when they are needed. Any thread may ask.

    Args:
        read: reads and verifies the shard of a number.
        sizes: bytes of each shard.
        budget: bytes that may be held; one shard is held even if it is larger.

    Attributes:
        damaged: numbers of the shards that could not be read, and why.
        fits: whether all shards fit in at once.
    """

    def __init__(self, read: Callable[[int], Shard], sizes: Sequence[int], budget: int) -> None:
        self.damaged: dict[int, IndexCorruptError] = {}
        self._from_disk, self._sizes, self._budget = read, tuple(sizes), budget
        self.fits = sum(sizes) <= budget
        self._held: OrderedDict[int, Shard] = OrderedDict()
        self._bytes = 0
        self._lock, self._reading = threading.RLock(), threading.Lock()
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._expected: Future[None] | None = None

    @property
    def held(self) -> frozenset[int]:
        """Numbers of the shards in memory."""
        with self._lock:
            return frozenset(self._held)

    @property
    def held_bytes(self) -> int:
        """What the shards in memory take."""
        return self._bytes

    def load(self, number: int) -> Shard:
        """One shard, in memory from now on.

        Raises:
            IndexCorruptError: it is damaged.
        """
        found = self._of_held(number)
        if found is None:
            with self._reading:  # another thread may be reading this very one
                found = self._of_held(number)
                if found is None:
                    found = self._from_disk(number)
                    self._keep(number, found)
        return found

    def shard(self, number: int) -> Shard | None:
        """One shard, in memory from now on; None if it is damaged."""
        return self._unless_damaged(self.load, number)

    def shards(self, numbers: Iterable[int]) -> Iterator[tuple[int, Shard]]:
        """Some shards, in memory from now on, the damaged left out."""
        for number in numbers:
            found = self.shard(number)
            if found is not None:
                yield number, found

    def scan(self, numbers: Iterable[int]) -> Iterator[tuple[int, Shard]]:
        """Some shards one after the other, the damaged left out; none is pushed out for them."""
        missing = []
        for number in numbers:
            found = self._of_held(number)
            if found is None:
                missing.append(number)
            else:
                yield number, found
        read = partial(self._unless_damaged, self._from_disk)
        coming = deque(self._ahead.submit(read, number) for number in missing[:1])
        for at, number in enumerate(missing, start=1):
            found = coming.popleft().result()
            coming.extend(self._ahead.submit(read, after) for after in missing[at : at + 1])
            if found is not None:
                if self._bytes + self._sizes[number] <= self._budget:
                    self._keep(number, found)
                yield number, found

    def batches(self, numbers: Sequence[int]) -> Iterator[list[tuple[int, Shard]]]:
        """Like `scan`, but those in memory come together, before the others one by one."""
        with self._lock:
            held = [(number, self._held[number]) for number in numbers if number in self._held]
            for number, _ in held:
                self._held.move_to_end(number)
        together = {number for number, _ in held}
        if held:
            yield held
        held = []  # what is pushed out from now on is not kept alive
        for found in self.scan(number for number in numbers if number not in together):
            yield [found]

    def expect(self, numbers: Sequence[int]) -> None:
        """Read shards that will be needed soon, the most urgent first, beside everything else.

        No more are read than half the budget holds, and none while others are still being read.
        """
        if self._expected is not None and not self._expected.done():
            return
        wanted, room = [], self._budget // 2
        for number in numbers:
            room -= self._sizes[number]
            if room < 0:
                break
            wanted.append(number)
        held = self.held
        if any(number not in held and number not in self.damaged for number in wanted):
            self._expected = self._ahead.submit(self._read_expected, wanted)

    def _read_expected(self, numbers: list[int]) -> None:
        for number in numbers:
            self.shard(number)
        for number in reversed(numbers):  # the most urgent is used last, and so kept longest
            self._of_held(number)

    def _of_held(self, number: int) -> Shard | None:
        with self._lock:
            found = self._held.get(number)
            if found is not None:
                self._held.move_to_end(number)
            return found

    def _unless_damaged(self, read: Callable[[int], Shard], number: int) -> Shard | None:
        if number in self.damaged:
            return None
        try:
            return read(number)
        except IndexCorruptError as error:
            # without what led to it, which would hold the bytes that were read
            error.__cause__ = error.__context__ = None
            self.damaged[number] = error.with_traceback(None)
            _LOG.error("%s; the vehicle cannot be found there", error)
            return None

    def _keep(self, number: int, shard: Shard) -> None:
        size = self._sizes[number]
        with self._lock:
            while self._held and self._bytes + size > self._budget:
                self._bytes -= self._sizes[self._held.popitem(last=False)[0]]
            if number not in self._held:
                self._bytes += size
            self._held[number] = shard
