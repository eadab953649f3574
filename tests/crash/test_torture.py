"""`kill -9` at random moments under load, then the audit: nothing lost, doubled, undone or left.

Thirty-odd kills in this folder: eighteen here, at moments nobody chose, the others in
`test_moments.py`, aimed at create, plan, cancel and end.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress

from tests.crash.figures import Figures
from tests.crash.ledger import Ledger
from tests.crash.lengths import rounds, timeout
from tests.crash.user import User
from tests.live.conftest import Serve
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = timeout(240)

KILLS = 18
CONCURRENCY = 16
ROLES = ("supervisor", "api", "dispatch", "all")


def kill(server: Server, ledger: Ledger, role: str) -> None:
    """Kill one process or all; return when there is a whole server again."""
    old = server.pid("api" if role in ("supervisor", "all") else role)
    started = time.monotonic()
    if role == "all":
        server.kill_all()
    elif role == "supervisor":
        server.kill_supervisor()
    else:
        server.kill(role)
    ledger.killed(role, started)
    if role in ("supervisor", "all"):
        server.start()
    else:
        server.pid(role, other_than=old)


def test_nothing_acknowledged_is_lost_by_kills_at_random_moments(
    serve: Serve, upstream: Upstream, dice: random.Random, figures: Figures
) -> None:
    server = serve("--engine", f"anthropic+{upstream.url};concurrency={CONCURRENCY}")
    ledger = Ledger()
    with User(server.url, ledger, dice.randrange(10**6), sizes=(1, 2, 40, 200, 400)) as user:
        for number in rounds(KILLS):
            _until_busy(upstream)
            time.sleep(dice.uniform(0.0, 0.6))
            kill(server, ledger, ROLES[number % 4] if number < 8 else dice.choice(ROLES))
        before = user.answers
        eventually(lambda: user.answers > before, within=15, what="calls after the last kill")
    ledger.audit(server.calls, upstream.exchanges)
    figures.audited(ledger, upstream.exchanges)

    assert len(ledger.kills) >= KILLS
    assert len(ledger.acknowledged()) >= 5
    # A run that never interrupted a call would prove nothing.
    assert any(exchange.gone for exchange in upstream.exchanges)
    assert figures.repeats <= len(ledger.kills) * 3 * CONCURRENCY
    assert server.stop() == 0


def _until_busy(upstream: Upstream) -> None:
    """Wait a little for calls in flight, so that most kills interrupt some."""
    with suppress(AssertionError):
        eventually(lambda: upstream.scripted.in_flight > 0, within=5, every=0.005)
