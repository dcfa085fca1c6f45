# SPDX-License-Identifier: Apache-2.0
"""An API that answers what a test wants: for what a real server says seldom, or never."""
import http.server
import json
import threading
import urllib.parse


class FakeApi:
    """answers: path -> (status, document) or a function of the query's parameters that returns this."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []
        self.go_on = threading.Event()  # cleared: requests hang
        self.go_on.set()
        self.etag = None
        self.server = None
        self.port = 0
        self.open()

    def open(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True
            open_connections = set()

            def process_request(self, request, client_address):
                self.open_connections.add(request)
                super().process_request(request, client_address)

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        """Gone: no connection, and no new one."""
        self.server.shutdown()
        self.server.server_close()
        for c in self.server.open_connections:
            try:
                c.shutdown(2)
            except OSError:
                pass
        self.server.open_connections.clear()

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        parameters = {k: v[0] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        self.asked.append((url.path, parameters, dict(handler.headers)))
        self.go_on.wait(60)
        found = self.answers.get(url.path, (404, {"error": {"code": "unknown_path", "message": "no such path"}}))
        status, document = found(parameters) if callable(found) else found
        if self.etag and status == 200 and handler.headers.get("If-None-Match") == self.etag:
            status, document = 304, b""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        try:
            self.send(handler, status, body)
        except OSError:
            pass  # whoever asked has left

    def send(self, handler, status, body):
        handler.send_response(status)
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
