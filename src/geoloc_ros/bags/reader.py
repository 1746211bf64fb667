# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""Reading recordings of ROS 1 and ROS 2 without ROS.

What a damaged recording still gives: an MCAP file that was cut off delivers every message before
the cut, then raises; a sqlite3 file delivers rows until the damaged page, then raises; a ROS 1 bag
without its index is refused, because the index is what tells where messages are (`rosbag reindex`
writes a new one). In each case the error is one line and says how many messages were read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from geoloc_ros.bags.messages import stamp_ns
from geoloc_ros.bags.salvage import McapScan
from geoloc_ros.errors import BagError

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
        self._scan: McapScan | None = None
        self._scan_store: Any = None
        self._cause = ""

    def __enter__(self) -> BagReader:
        """Open the recording.

        Raises:
            BagError: see the class.
        """
        self._check_path()
        try:
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
        self._scan = None
        if reader is not None:
            with suppress(Exception):
                reader.close()

    def topics(self) -> list[Topic]:
        """All topics with at least a type, sorted by name."""
        if self._scan is not None:
            found = [
                Topic(name, self._scan.schemas[schema].name, self._scan.counts[number])
                for number, (name, schema) in self._scan.channels.items()
                if schema in self._scan.schemas
            ]
        else:
            counts: dict[tuple[str, str], int] = {}
            for item in self._opened().connections:
                key = (item.topic, item.msgtype)
                counts[key] = counts.get(key, 0) + item.msgcount
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
            option: how the user names a topic; used to print lines to paste back.

        Raises:
            BagError: none or several of these types, or the wanted one is not among them.
        """
        usable = self.of_type(msgtypes)
        given = option if option.endswith("=") else f"{option} "
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
        source = self._scanned(topics) if self._scan is not None else self._regular(topics)
        try:
            for log_ns, topic, message in source:
                read += 1
                yield stamp_ns(message, log_ns), topic, message
        except (BagError, GeneratorExit):
            raise
        except Exception as error:
            raise BagError(
                f"{self.path} is damaged after {read} messages: {_first_line(error)}"
            ) from error
        if self._scan is not None:
            raise BagError(
                f"{self.path} is cut off or damaged ({self._cause}); {read} messages were read"
            )

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
        files = [self.path] if self.path.suffix == ".mcap" else sorted(self.path.glob("*.mcap"))
        scan = McapScan(files[0]) if len(files) == 1 else None
        if scan is not None:
            with suppress(OSError, struct.error, ValueError):
                scan.survey()
        if scan is None or not scan.counts:
            advice = "; 'rosbag reindex' may repair it" if self.path.suffix == ".bag" else ""
            raise BagError(f"cannot read {self.path}: {self._cause} (0 messages read){advice}")
        try:
            self._scan_store = _typestore(scan)
        except Exception as error:
            raise BagError(
                f"cannot read {self.path}: message definitions: {_first_line(error)}"
            ) from error
        self._scan = scan

    def _scanned(self, topics: Sequence[str]) -> Iterator[Record]:
        scan = self._scan
        if scan is None:
            return
        for number, log_ns, data in scan.messages():
            name, schema = scan.channels.get(number, ("", -1))
            if schema in scan.schemas and (not topics or name in topics):
                kind = scan.schemas[schema].name
                yield log_ns, name, self._scan_store.deserialize_cdr(data, kind)


def _typestore(scan: McapScan) -> Any:  # noqa: ANN401 - rosbags Typestore
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    types: dict[str, Any] = {}
    for schema in scan.schemas.values():
        if schema.encoding == "ros2msg":
            types.update(get_types_from_msg(schema.text, schema.name))
        else:
            types.update(get_types_from_idl(schema.text))
    store.register(types)
    return store


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
