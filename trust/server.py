"""A slow server of a folder, so that a download lasts long enough to be killed in its middle."""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECES, PAUSE = 24, 0.02  # a file comes in so many pieces, with so many seconds between them


class Handler(BaseHTTPRequestHandler):
    """Send a file, or what is left of it from a byte on where the version is still the same."""

    def __init__(self, folder: Path, *rest: object) -> None:
        self.folder = folder
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the file of that path."""
        path = self.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, tag = path.read_bytes(), f'"{path.stat().st_mtime_ns}"'
        asked = self.headers.get("Range", "")
        start = int(asked[6:-1]) if asked and self.headers.get("If-Range") == tag else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        step = max(1, len(content) // PIECES)
        for place in range(start, len(content), step):
            self.wfile.write(content[place : place + step])
            time.sleep(PAUSE)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Take it as it comes that who asks is killed."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


def main() -> None:
    """Serve the folder that is named, say the port, and stop with who started this."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, Path(sys.argv[1])))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
