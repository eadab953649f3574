"""`kill -9` aimed at create, plan, cancel and end; and what SIGTERM must not cost."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.crash.figures import Figures
from tests.crash.ledger import Ledger
from tests.crash.test_torture import CONCURRENCY, kill
from tests.live.conftest import Serve
from tests.live.harness.calls import HEADERS, body_of, requests
from tests.live.harness.serving import Server, free_port
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(serve: Serve, upstream: Upstream) -> Server:
    return serve("--engine", f"anthropic+{upstream.url};concurrency={CONCURRENCY}")


def test_a_create_cut_short_leaves_nothing_and_an_answered_one_everything(
    server: Server, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    ledger = Ledger()
    for number, role in enumerate(("api", "all", "api", "supervisor")):
        tag = f"c{number}"
        body = body_of(ledger.entries(tag, 3_000))
        slow = Upload(server.url, body, pieces=20, pause=0.01)
        slow.start()
        time.sleep(dice.uniform(0.0, 0.35))
        kill(server, ledger, role)
        slow.join(30)
        if slow.batch is not None:
            ledger.acknowledge(tag, slow.batch)
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)
    assert len(server.calls.batches()) <= 4
    # What arrived of the others is gone: at the latest the next start clears the spool (I-04).
    eventually(lambda: not _spooled(server.data_dir), within=5, what="an empty spool")


def test_planning_survives_being_killed_again_and_again(
    server: Server, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    upstream.set(latency=0.0)
    ledger = Ledger()
    tag = "plan"
    ledger.acknowledge(tag, server.calls.create(ledger.entries(tag, 6_000)))
    for pause in (0.0, 0.02, 0.05, dice.uniform(0.0, 0.2)):
        time.sleep(pause)
        kill(server, ledger, "dispatch")
    ledger.audit(server.calls, upstream.exchanges, within=90)
    figures.audited(ledger, upstream.exchanges)


def test_a_cancel_answered_before_the_kill_still_holds(
    server: Server, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    upstream.set(latency=0.3)
    ledger = Ledger()
    for number, role in enumerate(("api", "dispatch", "all")):
        tag = f"x{number}"
        promise = ledger.acknowledge(tag, server.calls.create(ledger.entries(tag, 400)))
        time.sleep(dice.uniform(0.1, 0.5))
        promise.cancel_asked = time.monotonic()
        ledger.saw(promise, server.calls.cancel(promise.batch_id or ""))
        promise.cancel_acknowledged = time.monotonic()
        server.calls.close()
        kill(server, ledger, role)
        seen = server.calls.batch(promise.batch_id or "")
        ledger.saw(promise, seen)
        assert seen["processing_status"] in ("canceling", "ended")
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)
    for promise in ledger.acknowledged():
        assert promise.last is not None
        assert promise.last["request_counts"]["canceled"] >= 200


def test_the_end_is_all_or_nothing(
    server: Server, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    upstream.set(latency=0.05)
    ledger = Ledger()
    for number, role in enumerate(("dispatch", "all", "dispatch", "supervisor")):
        tag = f"e{number}"
        promise = ledger.acknowledge(tag, server.calls.create(ledger.entries(tag, 64)))
        nearly = dice.randrange(0, 24)

        def almost(promise=promise, nearly=nearly) -> bool:  # type: ignore[no-untyped-def]
            seen = server.calls.batch(promise.batch_id or "")
            ledger.saw(promise, seen)
            return bool(seen["request_counts"]["processing"] <= nearly)

        eventually(almost, within=30, every=0.002)
        server.calls.close()
        kill(server, ledger, role)
        ledger.saw(promise, server.calls.batch(promise.batch_id or ""))
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)


def test_sigterm_costs_no_repeats_and_leaves_no_process(
    server: Server, upstream: Upstream, figures: Figures
) -> None:
    ledger = Ledger()
    promise = ledger.acknowledge("term", server.calls.create(ledger.entries("term", 800)))
    for seen in (50, 200, 350):
        eventually(lambda seen=seen: len(upstream.exchanges) >= seen, within=30, every=0.005)  # type: ignore[misc]
        server.calls.close()
        assert server.stop() == 0
        assert server.pids() == []
        server.start()
        ledger.saw(promise, server.calls.batch(promise.batch_id or ""))
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)
    assert ledger.repeats(upstream.exchanges) == 0
    assert not any(exchange.gone for exchange in upstream.exchanges)


def test_ctrl_c_on_the_terminal_is_a_clean_stop(server: Server, upstream: Upstream) -> None:
    """A terminal sends SIGINT to the whole foreground group, children included."""
    ledger = Ledger()
    ledger.acknowledge("int", server.calls.create(ledger.entries("int", 300)))
    eventually(lambda: len(upstream.exchanges) >= 40, within=30, every=0.005)
    server.calls.close()
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(30) in (0, 130)
    server.wait_gone()
    server.start()
    ledger.audit(server.calls, upstream.exchanges)
    assert ledger.repeats(upstream.exchanges) == 0


def test_a_second_server_on_the_same_data_refuses_and_touches_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.calls.run([{"custom_id": "a", "params": {"model": "echo-1", "max_tokens": 1}}])
    before = _fingerprint(server.data_dir)
    second = Server(tmp_path, "--engine", "simulator")
    second.data_dir = server.data_dir
    try:
        second.launch()
        assert second.process is not None
        assert second.process.wait(20) != 0
        said = second.tail()
        assert str(server.data_dir) in said
        assert "Traceback" not in said
        second.wait_gone()
    finally:
        second.discard()
    assert _fingerprint(server.data_dir) == before
    assert server.calls.ask("GET", "/readyz").status == 200


def test_a_supervisor_that_died_can_be_started_again_at_once(server: Server) -> None:
    """As systemd does: the orphaned children may still be leaving, and hold the lock."""
    assert server.process is not None
    server.process.kill()
    server.process.wait(10)
    server.start()
    assert server.calls.ask("GET", "/readyz").status == 200
    eventually(lambda: len(server.pids()) == 3, within=10, what="one supervisor and two children")


def test_a_restart_with_much_unfinished_work_is_quick(serve: Serve) -> None:
    nobody = f"anthropic+http://127.0.0.1:{free_port()}"
    server = serve("--engine", nobody)
    for number in range(100):
        server.calls.create(requests(200, model="m", prefix=f"b{number}"))
    server.calls.close()
    server.kill_all()
    started = time.monotonic()
    server.start()
    assert time.monotonic() - started < 5
    counts = [batch["request_counts"] for batch in server.calls.batches()]
    assert [count["processing"] for count in counts] == [200] * 100


def test_the_data_is_only_for_its_owner(server: Server) -> None:
    server.calls.run([{"custom_id": "a", "params": {"model": "echo-1", "max_tokens": 1}}])
    assert server.data_dir.stat().st_mode & 0o777 == 0o700
    for path in server.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


class Upload(threading.Thread):
    """A create whose body arrives piece by piece; `batch` is the answer, if one came."""

    def __init__(self, url: str, body: bytes, *, pieces: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._url, self._body, self._pieces, self._pause = url, body, pieces, pause
        self.batch: dict[str, object] | None = None

    def run(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            self._send()

    def _send(self) -> None:
        parts = urlsplit(self._url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
        with closing(connection):
            self._through(connection)

    def _through(self, connection: http.client.HTTPConnection) -> None:
        connection.putrequest("POST", "/v1/messages/batches")
        for name, value in {**HEADERS, "content-type": "application/json"}.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(self._body)))
        connection.endheaders()
        step = -(-len(self._body) // self._pieces)
        for start in range(0, len(self._body), step):
            connection.send(self._body[start : start + step])
            time.sleep(self._pause)
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        self.batch = json.loads(content)


def _spooled(data_dir: Path) -> list[Path]:
    return list((data_dir / "spool").glob("*"))


def _fingerprint(data_dir: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything that a stranger must not touch."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and not path.name.startswith("batchyard.db")
    }
