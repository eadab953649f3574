"""An upstream that costs next to nothing: every call gets one answer, at once or later.

`python -m benchmarks.upstream --latency 0.05` prints its port and serves until it is ended.
`GET /stats` tells how many calls came, when, and how many were under way on average; `DELETE`
forgets them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast

import uvloop

_TEXT = "A sound answer of about a kilobyte, as models give them. " * 12
_MESSAGE = json.dumps(
    {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": _TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 480, "output_tokens": 170},
    }
).encode()
_COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _TEXT},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 480, "completion_tokens": 170, "total_tokens": 650},
    }
).encode()
_MODELS = json.dumps({"data": [{"id": "m", "type": "model"}], "has_more": False}).encode()


def _answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


ANSWER, COMPLETION, MODELS = _answer(_MESSAGE), _answer(_COMPLETION), _answer(_MODELS)


class Stats:
    """Calls so far, and the integral of those under way over time."""

    def __init__(self) -> None:
        self.calls = self.under_way = 0
        self.first = self.last = self.busy = 0.0

    def begins(self) -> None:
        self._pass(time.perf_counter())
        self.calls += 1
        self.under_way += 1

    def ends(self) -> None:
        self._pass(time.perf_counter())
        self.under_way -= 1

    def told(self) -> bytes:
        seconds = self.last - self.first
        busy = self.busy / seconds if seconds else 0.0
        told = {"calls": self.calls, "first": self.first, "seconds": seconds, "busy": busy}
        return json.dumps(told).encode()

    def _pass(self, now: float) -> None:
        if not self.calls:
            self.first = self.last = now
        self.busy += self.under_way * (now - self.last)
        self.last = now


class Upstream(asyncio.Protocol):
    """One connection; a request is over when as many bytes came as its header says."""

    stats = Stats()
    latency = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._read = b""

    def data_received(self, data: bytes) -> None:
        data = self._read + data if self._read else data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            at = data.lower().find(b"content-length:", 0, end) if data[:4] == b"POST" else -1
            length = int(data[at + 15 : data.index(b"\r", at)]) if at >= 0 else 0
            if len(data) >= end + 4 + length:
                self._read = b""
                self._asked(data)
                return
        self._read = data

    def _asked(self, request: bytes) -> None:
        if request.startswith(b"POST /v1/messages "):
            self._begin(ANSWER)
        elif request.startswith(b"POST /v1/chat/completions "):
            self._begin(COMPLETION)
        elif request.startswith(b"GET /v1/models"):
            self._transport.write(MODELS)
        elif request.startswith(b"GET /stats"):
            self._transport.write(_answer(self.stats.told()))
        elif request.startswith(b"DELETE /stats"):
            Upstream.stats = Stats()
            self._transport.write(_answer(b"{}"))
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    def _begin(self, answer: bytes) -> None:
        self.stats.begins()
        if self.latency:
            self._loop.call_later(self.latency, self._end, answer)
        else:
            self._end(answer)

    def _end(self, answer: bytes) -> None:
        self.stats.ends()
        self._transport.write(answer)


async def serve(latency: float) -> None:
    """Say the port, then answer for ever."""
    Upstream.latency = latency
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    uvloop.run(serve(parser.parse_args().latency))
