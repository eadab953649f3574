"""A server that answers by a script and remembers what it was asked, in a thread of its own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/v1/messages/batches"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer. `length` is what the header promises. `hang_up` closes instead of answering,
    `hold` waits for its event first, `early` answers before it reads the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    hang_up: bool = False
    early: bool = False
    hold: threading.Event | None = None


HANG_UP = Reply(hang_up=True)


def answer(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; underscores in header names stand for dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"content-type": "application/json", **named})


def error(status: int, type: str, message: str, **headers: str) -> Reply:
    """An error envelope."""
    envelope = {
        "type": "error",
        "error": {"type": type, "message": message, "details": {"error_code": "the_code"}},
        "request_id": "req_1",
    }
    return answer(envelope, status, **headers)


def batch(
    batch_id: str = "msgbatch_1", status: str = "in_progress", **counts: int
) -> dict[str, Any]:
    """A MessageBatch object with the given counts, all else zero."""
    ended = status == "ended"
    names = ("processing", "succeeded", "errored", "canceled", "expired")
    return {
        "id": batch_id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {name: counts.get(name, 0) for name in names},
        "ended_at": "2026-01-01T00:10:00.000000+00:00" if ended else None,
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "expires_at": "2026-01-02T00:00:00.000000+00:00",
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": f"http://elsewhere.invalid{ROOT}/{batch_id}/results" if ended else None,
    }


def page(*batches: dict[str, Any], has_more: bool = False) -> Reply:
    """A page of a list."""
    return answer(
        {
            "data": list(batches),
            "has_more": has_more,
            "first_id": batches[0]["id"] if batches else None,
            "last_id": batches[-1]["id"] if batches else None,
        }
    )


LIVE = answer({"status": "ok", "version": "0.1.0"})
READY = answer(
    {
        "status": "ok",
        "version": "0.1.0",
        "checks": [{"name": "catalog", "ok": True}],
        "engines": [
            {"name": "vllm", "kind": "chat", "url": "http://e", "state": "up", "reason": "",
             "since": "", "in_flight": 3, "limit": 8, "models": ["tiny"]}
        ],
    }
)  # fmt: skip


class Stub:
    """`script` maps "GET /path" (without the query) to replies; the last one is repeated."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.script: dict[str, list[Reply]] = {}

    def on(self, what: str, *replies: Reply) -> None:
        """Answer `what` with `replies`, one after the other."""
        self.script[what] = list(replies)

    def batchyard(self) -> None:
        """Answer the probes as our server does."""
        self.on("GET /livez", LIVE)
        self.on("GET /readyz", READY)

    def of(self, what: str) -> list[Asked]:
        """What was asked of one path."""
        return [one for one in self.asked if f"{one.method} {one.path.partition('?')[0]}" == what]

    def next(self, asked: Asked) -> Reply:
        replies = self.script.get(f"{asked.method} {asked.path.partition('?')[0]}")
        if not replies:
            return error(404, "not_found_error", "Not found.")
        return replies.pop(0) if len(replies) > 1 else replies[0]


class Handler(BaseHTTPRequestHandler):
    """One connection to a scripted server."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    server: Listening

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.stub.next(Asked(self.command, self.path, headers, b""))
        if reply.early:
            self.tell(reply)
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.stub.asked.append(Asked(self.command, self.path, headers, body))
        if reply.hold is not None:
            reply.hold.wait(10)
        if reply.hang_up:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif not reply.early:
            self.tell(reply)

    def tell(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        length = len(reply.body) if reply.length is None else reply.length
        self.send_header("content-length", str(length))
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = length != len(reply.body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 (names that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Quietly."""


class Listening(ThreadingHTTPServer):
    """The listening side of a stub."""

    stub: Stub


@contextmanager
def stub() -> Iterator[Stub]:
    """A scripted server on a free port of this machine."""
    server = Listening(("127.0.0.1", 0), Handler)
    server.stub = Stub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
