"""A Docker engine's socket that answers as much of its HTTP interface as a test needs, then breaks
off.
"""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers _ping and version; to `build` it streams the given events and closes the connection,
    ended or not.

    It holds no image and cannot pull one.
    """

    daemon_threads = True

    def __init__(self, socket: Path, events: list[dict], complete: bool) -> None:
        super().__init__(str(socket), Handler)
        self.events, self.complete = events, complete
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/json"):
            self.answer(404, {"message": "No such image"})
        else:
            self.answer(200, {"ApiVersion": "1.41"})

    def answer(self, status: int, document: dict):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        if "/images/create" in self.path:
            return self.answer(500, {"message": "lookup: no such host"})
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in self.server.events:
            line = json.dumps(event).encode() + b"\r\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        if self.server.complete:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *arguments):
        pass

    def address_string(self):
        return "socket"
