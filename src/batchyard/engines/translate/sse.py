"""Server-sent events as text: the data lines of a stream coming in, events going out.

The format is that of the WHATWG HTML standard, "Server-sent events".
"""

from __future__ import annotations

from typing import Any

from batchyard import wire

LINE_BYTES_MAX = 32 * 1024 * 1024
"""The longest line taken from an engine."""


class EventLines:
    """Cuts bytes, however they arrive, into the data of one event after another.

    One data line is one event: no engine spreads its JSON over several.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events completed by `data`; comments and other fields are skipped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise ValueError(f"a line of a stream is longer than {LINE_BYTES_MAX} bytes")
        return [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]


def event(payload: dict[str, Any]) -> bytes:
    """One event, named by the payload's type."""
    name = str(payload["type"]).encode()
    return b"event: %b\ndata: %b\n\n" % (name, wire.encode(payload))
