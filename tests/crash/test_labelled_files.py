"""A file of 20,000 rows labelled through five kills, on an engine of one's own and elsewhere."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.ledger import Kill
from tests.crash.repeats import check_costs, costs
from tests.live.harness.serving import clean_environment
from tests.live.harness.upstream import Upstream
from tests.live.harness.waiting import eventually
from tests.pipeline.another_server.faults import Faults
from tests.pipeline.another_server.process import started
from tests.upstreams import faults
from tests.upstreams.connection import Exchange

ROWS, KILLS = 20_000, 5
TRANSIENT, PERMANENT = 50, 100
"""Every so many rows fail once, or each time until the engine is healed."""

ASK = ("--prompt", "Say it: {{ text }}", "--no-sample", "--yes", "--progress", "json")
HUNG_SECONDS = 180

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    with (tmp_path / "in.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text"])
        rows.writerows([n, f"marker=ROW-{n}"] for n in range(ROWS))
    return tmp_path


def start(here: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "batchyard", *words],
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment({"ANTHROPIC_API_KEY": "key"}),
        start_new_session=True,
    )


def finish(here: Path, *words: str) -> tuple[int, str]:
    with start(here, *words) as process:
        out, _ = process.communicate(timeout=HUNG_SECONDS)
        return process.returncode, out.decode()


def killed_on_its_way(here: Path, words: tuple[str, ...], dice: random.Random) -> list[Kill]:
    """Run until a random event, `kill -9` it and all it started; so five times."""
    kills = []
    while len(kills) < KILLS:
        with start(here, *words) as process:
            assert process.stdout is not None
            events = [process.stdout.readline() for _ in range(dice.randrange(1, 4))]
            time.sleep(dice.random())
            assert process.poll() is None, ("it ended before its kill", len(kills), events)
            since = time.monotonic()
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            # What it started ends by itself.
            eventually(lambda: not any(at_work(here)), within=10, what="its server to be gone")
            kills.append(Kill("run", since, time.monotonic()))
    return kills


def at_work(here: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(here / ".batchyard") in words:
                found.append(int(entry.name))
    return found


def labelled(here: Path) -> list[dict[str, str]]:
    with (here / "in.labelled.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(ROWS)], "not all, or out of order"
    return rows


def check(
    here: Path, words: tuple[str, ...], failing: Counter[str], heal: Callable[[], object]
) -> None:
    """The run ends with its failures by kind, exit code 3; the retry on a healed engine with 0."""
    code, said = finish(here, *words)
    assert code == 3, said
    rows = labelled(here)
    assert Counter(row["_error_type"] for row in rows if row["_status"] != "succeeded") == failing
    told = json.loads(said.splitlines()[-1])
    assert {one["kind"]: one["rows"] for one in told["failed"]} == failing
    heal()
    code, said = finish(here, "retry", "--progress", "json")
    assert code == 0, said
    assert {row["_status"] for row in labelled(here)} == {"succeeded"}


def test_on_an_engine_of_its_own_a_killed_run_repeats_what_was_in_flight_at_most(
    here: Path, dice: random.Random
) -> None:
    healed = False

    def fate(exchange: Exchange) -> faults.Fault | None:
        row = int(exchange.marker.removeprefix("ROW-") or -1)
        if row % PERMANENT == 1 and not healed:
            return faults.status(400)
        return faults.status(500) if row % TRANSIENT == 2 and exchange.attempt == 1 else None

    def heal() -> None:
        nonlocal healed
        healed = True

    with Upstream(latency=0.1) as upstream:
        upstream.scripted.decide = fate
        words = ("run", "in.csv", *ASK, "--engine", f"anthropic+{upstream.url}")
        kills = killed_on_its_way(here, words, dice)
        permanent = sum(n % PERMANENT == 1 for n in range(ROWS))
        check(here, words, Counter(invalid_request=permanent), heal)
        answered = [one for one in upstream.exchanges if one.marker and one.status in (None, 200)]
        assert {one.marker for one in answered} == {f"ROW-{n}" for n in range(ROWS)}
        check_costs(costs(kills, answered))


def test_on_a_server_of_another_make_a_killed_run_asks_no_row_twice(
    here: Path, dice: random.Random
) -> None:
    (state := here / "elsewhere").mkdir()
    known = Faults(seed=7, transient=0.02, permanent=0.01)
    told = {"seed": 7, "transient": 0.02, "permanent": 0.01, "lose_creates": 1, "seconds": 1.0}
    with started(state, faults=told, model=["echo-1"]) as server:
        words = ("run", "in.csv", *ASK, "--server", server.url, "--model", "echo-1",
                 "--batch-size", "3000", "--in-process", "2")  # fmt: skip
        killed_on_its_way(here, words, dice)
        assert set(server.times_asked().values()) <= {1}
        fates = Counter(known.fate(f"x-1-{n}", 1) for n in range(ROWS))
        kinds = Counter(invalid_request=fates["permanent"], overloaded=fates["transient"])
        check(here, words, kinds, server.heal)
        again = Counter(server.times_asked().values())
        assert again == {1: ROWS - kinds.total(), 2: kinds.total()}
