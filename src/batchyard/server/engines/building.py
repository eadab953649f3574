"""Engines made from their specs: the only file that knows every concrete one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from batchyard.config import Settings
from batchyard.dispatch.fleet import Replica
from batchyard.engine import Engine
from batchyard.engines.probe import Detected, Dialect, Look, detect, probe_loopback
from batchyard.server.engines.specs import EngineSpec, Kind
from batchyard.server.engines.undecided import Undecided

_DIALECTS: dict[Kind, Dialect] = {"messages": "messages", "chat": "chat", "anthropic": "messages"}


def engine(spec: EngineSpec, settings: Settings) -> Engine:
    """The engine of a spec. Opens no connection. Raises `ConfigurationError`."""
    match spec.kind:
        case "simulator":
            from batchyard.engines.simulator import Simulator

            return Simulator.from_options(spec.options)
        case "llama":
            from batchyard.engines.llama import LlamaEngine, options_of

            return LlamaEngine(Path(spec.target), options_of(spec.options))
        case "detect":
            return Undecided(lambda: _decided(spec, settings))
        case _:
            return _remote(spec, spec.kind, settings)


def engine_seen_from_api(spec: EngineSpec, settings: Settings, socket: Path) -> Engine:
    """The same engine for live calls: its own connections, or a line to the dispatch process."""
    if not spec.inside:
        return engine(spec, settings)
    from batchyard.engines.socket import SocketEngine

    return SocketEngine(socket, spec.name)


def replica(spec: EngineSpec, settings: Settings) -> Replica:
    """The engine as dispatch is to run it."""
    made = engine(spec, settings)
    concurrency = spec.concurrency
    if concurrency is None and settings.concurrency != "auto":
        concurrency = settings.concurrency
    return Replica(
        name=spec.name,
        engine=made,
        kind="unknown" if spec.kind == "detect" else spec.kind,
        url=spec.url,
        concurrency=concurrency,
        slots=getattr(made, "slots", spec.slots),
    )


async def detected(spec: EngineSpec) -> Detected:
    """What answers at the URL of a spec. Raises `Unavailable` or `Misconfigured`."""
    return await detect(spec.url, api_key=spec.key, dialect=_DIALECTS.get(spec.kind))


async def nearby() -> Sequence[Look]:
    """What answers at the usual ports of this machine."""
    return await probe_loopback()


async def _decided(spec: EngineSpec, settings: Settings) -> Engine:
    return _remote(spec, (await detected(spec)).dialect, settings)


def _remote(spec: EngineSpec, kind: Kind, settings: Settings) -> Engine:
    from batchyard.engines.http import HttpClient

    seconds = spec.timeout_seconds or settings.request_timeout_seconds
    http = HttpClient(spec.url, total_seconds=seconds, idle_seconds=seconds)
    if kind == "chat":
        from batchyard.engines.openai import ChatEngine

        return ChatEngine(spec.url, api_key=spec.key, http=http, name=spec.name)
    from batchyard.engines.anthropic import MessagesEngine

    return MessagesEngine(
        spec.url, api_key=spec.key, http=http, hosted=kind == "anthropic", name=spec.name
    )
