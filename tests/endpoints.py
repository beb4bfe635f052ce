"""Endpoints for tests: a threaded server of the standard library, in front of a function from rows to a reply."""

import json
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class Seen:
    """What a server was asked: one (path, headers, body) a request, and where it is."""

    def __init__(self, url):
        self.url, self.requests = url, []

    @property
    def records(self):
        return sum(len(body["dataframe_split"]["data"]) for _, _, body in self.requests)


@contextmanager
def served(reply, path="/invocations"):
    """Serve `reply(handler, body, turn)`, which sends what it likes; `turn` counts requests from 0."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                turn = len(seen.requests)
                seen.requests.append((self.path, dict(self.headers), body))
            reply(self, body, turn)

        def do_GET(self):
            send(self, 404, b"{}")

        def handle(self):
            with suppress(OSError, ValueError):  # who asked is gone, or was cut off
                super().handle()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        seen = Seen(f"http://127.0.0.1:{server.server_address[1]}{path}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def send(handler, status, content, kind="application/json", **headers):
    """Send one whole reply."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def cut(handler):
    """End the connection at once, with a reset."""
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.close_connection = True
    handler.connection.close()


def mlflow(predict):
    """Answer as MLflow does: `predict` of the rows, an array."""

    def reply(handler, body, _turn):
        rows = np.array(body["dataframe_split"]["data"])
        send(handler, 200, json.dumps({"predictions": np.asarray(predict(rows)).tolist()}).encode())

    return reply


def open_inference(predict):
    """Answer as the Open Inference Protocol says: one tensor in, one out, flat."""

    def reply(handler, body, _turn):
        (tensor,) = body["inputs"]
        found = np.asarray(predict(np.array(tensor["data"]).reshape(tensor["shape"])))
        output = {"name": "p", "datatype": "FP64", "shape": list(found.shape), "data": found.ravel().tolist()}
        send(handler, 200, json.dumps({"model_name": "m", "outputs": [output]}).encode())

    return reply
