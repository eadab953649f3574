"""What other processes may ask the scripted upstream under `/-/`: its record, sums, settings."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.upstreams.connection import Connection, Exchange
    from tests.upstreams.scripted import Scripted

_KEPT = ("number", "marker", "attempt", "path", "fault", "status", "gone", "started", "ended")


def obey(upstream: Scripted, connection: Connection, exchange: Exchange, path: str) -> None:
    """`/-/settings` changes settings, `/-/exchanges` tells the record, `/-/stats` the sums."""
    body = b""
    if path == "/-/settings":
        settings = json.loads(exchange.body)
        if settings.pop("clear", False):
            upstream.clear()
        upstream.set(**settings)
    elif path == "/-/exchanges":
        body = b"".join(_line(seen) for seen in upstream.exchanges)
    else:
        body = json.dumps(stats(upstream)).encode()
    connection.answer(exchange, 200, body)


def stats(upstream: Scripted) -> dict[str, object]:
    """Sums over the record."""
    by_status = Counter(str(exchange.status) for exchange in upstream.exchanges)
    return {
        "requests": len(upstream.exchanges),
        "in_flight": upstream.in_flight,
        "peak": upstream.peak,
        "connections": upstream.accepted,
        "by_status": dict(by_status),
    }


def _line(exchange: Exchange) -> bytes:
    return msgspec.json.encode({name: getattr(exchange, name) for name in _KEPT}) + b"\n"
