"""Real processes, killed with `kill -9` wherever they are, against a server of another make."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.pipeline.run import RunStore
from tests.pipeline.another_server.faults import Faults
from tests.pipeline.another_server.process import ROOT, Process, started

ROWS = 3_000
KILLS = 5
SECONDS_MAX = 120


def lives(home: Path, url: str, file: Path, lines: int | None) -> bool:
    """Run a child for so many lines of progress, None for to the end; whether it came there."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.run.child", str(home), url, str(file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for count, _ in enumerate(child.stdout, 1):
            if count == lines:
                child.kill()
                child.wait(SECONDS_MAX)
                return False
        errors = child.stderr.read().decode()
        assert child.wait(SECONDS_MAX) == 0, errors
        return True


def check(home: Path, server: Process, answered: int) -> None:
    """Complete, in order, every row asked once."""
    with RunStore.look(home) as store:
        outcomes = list(store.outcomes())
        assert [one.position for one in outcomes] == list(range(ROWS))
        assert store.totals.succeeded == answered
        assert {one.attempts for one in outcomes} == {1}
    assert set(server.times_asked().values()) == {1}
    assert len(server.times_asked()) == ROWS


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_five_times_asks_no_row_twice(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    file, home = tmp_path / "rows.csv", tmp_path / "runs"
    file.write_text("id,text\n" + "".join(f"{n},text {n}\n" for n in range(ROWS)))
    faults = {"seed": seed, "permanent": 0.02, "lose_creates": 1, "seconds": 0.1}
    known = Faults(seed=seed, permanent=0.02)
    (state := tmp_path / "server").mkdir()
    with started(state, faults=faults) as server:
        kills = 0
        while not lives(home, server.url, file, dice.randrange(1, 15) if kills < KILLS else None):
            kills += 1
            server.turn(lose_creates=dice.randrange(2))
        assert kills == KILLS
        bad = sum(known.fate(f"x-{n}", 1) == "permanent" for n in range(ROWS))
        assert bad > 0
        check(home, server, ROWS - bad)
        with RunStore.look(home) as store:
            assert store.kinds() == {"invalid_request": bad}
