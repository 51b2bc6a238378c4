"""Serve a folder slowly, so that a download lasts long enough to be killed in the middle."""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECES, PAUSE = 24, 0.02  # pieces of a file, and seconds between two of them


class Handler(BaseHTTPRequestHandler):
    """Send a whole file, piece by piece."""

    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:  # noqa: N802
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        step = max(1, len(content) // PIECES)
        for position in range(0, len(content), step):
            self.wfile.write(content[position : position + step])
            time.sleep(PAUSE)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # the client was killed
            self.close_connection = True


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, Path(sys.argv[1])))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
