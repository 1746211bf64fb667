# SPDX-FileCopyrightText: 2026 geoloc_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""A tile server on loopback that can be told to throttle, drop, lie and fail.

Run as a program it serves on a free port, prints it, and answers slowly: `tile_server.py DELAY_S`.
"""

import hashlib
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tile_files import encode, picture

from geoloc_ros.imagery.tiles import Tile


@dataclass
class Reply:
    """One answer; None: what a good server says."""

    status: int = 200
    body: bytes | None = None
    headers: dict = field(default_factory=dict)
    length: int | None = None  # what Content-Length claims
    cut: int | None = None  # the connection is reset after so many bytes
    drip_s: float = 0.0  # pause after each byte
    endless: bool = False


class TileServer(ThreadingHTTPServer):
    """Serves `picture` of every tile; `script` may answer otherwise.

    Attributes:
        script: (tile, attempt counted from 0) -> Reply or None.
        asked: (time, tile, headers) of every request.
        at_once: most requests in work at a time.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script=None, delay_s=0.0, side=256):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.delay_s, self.side = (
            script or (lambda tile, attempt: None),
            delay_s,
            side,
        )
        self.asked, self.attempts = [], Counter()
        self.lock, self.working, self.at_once = threading.Lock(), 0, 0
        self.version = {}

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/tiles/{{z}}/{{x}}/{{y}}.png"

    def tile(self, tile):
        """The picture of a tile; of another year after `version[tile]` was raised."""
        moved = Tile(tile.zoom, (tile.x + self.version.get(tile, 0)) % (1 << tile.zoom), tile.y)
        return encode(picture(moved, self.side))

    def handle_error(self, request, client_address):
        """A client that has gone is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        path = self.path.partition("?")[0].rpartition(".")[0].split("/")
        tile = Tile(*map(int, path[-3:]))
        with server.lock:
            attempt = server.attempts[tile]
            server.attempts[tile] += 1
            server.asked.append((time.monotonic(), tile, dict(self.headers)))
            server.working += 1
            server.at_once = max(server.at_once, server.working)
        try:
            time.sleep(server.delay_s)
            self.answer(tile, server.script(tile, attempt))
        finally:
            with server.lock:
                server.working -= 1

    def answer(self, tile, reply):
        body = self.server.tile(tile)
        headers = {}
        if reply is None:
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            headers = {"ETag": etag, "Content-Type": "image/png"}
            same = self.headers.get("If-None-Match") == etag
            reply = Reply(304, b"", headers) if same else Reply(200, body, headers)
        self.send(body if reply.body is None else reply.body, reply)

    def send(self, body, reply):
        """Answer with a body as a reply says."""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not reply.endless and reply.status not in (204, 304):
            length = len(body) if reply.length is None else reply.length
            self.send_header("Content-Length", str(length))
        self.close_connection = reply != Reply(reply.status, reply.body, reply.headers)
        self.end_headers()
        if reply.endless:
            while True:
                self.wfile.write(bytes(65536))
        for start in range(0, len(body), 1) if reply.drip_s else ():
            self.wfile.write(body[start : start + 1])
            self.wfile.flush()
            time.sleep(reply.drip_s)
        if not reply.drip_s:
            self.wfile.write(body[: reply.cut])
        if reply.cut is not None:
            self.wfile.flush()
            linger = b"\x01\0\0\0\0\0\0\0"
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def log_message(self, *_):
        """Nobody reads it."""


@contextmanager
def serving(script=None, **options):
    """A server for the time of a test."""
    server = TileServer(script, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(delay_s=float(sys.argv[1])) as running:
        print(running.url, flush=True)
        sys.stdin.read()
