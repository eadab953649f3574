"""How the server is: `/livez`, `/readyz[?verbose]`, `/health`, for probes and for people."""

from __future__ import annotations

import shutil
from typing import Literal

import msgspec
from starlette.responses import PlainTextResponse, Response

from batchyard import telemetry, wire
from batchyard.api.auth import Gate
from batchyard.api.call import Call
from batchyard.api.context import ApiContext
from batchyard.clock import SECOND, rfc3339
from batchyard.store.store import EngineReport

DISK_FREE_BYTES_MIN = 64 * 1024 * 1024
"""Below this, creates are about to be refused: a load balancer should look elsewhere."""

SILENT_SECONDS = 30
"""How long the dispatch process may say nothing before the page mentions it."""

_log = telemetry.logger("batchyard.api")


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that readiness depends on. `detail` is for people."""

    name: str
    ok: bool
    detail: str = ""
    free_bytes: int | None = None


class EngineState(msgspec.Struct, frozen=True):
    """An engine as the dispatch process last saw it; `reason` says why it is not up."""

    name: str
    kind: str
    url: str
    state: str  # starting, up, waiting or paused
    reason: str
    since: str
    in_flight: int
    limit: int
    models: list[str]


class Readiness(msgspec.Struct, frozen=True):
    """The JSON form of `/readyz?verbose`."""

    status: Literal["ok", "failed"]
    version: str
    checks: list[Check]
    engines: list[EngineState]


class Status(msgspec.Struct, frozen=True):
    """The JSON form of the short answers."""

    status: Literal["ok", "failed"]
    version: str


class Ops:
    """The handlers of the probes. They need no key; only the verbose page does, where keys exist.

    Ready means that a create would be written down. An engine that is down does not make the
    server unready: its work waits.
    """

    def __init__(self, context: ApiContext, gate: Gate) -> None:
        self._context = context
        self._gate = gate

    async def livez(self, call: Call) -> Response:
        """The process answers."""
        return self._short(call, ok=True)

    async def readyz(self, call: Call) -> Response:
        """Whether a create would be accepted; with `?verbose` everything that is known."""
        verbose = call.query_params.get("verbose", "0") not in ("0", "false")
        if verbose:
            self._gate.admit(call)
        reports, catalog = await self._catalog()
        checks = [catalog, *self._disk()]
        ok = all(check.ok for check in checks)
        if not verbose:
            return self._short(call, ok=ok)
        shown = Readiness(
            status="ok" if ok else "failed",
            version=self._context.version,
            checks=[*checks, *self._dispatch(reports)],
            engines=[_state(report) for report in reports],
        )
        status = 200 if ok else 503
        if _wants_json(call):
            return Response(wire.encode(shown), status, media_type="application/json")
        return PlainTextResponse(_text(shown), status)

    def _short(self, call: Call, *, ok: bool) -> Response:
        status = 200 if ok else 503
        if _wants_json(call):
            body = wire.encode(Status("ok" if ok else "failed", self._context.version))
            return Response(body, status, media_type="application/json")
        return PlainTextResponse("ok\n" if ok else "failed: see /readyz?verbose\n", status)

    async def _catalog(self) -> tuple[list[EngineReport], Check]:
        try:
            reports = await self._context.store.engine_reports()
        except Exception as error:  # noqa: BLE001 - whatever the database says, the page tells it
            _log.error("catalog_unreadable", error=repr(error)[:500])
            return [], Check("catalog", ok=False, detail="cannot be read; the log has the cause")
        return reports, Check("catalog", ok=True)

    def _disk(self) -> list[Check]:
        if self._context.data_dir is None:
            return []
        free = shutil.disk_usage(self._context.data_dir).free
        detail = f"{free / 2**30:.1f} GiB free"
        return [Check("disk", ok=free >= DISK_FREE_BYTES_MIN, detail=detail, free_bytes=free)]

    def _dispatch(self, reports: list[EngineReport]) -> list[Check]:
        """Whether the dispatch process has spoken lately. Creates are accepted without it."""
        if not reports:
            return [Check("dispatch", ok=False, detail="has not reported yet")]
        newest = max(report.updated_at for report in reports)
        silent = (self._context.clock.now() - newest) // SECOND
        if silent > SILENT_SECONDS:
            return [Check("dispatch", ok=False, detail=f"silent for {silent} s; work waits")]
        return [Check("dispatch", ok=True)]


def _state(report: EngineReport) -> EngineState:
    return EngineState(
        name=report.name,
        kind=report.kind,
        url=report.url,
        state=report.state,
        reason=report.reason,
        since=rfc3339(report.since),
        in_flight=report.in_flight,
        limit=report.limit,
        models=[model.id for model in report.models],
    )


def _text(shown: Readiness) -> str:
    """The page for a terminal: one line for each check and engine."""
    lines = [
        f"[{'+' if check.ok else '-'}] {check.name} {check.detail}".rstrip()
        for check in shown.checks
    ]
    for engine in shown.engines:
        mark = "+" if engine.state == "up" else "-"
        where = f" at {engine.url}" if engine.url else ""
        reason = f": {engine.reason}" if engine.reason else ""
        lines.append(
            f"[{mark}] engine {engine.name} ({engine.kind}{where}) {engine.state}{reason}"
            f"; {engine.in_flight} of {engine.limit} in flight; since {engine.since}"
            f"; models: {', '.join(engine.models) or 'any'}"
        )
    lines.append(f"batchyard {shown.version}: {shown.status}")
    return "\n".join(lines) + "\n"


def _wants_json(call: Call) -> bool:
    return "application/json" in call.headers.get("accept", "")
