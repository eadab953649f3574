"""What `doctor` looks at: the server, the key, readiness, engines, addresses, clocks, the disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from batchyard import __version__
from batchyard.cli.session import about_keys
from batchyard.client import Client
from batchyard.client.readiness import EngineState, Liveness, Readiness
from batchyard.clock import SECOND
from batchyard.errors import AuthenticationFailed, BatchyardError, ServerUnreachable
from batchyard.wire import MessageBatch

CLOCK_SECONDS_MAX = 5
FREE_BYTES_LOW, FREE_BYTES_MIN = 1024**3, 64 * 1024**2

Verdict = Literal["ok", "warning", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `anchor` is an error code of the server's reference."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""
    anchor: str = ""


async def examine(client: Client, unreachable: list[str]) -> AsyncIterator[Finding]:
    """Findings about a server, each as soon as it is known.

    Names what could not be reached in `unreachable`: the server itself, or every engine.
    """
    try:
        await client.liveness()  # the first call also opens the connection
        started = client.clock.monotonic()
        alive = await client.liveness()
    except ServerUnreachable as error:
        unreachable.append("server")
        yield Finding("server", "error", error.message, error.fix or "")
        return
    yield _server(client.server, alive, client.clock.monotonic() - started)
    if alive is not None and alive.date is not None:
        yield _clock(alive.date, client.clock.now() // SECOND)
    try:
        page = await client.page(limit=100)
        readiness = await client.readiness()
    except BatchyardError as error:
        yield _refused(error)
        return
    yield Finding("key", "ok", "the server lets this machine in")
    if readiness is not None:
        for finding in _readiness(readiness, unreachable):
            yield finding
    yield await _results_url(client, page.data)


def _server(address: str, alive: Liveness | None, seconds: float) -> Finding:
    if alive is None:
        return Finding(
            "server",
            "warning",
            f"{address} answers, but it is not Batchyard",
            "another server of the API is fine; its engines cannot be looked at from here",
        )
    detail = f"{address}   batchyard {alive.version}, answers in {seconds * 1000:.0f} ms"
    if alive.version != __version__:
        fix = f"this program is {__version__}; keep both at one version"
        return Finding("server", "warning", detail, fix)
    return Finding("server", "ok", detail)


def _clock(theirs: int, ours: int) -> Finding:
    away = abs(theirs - ours)
    if away > CLOCK_SECONDS_MAX:
        fix = "synchronise both clocks (NTP); ages and expiry times are shown wrongly until then"
        return Finding("clock", "warning", f"{away} s from the server's", fix)
    return Finding("clock", "ok", f"within {max(2, away)} s of the server's")


def _refused(error: BatchyardError) -> Finding:
    fix = about_keys() if isinstance(error, AuthenticationFailed) else error.fix or ""
    return Finding("key", "error", error.message, fix, getattr(error, "anchor", error.code))


def _readiness(readiness: Readiness, unreachable: list[str]) -> Iterator[Finding]:
    for check in readiness.checks:
        detail = check.detail or ("in order" if check.ok else "not in order")
        fix = "" if check.ok else "the server's log has the cause; `batchyard serve --log-level"
        fix = fix and f"{fix} info` says more"
        yield Finding(check.name, "ok" if check.ok else "error", detail, fix)
    engines = readiness.engines
    if not any(engine.state == "up" for engine in engines):
        unreachable.append("engines")
    if not engines:
        yield Finding("engine", "error", "there is none", "batchyard serve --engine URL")
    for engine in engines:
        yield _engine(engine, engines)


def _engine(engine: EngineState, all_of_them: Sequence[EngineState]) -> Finding:
    parts = [engine.name, engine.url, ", ".join(engine.models[:3]) or "any model"]
    if engine.state == "up":
        parts.append(f"{engine.in_flight} of {engine.limit} in flight")
        return Finding("engine", "ok", "   ".join(part for part in parts if part))
    alone = not any(other.state == "up" for other in all_of_them)
    verdict: Verdict = "error" if alone or engine.state == "paused" else "warning"
    detail = "   ".join(part for part in (*parts[:2], engine.state, engine.reason) if part)
    if engine.state == "paused":
        return Finding("engine", verdict, detail, "mend what it says", "engine_misconfigured")
    fix = "start it, or look whether its address is right; nothing is lost, its work waits"
    return Finding("engine", verdict, detail, fix, "engine_unavailable")


async def _results_url(client: Client, batches: Sequence[MessageBatch]) -> Finding:
    """Whether the address in `results_url`, to which SDKs send their keys, leads to the server."""
    found = next((batch for batch in batches if batch.results_url), None)
    if found is None or found.results_url is None:
        return Finding("results url", "skipped", "no batch has ended yet, so there is none to try")
    origin = found.results_url.partition("/v1/")[0]
    if origin == client.server:
        return Finding("results url", "ok", f"{origin} leads here")
    try:
        async with Client(origin) as other:  # without a key: nobody has named that host
            there = await other.liveness()
    except BatchyardError:
        there = None
    if there is not None:
        return Finding("results url", "ok", f"{origin} leads to a Batchyard {there.version}")
    return Finding(
        "results url",
        "error",
        f"{origin} does not lead to the server, so the SDKs cannot fetch results",
        f"tell the server how clients reach it: batchyard serve --public-url {client.server}",
    )


def examine_data(directory: Path) -> Iterator[Finding]:
    """Findings about a data directory on this machine."""
    try:
        found = directory.stat()
    except FileNotFoundError:
        yield Finding("data", "skipped", f"{directory} does not exist; nothing was kept there yet")
        return
    except OSError as error:
        yield Finding("data", "error", f"{directory}: {error.strerror}", "check --data-dir")
        return
    mode = stat.S_IMODE(found.st_mode)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        fix = f"run the server as the owner, or: chown -R $USER {directory}"
        yield Finding("data", "error", f"{directory} cannot be written by this user", fix)
    elif mode & 0o077:
        fix = f"chmod 700 {directory}"
        yield Finding("data", "error", f"{directory} is open to others (mode {mode:o})", fix)
    else:
        yield Finding("data", "ok", f"{directory}   mode {mode:o}")
    free = shutil.disk_usage(directory).free
    verdict: Verdict = "error" if free < FREE_BYTES_MIN else "warning"
    if free >= FREE_BYTES_LOW:
        verdict = "ok"
    fix = "" if verdict == "ok" else "make room: without it creates are refused and results wait"
    yield Finding("space", verdict, f"{free / 1024**3:.1f} GiB free", fix, fix and "disk_full")
