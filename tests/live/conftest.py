"""Fixtures of the outside tests: servers started on demand and always stopped."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.live.harness.serving import Server

Serve = Callable[..., Server]
_alive: list[Server] = []


def _starter() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(*flags: str, ready: bool = True, **options: object) -> Server:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="batchyard-"))
            server = Server(Path(directory), *flags, **options)  # type: ignore[arg-type]
            _alive.append(server)
            stack.callback(_alive.remove, server)
            stack.callback(server.discard)
            return server.start() if ready else server.launch()

        yield start


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(*flags)` starts a server on a fresh data directory, for one test."""
    yield from _starter()


@pytest.fixture(scope="module")
def serve_module() -> Iterator[Serve]:
    """Like `serve`, for servers that the tests of a module share."""
    yield from _starter()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The simulator server most outside tests share; they tell their batches apart by id."""
    for start in _starter():
        yield start("--engine", "simulator:latency=1ms")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """What every living server printed goes into the report of a failed test."""
    report = yield
    if report.failed:
        for server in _alive:
            report.sections.append((f"server at {server.url}", server.tail()))
    return report
