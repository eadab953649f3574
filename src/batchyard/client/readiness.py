"""What `/livez` and `/readyz?verbose` say, read with forgiveness: other servers lack them."""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One thing that readiness depends on."""

    name: str
    ok: bool
    detail: str = ""


class EngineState(msgspec.Struct, frozen=True):
    """An engine as the server last saw it; `reason` says why it is not up."""

    name: str
    state: str
    kind: str = ""
    url: str = ""
    reason: str = ""
    in_flight: int = 0
    limit: int = 0
    models: list[str] = []


class Readiness(msgspec.Struct, frozen=True):
    """The verbose page."""

    status: str
    version: str
    checks: list[Check] = []
    engines: list[EngineState] = []


class Liveness(msgspec.Struct, frozen=True):
    """The short answer, and what its headers tell: `date` is the server's clock, in seconds."""

    version: str
    date: int | None = None
