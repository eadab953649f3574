"""Runs with failed rows: listed by kind, asked again alone, shown and counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batchyard.cli import failures
from tests.cli.conftest import Done, Shell
from tests.cli.runs.conftest import MODEL, PROMPT, SCHEMA, last_event, read_csv, write_reviews
from tests.pipeline.another_server import Process

By = Callable[..., Done]
ASK = ("run", "reviews.csv", *PROMPT, *SCHEMA, "--model", MODEL, "--yes", "--no-sample")


@pytest.fixture
def failing(by: By, here: Path, elsewhere: Process) -> Done:
    """A run of 60 rows of which some were refused, each time."""
    write_reviews(here / "reviews.csv", 60)
    elsewhere.turn(permanent=0.2, seed=3)
    done = by(*ASK)
    assert done.code == failures.FAILED_REQUESTS, done.err
    return done


def failed(here: Path) -> list[str]:
    return [row["id"] for row in read_csv(here / "reviews.labelled.csv") if row["_error_type"]]


def test_failures_end_a_run_with_their_kind_and_the_command(failing: Done, here: Path) -> None:
    many = len(failed(here))
    assert many > 3
    assert f"{many} rows failed:" in failing.err
    assert "batchyard retry --only invalid_request" in failing.err
    rows = read_csv(here / "reviews.labelled.csv")
    assert len(rows) == 60, "a failed row is a row"
    assert {row["_status"] for row in rows} == {"succeeded", "errored"}


def test_retry_asks_the_failed_rows_alone(
    failing: Done, by: By, here: Path, elsewhere: Process
) -> None:
    bad = failed(here)
    elsewhere.heal()
    done = by("retry", "--only", "invalid_request")
    assert done.code == 0, done.err
    assert failed(here) == []
    asked = elsewhere.times_asked()
    twice = sorted((row.rpartition("-")[2] for row, times in asked.items() if times > 1), key=int)
    assert twice == bad


def test_retry_of_a_kind_that_is_not_there_names_those_that_are(failing: Done, by: By) -> None:
    done = by("retry", "--only", "schema")
    assert done.code == failures.USAGE
    assert "failed with 'schema'; nothing was sent" in done.err
    assert "its failures: invalid_request (" in done.err


def test_failures_may_be_forgiven(by: By, here: Path, elsewhere: Process) -> None:
    write_reviews(here / "reviews.csv", 60)
    elsewhere.turn(permanent=0.2, seed=3)
    assert by(*ASK, "--fail-on", "50%").code == 0
    assert by("resume", "--fail-on", "any").code == failures.FAILED_REQUESTS


def test_an_answer_that_does_not_fit_is_asked_for_again(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    elsewhere.turn(misfit=0.5, seed=5)
    done = by(*ASK)
    assert done.code == 0, done.err
    attempts = [row["_attempts"] for row in read_csv(reviews.with_name("reviews.labelled.csv"))]
    assert set(attempts) == {"1", "2"}


def test_an_answer_that_never_fits_is_a_failed_row_with_its_command(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    elsewhere.turn(misfit=0.5, seed=5)
    done = by(*ASK, "--repair", "0")
    assert done.code == failures.FAILED_REQUESTS
    assert "output did not match the schema after 1 try" in done.err
    assert "batchyard retry --only schema" in done.err
    assert by("retry", "--only", "schema").code == 0


def test_a_run_that_has_ended_is_written_again_without_a_question(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    assert by(*ASK).code == 0
    asked = elsewhere.times_asked()
    done = by(*ASK, "-o", "other.jsonl")
    assert done.code == 0, done.err
    assert "12 done, 0 failed, 0 left" in done.err
    assert (reviews.parent / "other.jsonl").exists()
    assert elsewhere.times_asked() == asked


def test_new_asks_everything_afresh(by: By, reviews: Path, elsewhere: Process) -> None:
    by(*ASK)
    assert by(*ASK, "--new", "--force").code == 0
    assert sum(elsewhere.times_asked().values()) == 24


def test_runs_lists_them_newest_first(
    failing: Done, by: By, here: Path, elsewhere: Process
) -> None:
    elsewhere.heal()
    write_reviews(here / "reviews.csv", 3)
    by(*ASK, "--force")
    done = by("runs")
    head, newest, oldest = done.out.splitlines()
    assert head.split() == ["RUN", "STATE", "DONE", "FAILED", "CREATED", "INPUT"]
    assert "3/3" in newest
    assert "failed rows" in oldest
    assert "60/60" in oldest
    (event,) = by("runs", "--json").events
    assert [run["totals"]["succeeded"] for run in event["runs"]] == [
        3, 60 - len(by("show", oldest.split()[0], "--failed").out.splitlines()),
    ]  # fmt: skip


def test_runs_of_other_folders_are_found_and_named_by_their_path(
    by: By, here: Path, elsewhere: Process
) -> None:
    (here / "data").mkdir()
    write_reviews(here / "data" / "reviews.csv", 3)
    assert by(*(word.replace("reviews.csv", "data/reviews.csv") for word in ASK)).code == 0
    assert (here / "data" / "reviews.labelled.csv").exists()
    assert by("runs").err.startswith("no runs here yet")
    (_, line) = by("runs", "--all").out.splitlines()
    name = line.split()[0]
    assert name.startswith("data/.batchyard/run_")
    assert "succeeded" in by("show", name).out
    assert by("resume", name).code == 0


def test_show_says_how_a_run_stands(failing: Done, by: By, here: Path) -> None:
    lines = by("show").out.splitlines()
    words = dict(line.split(maxsplit=1) for line in lines)
    assert words["state"] == "failed rows"
    assert words["input"] == "reviews.csv (60 rows)"
    assert words["model"] == MODEL
    assert words["output"] == "reviews.labelled.csv"
    assert words["failed"] == f"{len(failed(here))} invalid_request"


def test_show_lists_failed_rows_by_their_number(failing: Done, by: By, here: Path) -> None:
    lines = by("show", "--failed").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"row {int(n) + 1}" for n in failed(here)]
    assert {line.split("\t")[1] for line in lines} == {"invalid_request"}
    events = by("show", "--failed", "--json").events
    assert {event["event"] for event in events} == {"failed"}
    assert events[0]["row"] == int(failed(here)[0]) + 1


@pytest.mark.parametrize("verb", ["resume", "retry", "show"])
def test_a_run_that_is_not_there_is_told_with_the_ones_that_are(
    alone: Shell, here: Path, verb: str
) -> None:
    done = alone(verb, "run_2222")
    assert done.code == failures.USAGE
    assert 'there is no run "run_2222" in .batchyard' in done.err
    assert alone(verb).code == failures.USAGE


def test_a_server_that_is_away_leaves_the_run_as_it_was(
    by: By, alone: Shell, reviews: Path, elsewhere: Process
) -> None:
    elsewhere.turn(held=True)
    done = alone(*ASK)
    assert done.code == failures.UNREACHABLE
    assert list((reviews.parent / ".batchyard").iterdir()) == []


def test_json_lists_failures_and_the_exit_code(by: By, here: Path, elsewhere: Process) -> None:
    write_reviews(here / "reviews.csv", 60)
    elsewhere.turn(permanent=0.2, seed=3)
    event = last_event(by(*ASK, "--json"))
    assert event["exit_code"] == failures.FAILED_REQUESTS
    assert event["failed"] == [{"kind": "invalid_request", "rows": len(failed(here))}]
