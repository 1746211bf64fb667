# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A server of plain files on loopback that can be told to throttle, drop, lie and fail."""

import re
import ssl
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parents[1] / "imagery"))
from tile_server import Handler, Reply

__all__ = ["FileServer", "Reply", "serving"]


PIECE = 16384


class FileServer(ThreadingHTTPServer):
    """Serves a folder; `script` may answer otherwise.

    Attributes:
        script: (name, attempt counted from 0) -> Reply or None.
        ranges: whether byte ranges are served.
        slow_s: pause after every `PIECE` bytes, s.
        asked: (name, headers) of every request.
        sent: bytes of all answers.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, root, script=None, ranges=True, slow_s=0.0, tls=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root, self.ranges, self.slow_s = root, ranges, slow_s
        self.script = script or (lambda name, attempt: None)
        self.asked, self.attempts, self.sent = [], Counter(), 0
        self.lock, self.scheme = threading.Lock(), "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/maps/city.index"

    def names(self):
        """What was asked for, in order."""
        return [name for name, _ in self.asked]

    def rests(self, name):
        """Byte ranges that were asked for of a file, in order."""
        return [said["Range"] for asked, said in self.asked if asked == name and "Range" in said]

    def handle_error(self, request, client_address):
        """A client that has gone is no error of the server."""


class _Line:
    """What the server writes to: counted, and as slow as it was told."""

    def __init__(self, file, server):
        self._file, self._server = file, server

    def write(self, data):
        pause_s = self._server.slow_s
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._file.write(piece)
            with self._server.lock:
                self._server.sent += len(piece)
            if pause_s:
                self._file.flush()
                time.sleep(pause_s)

    def __getattr__(self, name):
        return getattr(self._file, name)


class _Handler(Handler):
    def setup(self):
        super().setup()
        self.wfile = _Line(self.wfile, self.server)

    def do_GET(self):
        server = self.server
        name = unquote(self.path.partition("?")[0]).removeprefix("/maps/city.index/")
        with server.lock:
            attempt = server.attempts[name]
            server.attempts[name] += 1
            server.asked.append((name, dict(self.headers)))
        path = server.root / name
        body = path.read_bytes() if path.is_file() else None
        reply = server.script(name, attempt) or self.honest(body)
        self.send((body or b"") if reply.body is None else reply.body, reply)

    def honest(self, body):
        """What a good server says of a file."""
        if body is None:
            return Reply(404, b"<html><title>Not found</title></html>")
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None or not self.server.ranges:
            return Reply(200, body)
        start = int(wanted[1])
        if start >= len(body):
            return Reply(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        said = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Reply(206, body[start:], {"Content-Range": said})


@contextmanager
def serving(root, script=None, **options):
    """A server for the time of a test."""
    server = FileServer(root, script, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
