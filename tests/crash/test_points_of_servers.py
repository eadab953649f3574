"""Death at the N-th file operation of a whole server: its api or its dispatch process is traced.

A sample where `test_points_of_acts.py` is exhaustive; here the supervisor, HTTP, an engine and
everything that happens at the same time are there too, and the audit is the one from outside.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.crash.figures import Figures
from tests.crash.ledger import Ledger, Promised
from tests.crash.lengths import rounds, timeout
from tests.crash.test_torture import CONCURRENCY, kill
from tests.crash.tracing import IN_SERVERS, Strace
from tests.live.conftest import Serve
from tests.live.harness.serving import Server, alive
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = [timeout(240), pytest.mark.usefixtures("strace")]

API_POINTS = 9
DISPATCH_POINTS = 8
FRESH_AFTER_DEATHS = 2
"""The supervisor waits longer after each death; a fresh one is quicker."""


class Points:
    """One server, and the deaths it dies."""

    def __init__(self, server: Server, upstream: Upstream, dice: random.Random) -> None:
        self.server, self.upstream, self.dice = server, upstream, dice
        self.ledger = Ledger()
        self.deaths = 0

    @contextmanager
    def point(self, role: str, calls: str, number: int) -> Iterator[Callable[[], bool]]:
        """Inside, the process of that role dies at its N-th such call; gives a question: is it
        still alive? At the end there is a whole server again."""
        pid = self.server.pid(role)
        with Strace(pid, calls, f"signal=KILL:when={number}") as tracer:
            yield lambda: alive(pid)
        if tracer.died is None:
            return
        self.deaths += 1
        self.server.calls.close()
        self.ledger.killed(role, tracer.died - 0.001)
        if self.deaths % FRESH_AFTER_DEATHS == 0:
            kill(self.server, self.ledger, "supervisor")
        else:
            self.server.pid(role, other_than=pid)

    def create(self, count: int) -> Promised | None:
        """A new batch; None when no answer came."""
        tag = f"p{len(self.ledger.promised)}"
        entries = self.ledger.entries(tag, count)
        with suppress(OSError):
            return self.ledger.acknowledge(tag, self.server.calls.create(entries))
        return None

    def created(self, count: int) -> Promised:
        """A batch that is there for certain."""
        return eventually(lambda: self.create(count), within=20)  # type: ignore[return-value]

    def cancel(self, promise: Promised) -> None:
        promise.cancel_asked = promise.cancel_asked or time.monotonic()
        with suppress(OSError):
            self.ledger.saw(promise, self.server.calls.cancel(promise.batch_id or ""))
            promise.cancel_acknowledged = promise.cancel_acknowledged or time.monotonic()

    def ended(self, promise: Promised) -> None:
        self.ledger.saw(promise, self.server.calls.ended(promise.batch_id or "", within=30))

    def delete(self, promise: Promised) -> None:
        promise.delete_asked = True
        with suppress(OSError):
            path = f"/v1/messages/batches/{promise.batch_id}"
            answer = self.server.calls.ask("DELETE", path)
            assert answer.status in (200, 404), answer
            promise.deleted = True

    def audit(self, figures: Figures) -> None:
        self.ledger.audit(self.server.calls, self.upstream.exchanges)
        figures.audited(self.ledger, self.upstream.exchanges)
        figures.crash_points += self.deaths


@pytest.fixture
def points(serve: Serve, upstream: Upstream, dice: random.Random) -> Points:
    server = serve("--engine", f"anthropic+{upstream.url};concurrency={CONCURRENCY}")
    return Points(server, upstream, dice)


API = {
    "create": {"openat": 3, "?mkdir,mkdirat": 1, "?rename,renameat,renameat2": 1, "fsync": 2,
               "fdatasync": 3, "pwrite64": 8},
    "cancel": {"fdatasync": 1, "pwrite64": 2},
    "delete": {"fdatasync": 1, "pwrite64": 2, "?unlink,unlinkat": 3, "?rmdir": 3},
}  # fmt: skip
"""How many such calls each act has at the least, in one thread."""


def test_an_api_process_that_dies_at_any_file_operation_keeps_its_word(
    points: Points, figures: Figures
) -> None:
    for number in rounds(API_POINTS):
        act = list(API)[number % len(API)]
        calls, most = points.dice.choice(list(API[act].items()))
        promise = None if act == "create" else points.created(4 if act == "delete" else 400)
        if act == "delete" and promise is not None:
            points.ended(promise)
        with points.point("api", calls, points.dice.randint(1, most)):
            if promise is None:
                points.create(20)
            elif act == "cancel":
                points.cancel(promise)
            else:
                points.delete(promise)
    assert points.deaths >= 0.7 * number
    points.audit(figures)


DISPATCH = {
    "openat": 8, "?mkdir,mkdirat": 2, "fsync": 4, "fdatasync": 6, "pwrite64": 12, "ftruncate": 1,
    "?unlink,unlinkat": 1,
}  # fmt: skip
RECOVERY = {"fsync": 2, "fdatasync": 3, "pwrite64": 6}


def test_a_dispatch_process_that_dies_at_any_file_operation_loses_and_doubles_nothing(
    points: Points, figures: Figures
) -> None:
    """From the plan over the results to the end; every other time while it recovers from a death
    in the middle of another batch."""
    for number in rounds(DISPATCH_POINTS):
        recovers = number % 2 == 1
        kinds = RECOVERY if recovers else DISPATCH
        calls, most = points.dice.choice(list(kinds.items()))
        if recovers:
            points.created(200)
            eventually(lambda: points.upstream.scripted.in_flight > 8, within=20, every=0.005)
            kill(points.server, points.ledger, "dispatch")
        with points.point("dispatch", calls, points.dice.randint(1, most)) as living:
            promise = points.created(60)
            while living():
                batch = points.server.calls.batch(promise.batch_id or "")
                points.ledger.saw(promise, batch)
                if batch["processing_status"] == "ended":
                    break
                time.sleep(0.01)
    assert points.deaths >= 0.6 * number
    points.audit(figures)


def test_the_calls_of_servers_are_those_that_change_files() -> None:
    named = {calls for kinds in (*API.values(), DISPATCH, RECOVERY) for calls in kinds}
    assert named <= set(IN_SERVERS)
