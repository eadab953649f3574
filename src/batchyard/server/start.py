"""How a server starts: lock, listen, look for engines, start the halves, say where it is."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from batchyard.clock import SystemClock
from batchyard.config import Settings
from batchyard.engine import Model
from batchyard.errors import ConfigurationError, StorageFailed
from batchyard.routing import Routing
from batchyard.server import listen
from batchyard.server.banner import banner, show
from batchyard.server.engines.specs import parse_specs
from batchyard.server.engines.survey import Survey, survey
from batchyard.server.processes.errand import Errand, Role
from batchyard.server.processes.kept import REFUSED, KeptProcess
from batchyard.server.processes.supervisor import Supervisor
from batchyard.store.lock import lock, lock_half
from batchyard.telemetry import configure_logging

OnReady = Callable[[str | None, Sequence[str]], None]


def serve(
    settings: Settings, *, until_stdin_ends: bool = False, on_ready: OnReady | None = None
) -> int:
    """Run a server until it is asked to stop; returns the exit status. See `server.run`.

    Raises `ConfigurationError`, `DataDirectoryBusy` or `StorageFailed` for what can never run.
    """
    configure_logging(settings.log_level, process="supervisor")
    os.umask(0o077)
    _allow_many_files()
    specs = parse_specs(settings.engines, os.environ)
    with ExitStack() as stack:
        held = _lock(settings)
        for descriptor in held:
            stack.callback(os.close, descriptor)
        listener = None
        if settings.role != "dispatch":
            _refuse_exposure(settings)
            listener = stack.enter_context(listen.bind(settings.host, settings.port))
        found = asyncio.run(survey(specs, settings))
        processes = _processes(settings, found, held, listener)
        supervisor = Supervisor(
            processes, drain_seconds=settings.drain_seconds, until_stdin_ends=until_stdin_ends
        )

        def say_where() -> None:
            news = {key: value for process in processes for key, value in process.news.items()}
            origin = listen.origin(listener) if listener is not None else None
            _announce(settings, found, news, origin, on_ready)

        return _outcome(asyncio.run(supervisor.run(say_where)), processes)


def _processes(
    settings: Settings, found: Survey, held: Sequence[int], listener: socket.socket | None
) -> list[KeptProcess]:
    """The halves of the server, not started yet."""
    roles: list[Role] = ["dispatch", "api"] if settings.role == "all" else [settings.role]
    processes = []
    for role in roles:
        fd = listener.fileno() if listener is not None and role == "api" else None
        processes.append(
            KeptProcess(
                Errand(role, settings, found.specs, listen_fd=fd),
                pass_fds=[*held, *([fd] if fd is not None else [])],
                clock=SystemClock(),
            )
        )
    return processes


def _outcome(status: int, processes: Sequence[KeptProcess]) -> int:
    """The exit status; what a process refused to do is raised in its own words."""
    complaint = next((process.complaint for process in processes if process.complaint), None)
    if status and complaint:
        kind = ConfigurationError if status == REFUSED else StorageFailed
        raise kind(str(complaint["error"]), fix=complaint.get("fix"))
    return status


def _announce(
    settings: Settings,
    found: Survey,
    news: dict[str, object],
    origin: str | None,
    on_ready: OnReady | None,
) -> None:
    told = news.get("models")
    found = found.with_models(told if isinstance(told, dict) else {})
    routing = Routing(
        [spec.name for spec in found.specs],
        aliases=settings.models.aliases,
        auto_alias=settings.auto_alias and listen.is_loopback(settings.host),
    )
    for spec, seen in zip(found.specs, found.found, strict=False):
        if seen.models is not None:
            routing.learn(spec.name, [Model(model) for model in seen.models])
    if on_ready is not None:
        on_ready(origin, [model.id for model in routing.models()])
        return
    keys = bool(news.get("keys"))
    show(banner(settings, origin=origin, engines=found.found, routing=routing, keys=keys))


def _lock(settings: Settings) -> list[int]:
    if settings.role == "all":
        return [lock(settings.data_dir)]
    return lock_half(settings.data_dir, settings.role)


def _refuse_exposure(settings: Settings) -> None:
    """Beyond this machine only with keys, or with the operator's word that none are wanted."""
    if listen.is_loopback(settings.host) or settings.insecure_no_auth or _has_keys(settings):
        return
    raise ConfigurationError(
        f"refusing to listen on {settings.host}:{settings.port} without API keys: anyone on the "
        "network could read and run batches",
        fix="batchyard keys create --name me            (then start again)\n"
        "or: batchyard serve --host 127.0.0.1           (this computer only)\n"
        "or: batchyard serve --insecure-no-auth         (you accept the risk)",
    )


def _has_keys(settings: Settings) -> bool:
    if not (settings.data_dir / "batchyard.db").exists():
        return False
    from batchyard.store.store import open_store

    store = open_store(settings.data_dir, SystemClock())
    try:
        return store.keys.any()
    finally:
        asyncio.run(store.close())


def _allow_many_files() -> None:
    """Sockets and segments count as files; the soft limit of many systems is only 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
