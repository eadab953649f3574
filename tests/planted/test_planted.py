"""Each planted bug is caught by the tests that are there to catch it, and by none without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.live.harness.serving import clean_environment
from tests.planted.bugs import ROOMS, Bug, all_bugs
from tests.planted.plugin import ROOT, SOUND

pytestmark = pytest.mark.timeout(600)

BUGS = all_bugs()
HARVEST_SECONDS = 540.0
Ends: TypeAlias = "list[dict[str, str]]"


@pytest.fixture(scope="module")
def harvest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which each run wrote down how its tests ended: one process for all of them."""
    mine = [item for item in request.session.items if item.path == request.path]
    wanted = {item.callspec.params["bug"].name for item in mine if hasattr(item, "callspec")}
    bugs = [bug for bug in BUGS.values() if bug.name in wanted]
    return harvested(tmp_path_factory.mktemp("harvest"), bugs or list(BUGS.values()))


def harvested(folder: Path, bugs: list[Bug]) -> Path:
    """Run the catchers of these bugs, without and with them; whatever hangs is ended."""
    tests = sorted({test for bug in bugs for test in bug.caught_by})
    mark = {"PLANTED_RUN": uuid.uuid4().hex}
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
                *("-p", "tests.planted.plugin", "--timeout", "60"),
                *("--harvest", str(folder), *(f"--plant={bug}" for bug in bugs), *tests),
            ],
            cwd=ROOT,
            env=clean_environment(mark),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=HARVEST_SECONDS,
            check=False,
        )
    finally:
        _end_what_is_left(f"PLANTED_RUN={mark['PLANTED_RUN']}".encode())
    assert done.returncode in (0, 5), done.stdout.decode()[-4000:]
    return folder


def _end_what_is_left(mark: bytes) -> None:
    """A run that died, or was ended for its bug, may have left forks and servers."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)


def ends(folder: Path, name: str) -> Ends:
    """How the tests of a run ended; a run that wrote nothing died of its bug."""
    file = folder / f"{name}.json"
    died = file.with_suffix(".died")
    assert file.exists(), f"the run with {name} died: {died.exists() and died.read_text()[-1500:]}"
    found: Ends = json.loads(file.read_text())
    return found


def missed(bug: Bug, found: Ends) -> dict[str, list[str]]:
    """The catchers that did not fail as they should, with what they did instead."""
    caught = {
        end["test"]
        for end in found
        if end["when"] == "call"
        and end["error"] in bug.fails_with
        and not end["words"].startswith("Timeout")
    }
    instead: dict[str, list[str]] = {test: [] for test in bug.caught_by if test not in caught}
    for end in found:
        if end["test"] in instead:
            instead[end["test"]].append(f"{end['outcome']} {end['error']}: {end['words'][:300]}")
    return instead


@pytest.mark.parametrize("bug", BUGS.values(), ids=str)
def test_a_planted_bug_is_caught(harvest: Path, bug: Bug) -> None:
    assert missed(bug, ends(harvest, bug.name)) == {}, bug.tells


def test_without_a_bug_nothing_is_caught(harvest: Path) -> None:
    runs = sorted(harvest.glob(f"{SOUND} *.json"))
    found = [end for run in runs for end in json.loads(run.read_text())]
    assert [end for end in found if end["outcome"] != "passed"] == []
    ran = {end["test"] for end in found}
    planted = [BUGS[name] for name in BUGS if (harvest / f"{name}.json").exists()]
    assert ran == {test for bug in planted for test in bug.caught_by}


def test_a_change_that_breaks_nothing_is_not_taken_for_caught(tmp_path: Path) -> None:
    """Otherwise the tests above could not fail."""
    bug = BUGS["repeated_custom_id_accepted"]
    harvested(tmp_path, [bug])
    sound = [end for run in tmp_path.glob(f"{SOUND} *.json") for end in json.loads(run.read_text())]
    assert set(missed(bug, sound)) == set(bug.caught_by)
    assert missed(bug, ends(tmp_path, bug.name)) == {}


def test_every_room_has_its_bugs() -> None:
    rooms = Counter(bug.room for bug in BUGS.values())
    assert set(rooms) == set(ROOMS)
    assert sum(rooms.values()) >= 16
