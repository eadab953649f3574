"""One ASGI exchange by hand, for what no HTTP client would send or shows: its raw messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass
class Exchange:
    """What was sent, and the exception with which the application gave up, if it did."""

    sent: list[Message] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def complete(self) -> bool:
        """Whether the answer was ended cleanly."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)


async def exchange(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Iterable[tuple[str, str]] = (("host", "batches.test"),),
    chunks: Iterable[bytes] = (b"",),
    hang_up: asyncio.Event | None = None,
    whole: bool = True,
    **scope: Any,
) -> Exchange:
    """Run one request. The client stays until `hang_up` is set; without one, for ever.

    `whole` False means that more of the body was announced than `chunks` hold.
    """
    done = Exchange()
    parts = list(chunks)
    gone = hang_up or asyncio.Event()

    async def receive() -> Message:
        if parts:
            body = parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(parts) or not whole}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        done.sent.append(message)

    route, _, query = path.partition("?")
    described = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": route,
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8484),
        **scope,
    }
    try:
        await app(described, receive, send)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        done.raised = error
    return done
