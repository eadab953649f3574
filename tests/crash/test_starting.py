"""Kills while the program starts: the next start finds everything, or begins afresh."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.crash.figures import Figures
from tests.crash.ledger import Ledger
from tests.crash.lengths import rounds, timeout
from tests.live.conftest import Serve
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream

pytestmark = timeout(180)

STARTS = 4
START_SECONDS = 1.2
"""About what a start takes; a kill falls somewhere in it."""


def test_a_start_with_work_to_do_may_be_killed_at_any_moment(
    serve: Serve, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    server, ledger = serve("--engine", f"anthropic+{upstream.url};concurrency=8"), Ledger()
    for number in rounds(STARTS):
        tag = f"s{number}"
        ledger.acknowledge(tag, server.calls.create(ledger.entries(tag, 60)))
        server.calls.close()
        _kill(server, ledger, "all")
        _start_in_vain(server, ledger, dice)
        figures.starts_killed += 1
        server.start()
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)


def test_the_very_first_start_may_be_killed_at_any_moment(
    tmp_path: Path, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    for number in rounds(STARTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        server = Server(folder, "--engine", f"anthropic+{upstream.url};concurrency=8")
        ledger = Ledger()
        try:
            _start_in_vain(server, ledger, dice)
            figures.starts_killed += 1
            server.start()
            upstream.clear()
            ledger.acknowledge("first", server.calls.create(ledger.entries("first", 5)))
            ledger.audit(server.calls, upstream.exchanges)
            figures.audited(ledger, upstream.exchanges)
        finally:
            server.discard()


def _start_in_vain(server: Server, ledger: Ledger, dice: random.Random) -> None:
    server.launch()
    time.sleep(dice.uniform(0.0, START_SECONDS))
    _kill(server, ledger, dice.choice(("all", "supervisor")))


def _kill(server: Server, ledger: Ledger, role: str) -> None:
    started = time.monotonic()
    if role == "all":
        server.kill_all()
    else:
        server.kill_supervisor()
    ledger.killed(role, started)
