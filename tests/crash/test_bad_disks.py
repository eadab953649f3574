"""Disks that are full, limited, or fail at a sync, under the whole server.

Without space: creates are refused in words, at once; reads go on; results are held and the work is
taken up again by the same processes. After a failed sync: the process exits, and the next one knows
what it can read.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash.disks import small_disk
from tests.crash.figures import Figures
from tests.crash.ledger import Ledger, Promised
from tests.crash.lengths import rounds, timeout
from tests.crash.tracing import Strace
from tests.live.conftest import Serve
from tests.live.harness.calls import Calls, body_of, requests
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = timeout(180)

DISK_BYTES = 96 * 1024 * 1024
"""More than the 64 MiB below which a server calls itself not ready."""

LIMIT_BYTES = 16 * 1024
AT_ONCE_SECONDS = 2.0
"""A refusal takes milliseconds; a loaded machine is given more."""


@pytest.mark.usefixtures("small_disks")
def test_a_full_disk_refuses_creates_holds_results_and_goes_on_by_itself(
    serve: Serve, upstream: Upstream, figures: Figures
) -> None:
    with small_disk(DISK_BYTES) as folder:
        server = serve(*_engine(upstream), data_dir=folder / "data")
        _without_space(server, upstream, figures, lambda: _ballast(folder / "ballast"))
        assert server.stop() == 0


def test_a_limit_on_file_sizes_is_a_full_disk(
    serve: Serve, upstream: Upstream, figures: Figures
) -> None:
    server = serve(*_engine(upstream))
    roles = server.roles()
    pids = [roles["api"], roles["dispatch"]]
    _without_space(server, upstream, figures, lambda: _limited(pids))


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("calls", ["fdatasync", "fsync"])
def test_a_dispatch_process_exits_after_a_failed_sync_and_the_next_one_recovers(
    serve: Serve, upstream: Upstream, figures: Figures, calls: str
) -> None:
    server, ledger = serve(*_engine(upstream)), Ledger()
    for number in rounds(2):
        pid = server.pid("dispatch")
        with Strace(pid, calls, f"error=EIO:when={number % 4 + 1}+"):
            started = time.monotonic()
            ledger.acknowledge(tag := f"s{number}", server.calls.create(ledger.entries(tag, 200)))
            server.pid("dispatch", other_than=pid)
            ledger.killed("dispatch", started)
        figures.disk_faults += 1
        assert "Input/output error" in server.tail() or "disk I/O error" in server.tail()
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)
    figures.kills -= len(ledger.kills)  # they went by themselves


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize("calls", ["fdatasync", "fsync"])
def test_an_api_process_acknowledges_nothing_after_a_failed_sync(
    serve: Serve, upstream: Upstream, figures: Figures, calls: str
) -> None:
    server, ledger = serve(*_engine(upstream)), Ledger()
    for number in rounds(2):
        pid = server.pid("api")
        with Strace(pid, calls, f"error=EIO:when={number % 2 + 1}+"):
            started = time.monotonic()
            for tag in (f"a{number}", f"b{number}"):
                with suppress(OSError):
                    answer = server.calls.ask(
                        "POST", "/v1/messages/batches", body_of(ledger.entries(tag, 5))
                    )
                    assert answer.status in (200, 503), answer
                    if answer.status == 200:
                        ledger.acknowledge(tag, answer.json)
            server.pid("api", other_than=pid)
            ledger.killed("api", started)
        server.calls.close()
        figures.disk_faults += 1
    ledger.acknowledge("after", server.calls.create(ledger.entries("after", 5)))
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)
    figures.kills -= len(ledger.kills)


# -- without space --------------------------------------------------------------------------------


def _engine(upstream: Upstream) -> tuple[str, str]:
    return "--engine", f"anthropic+{upstream.url};concurrency=8"


Trouble = Callable[[], AbstractContextManager[None]]


def _without_space(server: Server, upstream: Upstream, figures: Figures, trouble: Trouble) -> None:
    """A batch is half done, then there is no space for a while; the same processes finish it."""
    ledger, calls = Ledger(), server.calls
    early = ledger.acknowledge("early", calls.create(ledger.entries("early", 20)))
    ledger.saw(early, calls.ended(early.batch_id or ""))
    upstream.set(latency=0.1)
    roles = server.roles()
    for number in rounds(1):
        tag = f"held{number}"
        held = ledger.acknowledge(tag, calls.create(ledger.entries(tag, 400)))
        eventually(lambda: upstream.scripted.in_flight > 0, within=20, every=0.005)
        waits = server.log.read_text().count("results_wait")
        with trouble():
            _refused_at_once(calls)
            _reads_work(calls, early, held)
            eventually(
                lambda waits=waits: server.log.read_text().count("results_wait") > waits,  # type: ignore[misc]
                within=20,
                what="results to wait for space",
            )
            ledger.saw(held, calls.batch(held.batch_id or ""))
            _refused_at_once(calls)
        figures.disk_faults += 1
        again = ledger.acknowledge(f"again{number}", _created(calls, ledger, f"again{number}"))
        ledger.saw(again, calls.ended(again.batch_id or "", within=30))
        ledger.saw(held, calls.ended(held.batch_id or "", within=60))
    assert server.roles() == roles
    ledger.audit(calls, upstream.exchanges)
    assert ledger.repeats(upstream.exchanges) == 0
    figures.audited(ledger, upstream.exchanges)


def _reads_work(calls: Calls, early: Promised, held: Promised) -> None:
    for promise in (early, held):
        assert calls.batch(promise.batch_id or "")["id"] == promise.batch_id
    assert len(calls.batches()) >= 2
    assert len(calls.results(early.batch_id or "")) == early.count


def _refused_at_once(calls: Calls) -> None:
    started = time.monotonic()
    answer = calls.ask("POST", "/v1/messages/batches", body_of(requests(300)))
    assert time.monotonic() - started < AT_ONCE_SECONDS
    status, kind, message = answer.error
    assert (status, kind) == (503, "api_error")
    assert "disk is full" in message
    assert message.endswith("[disk_full]")
    assert int(answer.headers["retry-after"]) > 0


def _created(calls: Calls, ledger: Ledger, tag: str) -> Any:
    """Space came back: a create is taken within seconds, by the same process."""
    body = body_of(ledger.entries(tag, 10))
    return eventually(lambda: calls.create(body), within=5, what="a create to be taken again")


@contextmanager
def _ballast(path: Path) -> Iterator[None]:
    """A file that takes all the space there is."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        path.unlink()


@contextmanager
def _limited(pids: list[int]) -> Iterator[None]:
    """No file of these processes may grow beyond a few pages."""
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    try:
        yield
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
