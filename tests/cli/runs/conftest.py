"""A dataset in a folder of its own, and another server of the API to send it to."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Done, Shell
from tests.pipeline.another_server import Process, started

MODEL = "claude-haiku-4-5"
PROMPT = ("--prompt", "Classify: {{ review_text }}")
SCHEMA = ("--schema", "sentiment: positive|negative, reason str")
COLUMNS = ["id", "review_text", "stars", "country"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of another make are looked at every ten seconds; not in tests."""
    monkeypatch.setattr("batchyard.pipeline.run.watching.LOOK_SECONDS_ELSEWHERE", 0.01)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that verbs run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def reviews(here: Path) -> Path:
    """A file of a dozen rows."""
    return write_reviews(here / "reviews.csv", 12)


def write_reviews(path: Path, many: int) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        rows.writerows([n, f"row {n} is great", n % 5, "DE"] for n in range(many))
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def last_event(done: Done) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return event


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Process]:
    """A server of another make, which has live calls."""
    state = tmp_path / "elsewhere"
    state.mkdir()
    with started(state, live=True) as process:
        yield process


@pytest.fixture
def by(elsewhere: Process) -> Callable[..., Done]:
    """`batchyard`, its server the other one."""
    return Shell({"BATCHYARD_SERVER": elsewhere.url, "ANTHROPIC_API_KEY": "test-key"})
