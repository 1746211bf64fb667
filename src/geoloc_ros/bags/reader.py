# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading recordings of ROS 1 and ROS 2 without ROS.

What a damaged recording still gives: an MCAP file that was cut off, or of which a chunk fails its
checksum, delivers every message before the damage, then raises; a sqlite3 file delivers rows until
the damaged page, then raises; a ROS 1 bag without its index is refused, because the index is what
tells where messages are (`rosbag reindex` writes a new one). In each case the error is one line
and says how many messages were read. Flipped bits are noticed where the recording has checksums
(see `mcap`): sqlite3 files, ROS 1 bags and MCAP files written without them have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from geoloc_ros.bags import mcap
from geoloc_ros.bags.salvage import Salvage
from geoloc_ros.errors import BagError
from geoloc_ros.messages import stamp_ns

Record = tuple[int, str, Any]


@dataclass(frozen=True)
class Topic:
    """A topic of a recording.

    Attributes:
        name: with its leading slash.
        msgtype: as in ROS 2, for example ``sensor_msgs/msg/Image``.
        count: messages in the recording.
    """

    name: str
    msgtype: str
    count: int


class BagReader:
    """A recording: ROS 1 ``.bag``, rosbag2 directory (sqlite3 or mcap), or one .mcap/.db3 file.

    Use as a context manager.

    Args:
        path: file or directory.

    Raises:
        BagError: on entering: missing, empty, damaged or of an unknown kind.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader: Any = None
        self._salvage: Salvage | None = None
        self._cause = ""
        self._unlocated: str | None = None

    def __enter__(self) -> BagReader:
        """Open the recording.

        Raises:
            BagError: see the class.
        """
        self._check_path()
        try:
            self._check_summaries()
            self._reader = self._open()
        except BagError:
            raise
        except Exception as error:  # noqa: BLE001 - rosbags, sqlite and codecs raise many kinds
            self._cause = _first_line(error)
            self._open_damaged()
        if not any(topic.count for topic in self.topics()):
            self.close()
            raise BagError(f"{self.path} holds no messages; was the recording ever started?")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the recording."""
        self.close()

    def close(self) -> None:
        """Close the recording; harmless when closed."""
        reader, self._reader = self._reader, None
        self._salvage = None
        if reader is not None:
            with suppress(Exception):
                reader.close()

    def topics(self) -> list[Topic]:
        """All topics with at least a type, sorted by name."""
        counts: Counter[tuple[str, str]] = Counter()
        if self._salvage is not None:
            counts = self._salvage.counts()
        else:
            for item in self._opened().connections:
                counts[item.topic, item.msgtype] += item.msgcount
        found = [Topic(name, kind, count) for (name, kind), count in counts.items()]
        return sorted(found, key=lambda topic: (topic.name, topic.msgtype))

    def of_type(self, msgtypes: Sequence[str]) -> list[Topic]:
        """Topics of the given types that have messages; depth images do not count as images."""
        return [
            topic
            for topic in self.topics()
            if topic.msgtype in msgtypes
            and topic.count
            and not topic.name.endswith("/compressedDepth")
        ]

    def select(self, msgtypes: Sequence[str], wanted: str = "", option: str = "--topic") -> str:
        """The topic to use: the wanted one, or the only one of its types.

        Args:
            msgtypes: acceptable message types.
            wanted: the name the user gave, empty for none.
            option: how the user names a topic, as `--topic`, or what stands right before it, as
                `--topic=` or `recording.mcap:`; used to print lines to paste back.

        Raises:
            BagError: none or several of these types, or the wanted one is not among them.
        """
        usable = self.of_type(msgtypes)
        given = option if option.endswith(("=", ":")) else f"{option} "
        choices = "\n".join(
            f"  {given}{topic.name}   # {topic.msgtype}, {topic.count} messages"
            for topic in usable
        )
        kinds = " or ".join(msgtypes)
        if wanted:
            if any(topic.name == wanted for topic in usable):
                return wanted
            there = next((topic for topic in self.topics() if topic.name == wanted), None)
            why = (
                "is not in the bag"
                if there is None
                else f"is {there.msgtype} with {there.count} messages, not {kinds}"
            )
            tail = f"; choose one of\n{choices}" if usable else f"; it has no {kinds} at all"
            raise BagError(f"topic {wanted} {why}: {self.path}{tail}")
        if not usable:
            names = ", ".join(f"{t.name} ({t.msgtype})" for t in self.topics()) or "nothing"
            raise BagError(f"{self.path} has no topic of type {kinds}; it has {names}")
        if len(usable) > 1:
            raise BagError(
                f"{self.path} has {len(usable)} topics of type {kinds}; say which:\n{choices}"
            )
        return usable[0].name

    def messages(self, topics: Sequence[str] = ()) -> Iterator[Record]:
        """Yield (stamp_ns, topic, message) in log-time order.

        The stamp is the header's, or the log time where the message has none.

        Args:
            topics: names to read; empty for all.

        Raises:
            BagError: the recording turns out damaged; everything before the damage was yielded.
        """
        read = 0
        source = self._salvage.messages(topics) if self._salvage else self._regular(topics)
        try:
            for log_ns, topic, message in source:
                read += 1
                yield stamp_ns(message, log_ns), topic, message
        except (BagError, GeneratorExit):
            raise
        except Exception as error:
            raise BagError(
                f"{self.path} is damaged after {read} messages: {self._located(error)}"
            ) from error
        if damage := self.damage():
            raise BagError(f"{damage}; {read} messages were read")

    def damage(self) -> str:
        """What is known to be wrong with the recording as a whole; empty if nothing is."""
        if self._salvage is not None:
            where = f"; {self._salvage.end}" if self._salvage.end else ""
            return f"{self.path} is cut off or damaged ({self._cause}{where})"
        if self._unlocated is None:
            faults = (mcap.data_fault(path) for path in self._mcap_files())
            self._unlocated = next((fault for fault in faults if fault), "")
        return f"{self.path} is damaged ({self._unlocated})" if self._unlocated else ""

    # -- regular reading ----------------------------------------------------------------------

    def _check_path(self) -> None:
        if not self.path.exists():
            raise BagError(f"no recording at {self.path}")
        if self.path.is_dir():
            if not (self.path / "metadata.yaml").exists():
                inside = sorted(
                    p for p in self.path.iterdir() if p.suffix in (".mcap", ".db3", ".bag")
                )
                hint = f"; read its storage directly: {inside[0]}" if inside else ""
                raise BagError(f"{self.path} is no rosbag2: metadata.yaml is missing{hint}")
        elif self.path.suffix not in (".bag", ".mcap", ".db3"):
            raise BagError(
                f"{self.path} is no recording; give a ROS 1 .bag, a rosbag2 directory, "
                "or a .mcap or .db3 file"
            )
        elif self.path.stat().st_size == 0:
            raise BagError(f"{self.path} is an empty file")

    def _mcap_files(self) -> list[Path]:
        """The MCAP files of the recording, in the order they were written."""
        if self.path.is_dir():
            found = self.path.glob("*.mcap")
            return sorted(found, key=lambda path: (len(path.name), path.name))
        return [self.path] if self.path.suffix == ".mcap" else []

    def _check_summaries(self) -> None:
        for path in self._mcap_files():
            if fault := mcap.summary_fault(path):
                raise ValueError(f"{path.name}: {fault}")

    def _located(self, error: Exception) -> str:
        """What an error of the regular reader says, and where the damage is, if that is known."""
        with suppress(OSError):
            for path in self._mcap_files():
                if fault := mcap.chunk_fault(path):
                    return fault
        return _first_line(error)

    def _open(self) -> Any:  # noqa: ANN401 - AnyReader
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        reader = AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        reader.open()
        return reader

    def _opened(self) -> Any:  # noqa: ANN401 - AnyReader
        if self._reader is None:
            raise BagError(f"{self.path} is not open; use 'with BagReader(...) as bag'")
        return self._reader

    def _regular(self, topics: Sequence[str]) -> Iterator[Record]:
        reader = self._opened()
        wanted = [c for c in reader.connections if not topics or c.topic in topics]
        if not wanted:
            return
        for connection, log_ns, data in reader.messages(connections=wanted):
            yield log_ns, connection.topic, reader.deserialize(data, connection.msgtype)

    # -- what is left of a damaged MCAP -------------------------------------------------------

    def _open_damaged(self) -> None:
        """Fall back to a sequential scan, or say in one line why the recording is unreadable.

        Raises:
            BagError: nothing can be read.
        """
        try:
            salvage = Salvage(self._mcap_files())
        except Exception as error:
            raise BagError(
                f"cannot read {self.path}: message definitions: {_first_line(error)}"
            ) from error
        if not salvage.counts():
            advice = "; 'rosbag reindex' may repair it" if self.path.suffix == ".bag" else ""
            where = f"; {salvage.end}" if salvage.end else ""
            raise BagError(
                f"cannot read {self.path}: {self._cause}{where} (0 messages read){advice}"
            )
        self._salvage = salvage


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
