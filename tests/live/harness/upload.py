"""Uploads a generated create body of a given size without ever holding it: its own process.

`python -m tests.live.harness.upload URL MODEL REQUESTS BYTES` prints one JSON object: the batch and
the seconds from the first byte to the answer.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.live.harness.calls import HEADERS

_GROUPS = 8


def entry(number: int, model: str, size: int) -> bytes:
    """One entry of exactly `size` bytes; every eighth shares its long system prompt."""
    head = b'{"custom_id":"row-%06d","params":{"model":"%b","max_tokens":128,"system":"' % (
        number,
        model.encode(),
    )
    tail = b'","messages":[{"role":"user","content":"Label review %06d in one word."}]}}' % number
    prompt = b"Group %d. You label product reviews. " % (number % _GROUPS)
    room = size - len(head) - len(tail)
    assert room > 0, size
    return head + (prompt * (room // len(prompt) + 1))[:room] + tail


def pieces(model: str, requests: int, size: int) -> Iterator[bytes]:
    """The body in pieces of about a megabyte; all of it is `body_bytes` long."""
    held = [b'{"requests":[' + entry(0, model, size)]
    for number in range(1, requests):
        held.append(b"," + entry(number, model, size))
        if len(held) * size > 1 << 20:
            yield b"".join(held)
            held = []
    yield b"".join(held) + b"]}"


def body_bytes(requests: int, size: int) -> int:
    """How long a body of so many entries is."""
    return requests * (size + 1) - 1 + len(b'{"requests":[]}')


def main() -> None:
    """Create the batch and say how it went."""
    url, model, requests, bytes_max = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    size = (bytes_max - len(b'{"requests":[]}') + 1) // requests - 1
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    length = {"content-length": str(body_bytes(requests, size))}
    started = time.monotonic()
    connection.request(
        "POST", "/v1/messages/batches", pieces(model, requests, size), {**HEADERS, **length}
    )
    response = connection.getresponse()
    batch = json.loads(response.read())
    print(json.dumps({"batch": batch, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
