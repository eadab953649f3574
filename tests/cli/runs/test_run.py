"""A file labelled from end to end, at a server of another make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from batchyard.cli import failures
from tests.cli.conftest import Done
from tests.cli.runs.conftest import (
    COLUMNS,
    MODEL,
    PROMPT,
    SCHEMA,
    last_event,
    read_csv,
    write_reviews,
)
from tests.pipeline.another_server import Process

By = Callable[..., Done]
ASK = (*PROMPT, *SCHEMA, "--model", MODEL)
META = [
    "_status", "_error_type", "_error", "_stop_reason",
    "_input_tokens", "_output_tokens", "_model", "_attempts",
]  # fmt: skip


def test_a_file_becomes_a_labelled_file(by: By, reviews: Path) -> None:
    done = by("run", "reviews.csv", *ASK, "--yes")
    assert done.code == 0, done.err
    assert done.out == ""
    rows = read_csv(reviews.with_name("reviews.labelled.csv"))
    assert list(rows[0]) == [*COLUMNS, "sentiment", "reason", *META]
    assert [row["id"] for row in rows] == [str(n) for n in range(12)]
    assert {row["_status"] for row in rows} == {"succeeded"}
    assert {row["sentiment"] for row in rows} <= {"positive", "negative"}
    lines = done.err.splitlines()
    assert lines[:3] == [
        "reviews.csv   12 rows · columns: id, review_text, stars, country",
        "prompt        uses review_text ✓     schema  sentiment, reason ✓",
        "sample        5 of 5 rows valid",
    ]
    assert "wrote  reviews.labelled.csv   12 rows (input order)" in done.err
    assert " + sentiment, reason, _status, …" in done.err


def test_rows_of_the_sample_are_not_asked_again(by: By, reviews: Path, elsewhere: Process) -> None:
    assert by("run", "reviews.csv", *ASK, "--yes").code == 0
    assert sum(elsewhere.times_asked().values()) == 12 - 5


def test_without_a_sample_every_row_is_asked_once(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    done = by("run", "reviews.csv", *ASK, "--yes", "--no-sample", "--batch-size", "5")
    assert done.code == 0, done.err
    assert set(elsewhere.times_asked().values()) == {1}
    assert sum(elsewhere.times_asked().values()) == 12
    assert "of 5 rows valid" not in done.err


def test_json_ends_with_counts_and_paths(by: By, reviews: Path) -> None:
    done = by("run", "reviews.csv", *ASK, "--yes", "--json")
    assert (done.code, done.err) == (0, "")
    names = [event["event"] for event in done.events]
    assert names[:3] == ["input", "sample", "estimate"]
    assert set(names[3:-1]) == {"progress"}
    event = last_event(done)
    assert event["event"] == "done"
    assert event["output"] == "reviews.labelled.csv"
    assert event["counts"] == {
        "succeeded": 12, "errored": 0, "canceled": 0, "expired": 0, "left": 0,
    }  # fmt: skip
    assert (event["exit_code"], event["interrupted"]) == (0, False)
    assert Path(event["folder"]).is_dir()


def test_the_answers_can_go_to_standard_output(by: By, reviews: Path) -> None:
    done = by("run", "reviews.csv", *ASK, "--yes", "-o", "-", "--no-meta", "--progress", "none")
    assert done.code == 0
    head, *rows = done.out.splitlines()
    assert head == "id,review_text,stars,country,sentiment,reason"
    assert len(rows) == 12


def test_events_and_rows_do_not_share_a_stream(by: By, reviews: Path) -> None:
    done = by("run", "reviews.csv", *ASK, "-o", "-", "--json")
    assert done.code == failures.USAGE
    assert "cannot share standard output" in last_event(done)["message"]


def test_standard_input_is_kept_with_its_run(by: By, here: Path) -> None:
    lines = "".join(json.dumps({"review_text": f"row {n}"}) + "\n" for n in range(7))
    done = by("run", "-", *ASK, "--yes", "--meta-prefix", "by_", stdin=lines)
    assert done.code == 0, done.err
    assert done.err.startswith("stdin         7 rows · columns: review_text")
    written = (here / "stdin.labelled.jsonl").read_text().splitlines()
    assert [json.loads(line)["review_text"] for line in written] == [f"row {n}" for n in range(7)]
    assert "by_status" in json.loads(written[0])
    (folder,) = (here / ".batchyard").iterdir()
    assert (folder / "input").read_text() == lines


def test_ready_made_requests_need_no_prompt(by: By, here: Path) -> None:
    params = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "row 1"}]}
    lines = [json.dumps({"custom_id": f"a-{n}", "params": params}) for n in range(3)]
    (here / "in.jsonl").write_text("\n".join(lines))
    done = by("run", "in.jsonl", "--yes")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in (here / "in.labelled.jsonl").read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == ["a-0", "a-1", "a-2"]
    assert all(row["output"] and row["_status"] == "succeeded" for row in rows)


def test_what_is_paid_for_needs_a_word_where_nobody_can_be_asked(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    done = by("run", "reviews.csv", *ASK)
    assert done.code == failures.REFUSED
    assert "12 rows are about to be paid for" in done.err
    assert "--yes, or a cap: --max-cost DOLLARS" in done.err
    assert sum(elsewhere.times_asked().values()) == 0


def test_running_it_again_goes_on_from_the_sample(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    by("run", "reviews.csv", *ASK)
    done = by("run", "reviews.csv", *ASK, "--yes", "--no-sample")
    assert done.code == 0, done.err
    assert "5 done, 0 failed, 7 left. Prompt, model and schema unchanged ✓" in done.err
    assert sum(elsewhere.times_asked().values()) == 7


def test_estimate_stops_before_the_rows_and_compares(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    done = by("estimate", "reviews.csv", *ASK, "--compare", "gpt-5-mini", "--compare", MODEL)
    assert done.code == 0, done.err
    assert sum(elsewhere.times_asked().values()) == 0
    assert "gpt-5-mini" in done.err
    assert not reviews.with_name("reviews.labelled.csv").exists()


def test_a_model_must_be_named_where_nobody_says_what_is_served(by: By, reviews: Path) -> None:
    done = by("run", "reviews.csv", *PROMPT, "--yes")
    assert done.code == failures.USAGE
    assert "no model was named" in done.err
    assert "nothing was sent" in done.err
    assert list((reviews.parent / ".batchyard").iterdir()) == []


def test_a_cap_stops_cleanly_and_a_higher_one_goes_on(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    done = by("run", "reviews.csv", *ASK, "--max-tokens", "50", "--max-tokens-total", "550")
    assert done.code == failures.REFUSED, done.err
    assert "--max-tokens-total allows 550 tokens" in done.err
    assert "answers are kept" in done.err
    assert "batchyard resume --max-tokens-total" in done.err
    before = sum(elsewhere.times_asked().values())
    assert 0 <= before < 7
    done = by("resume", "--max-tokens-total", "1M")
    assert done.code == 0, done.err
    assert sum(elsewhere.times_asked().values()) == 7
    assert len(read_csv(reviews.with_name("reviews.labelled.csv"))) == 12


def test_a_changed_prompt_is_shown_and_asks_which_is_meant(
    by: By, reviews: Path, elsewhere: Process
) -> None:
    by("run", "reviews.csv", *ASK, "--max-tokens", "50", "--max-tokens-total", "550",
       "--batch-size", "1")  # fmt: skip
    asked = sum(elsewhere.times_asked().values())
    assert asked > 0, "the cap left room for a few"
    other = ("--prompt", "Rate: {{ review_text }}", *SCHEMA, "--model", MODEL, "--max-tokens", "50")
    done = by("run", "reviews.csv", *other, "--yes")
    assert done.code == failures.USAGE
    assert "-  Classify: {{ review_text }}" in done.err
    assert "+  Rate: {{ review_text }}" in done.err
    assert "--only-missing" in done.err
    assert sum(elsewhere.times_asked().values()) == asked
    done = by("run", "reviews.csv", *other, "--yes", "--only-missing")
    assert done.code == 0, done.err
    assert set(elsewhere.times_asked().values()) == {1}
    assert sum(elsewhere.times_asked().values()) == 7


def test_a_changed_input_is_told_on_resume(by: By, reviews: Path) -> None:
    by("run", "reviews.csv", *ASK, "--max-tokens", "50", "--max-tokens-total", "550")
    write_reviews(reviews, 13)
    done = by("resume", "--max-tokens-total", "1M")
    assert done.code == failures.USAGE
    assert "reviews.csv is not what run_" in done.err
    assert "nothing was sent, and the answers are kept" in done.err
