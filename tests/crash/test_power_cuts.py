"""The power goes while the server works: what was acknowledged or counted is on the disk.

The data lies on an ext4 file system of its own, in a file. Everything is killed, the file is copied
as it is, without anything that was not synced, and the next server starts on the copy.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.crash.disks import JOURNALS, disk
from tests.crash.figures import Figures
from tests.crash.ledger import Ledger
from tests.crash.lengths import rounds, timeout
from tests.crash.test_torture import CONCURRENCY
from tests.crash.user import User
from tests.live.conftest import Serve
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually

pytestmark = [timeout(240), pytest.mark.usefixtures("loop_disks")]

CUTS = 4


@pytest.mark.parametrize("journal", JOURNALS)
def test_a_power_cut_loses_no_acknowledged_create_and_no_counted_result(
    serve: Serve, upstream: Upstream, dice: random.Random, figures: Figures, journal: str
) -> None:
    ledger = Ledger()
    upstream.set(latency=0.15)  # what is in flight is still there when the last process has died
    with disk(journal) as mounted:
        server = serve(
            "--engine", f"anthropic+{upstream.url};concurrency={CONCURRENCY}",
            data_dir=mounted.folder / "data",
        )  # fmt: skip
        for _ in rounds(CUTS):
            seed = dice.randrange(10**6)
            with User(server.url, ledger, seed, sizes=(1, 40, 200)) as user:
                time.sleep(dice.uniform(0.0, 0.5))
                _until_busy(user, upstream)
                started = time.monotonic()
                server.kill_all()
                ledger.killed("power", started)
                mounted.cut()
                figures.power_cuts += 1
            server.start()
        ledger.audit(server.calls, upstream.exchanges)
        server.stop()
    figures.audited(ledger, upstream.exchanges)
    assert any(exchange.gone for exchange in upstream.exchanges)


@pytest.mark.parametrize("journal", JOURNALS)
def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(journal: str) -> None:
    """Otherwise the test above would prove nothing."""
    with disk(journal) as mounted:
        _write(mounted.folder / "synced", b"there", sync=True)
        with (mounted.folder / "synced").open("ab", buffering=0) as file:
            file.write(b" and a tail")
        _write(mounted.folder / "forgotten", b"gone", sync=False)
        mounted.cut()
        assert (mounted.folder / "synced").read_bytes() == b"there"
        assert not (mounted.folder / "forgotten").exists()


def _write(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(content)
        if sync:
            os.fsync(file.fileno())


def _until_busy(user: User, upstream: Upstream) -> None:
    before = user.answers
    with suppress(AssertionError):
        eventually(
            lambda: user.answers > before + 5 and upstream.scripted.in_flight > 2,
            within=10,
            every=0.005,
        )
