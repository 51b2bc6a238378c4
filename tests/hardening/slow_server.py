"""Serve a folder slowly, so that a download lasts long enough to be killed in the middle."""

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile) -> None:
        while piece := source.read(512):
            outputfile.write(piece)
            time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=sys.argv[1]))
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
