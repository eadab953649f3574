"""What a run says: word for word, and never wider than the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli.runs.said import words
from batchyard.cli.runs.said.words import Group
from batchyard.cli.talk import Marks
from batchyard.terminal import columns

FANCY, PLAIN = Marks(plain=False), Marks(plain=True)
COLUMNS = ("id", "review_text", "stars", "country")


def test_the_header_is_the_one_of_the_papers() -> None:
    assert words.header("reviews.csv", 20_000, COLUMNS, FANCY) == (
        "reviews.csv   20 000 rows · columns: id, review_text, stars, country"
    )
    assert words.question({"review_text"}, COLUMNS, ("sentiment", "reason"), FANCY) == (
        "prompt        uses review_text ✓     schema  sentiment, reason ✓"
    )
    assert words.sampled(5, 5) == "sample        5 of 5 rows valid"
    assert words.ask(20_000) == "Run 20 000 rows?"


def test_a_long_name_keeps_its_distance() -> None:
    assert "reviews-of-2026-final.csv   1 row · " in words.header(
        "reviews-of-2026-final.csv", 1, COLUMNS, FANCY
    )


def test_many_columns_are_counted() -> None:
    text = words.header("a.csv", 2, [f"c{n}" for n in range(40)], PLAIN)
    assert text.endswith("c11 and 28 more")
    assert text.isascii()


def test_ready_made_requests_have_no_columns() -> None:
    assert words.header("in.jsonl", 3, (), FANCY) == "in.jsonl      3 requests"


def test_columns_are_named_in_the_order_of_the_input() -> None:
    line = words.question({"stars", "id"}, COLUMNS, None, FANCY)
    assert line == "prompt        uses id, stars ✓"
    assert words.question((), COLUMNS, None, FANCY) == "prompt        the same for every row"


def test_the_sample_is_a_table() -> None:
    values = [
        {"review_text": "Battery died after two weeks, but the camera is good",
         "sentiment": "mixed"},
        {"review_text": "Exactly what\nI needed", "sentiment": "positive"},
    ]  # fmt: skip
    assert words.table(("review_text", "sentiment"), values, 60, FANCY) == [
        "  review_text                               sentiment",
        '  "Battery died after two weeks, but the…"  mixed',
        '  "Exactly what I needed"                   positive',
    ]


@given(
    width=st.integers(40, 200),
    rows=st.lists(st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=99)), max_size=4),
    plain=st.booleans(),
)
def test_no_line_of_the_table_is_wider_than_the_terminal(
    width: int, rows: list[dict[str, object]], plain: bool
) -> None:
    lines = words.table(tuple("abcdef"), rows, width, Marks(plain=plain))
    assert len(lines) == len(rows) + 1
    assert max(map(columns, lines)) <= width


def test_ctrl_c_is_answered_with_what_is_saved_and_how_to_go_on() -> None:
    assert words.interrupted(".batchyard/run_7Q2K", (8_428, 16), command="batchyard resume") == [
        "Stopped sending new rows; 16 in flight were saved.",
        "8 428 rows are in .batchyard/run_7Q2K. Continue with:   batchyard resume",
    ]


def test_what_a_server_goes_on_with_is_told() -> None:
    assert words.keeps_running(["msgbatch_1"]) == (
        "The batch keeps running on the server. Attach with `batchyard watch msgbatch_1`, stop it "
        "with `batchyard cancel msgbatch_1`."
    )
    assert words.keeps_running(["a", "b"]).startswith("2 batches keep running on the server.")


def test_a_resumed_run_says_where_it_stands() -> None:
    standing = (8_428, 6, 11_566)
    assert words.resumed("run_7Q2K", standing, FANCY, changed=False) == (
        "run_7Q2K  8 428 done, 6 failed, 11 566 left. Prompt, model and schema unchanged ✓"
    )
    assert words.resumed("run_7Q2K", standing, PLAIN, changed=True).endswith("asked otherwise")


GROUPS = [
    Group("schema", 9, "sentiment: 'x' is not one of", 2),
    Group("schema_truncated", 2, "", 2),
    Group("too_long", 3, "prompt is longer than the model's 32 768 tokens\nmore", 1),
]


def test_failures_come_with_the_command_that_asks_them_again() -> None:
    head, *lines = words.failed(GROUPS, run="", max_tokens=256, width=140)
    assert head == "14 rows failed:"
    assert [line.split(" batchyard ") for line in lines] == [
        [
            "   9  output did not match the schema after 2 tries                 ",
            "retry --only schema",
        ],
        [
            "   2  answer stopped at max_tokens (256) before the JSON closed     ",
            "retry --only schema_truncated --max-tokens 512",
        ],
        [
            "   3  too_long: prompt is longer than the model's 32 768 tokens     ",
            "retry --only too_long",
        ],
    ]


def test_on_a_narrow_terminal_the_command_has_its_own_line() -> None:
    lines = words.failed(GROUPS, run="run_7Q2K", max_tokens=256, width=80)
    assert len(lines) == 7
    assert max(map(len, lines)) <= 80
    assert lines[2] == "      batchyard retry run_7Q2K --only schema"


def test_nothing_failed_is_nothing_to_say() -> None:
    assert words.failed([], run="", max_tokens=1, width=80) == []


@pytest.mark.parametrize("kind", ["expired", "canceled", "schema"])
def test_known_kinds_are_told_in_our_words(kind: str) -> None:
    (_, line) = words.failed([Group(kind, 1, "SECRET", 1)], run="", max_tokens=1, width=200)
    assert "SECRET" not in line
    assert "1 tries" not in line


def test_what_was_written_is_told_on_two_lines_where_one_is_too_wide() -> None:
    added = ["sentiment", "_status", "…"]
    assert words.wrote("out.csv", 20_000, added, 80) == [
        "wrote  out.csv   20 000 rows (input order) + sentiment, _status, …"
    ]
    assert words.wrote("out.csv", 20_000, added, 60) == [
        "wrote  out.csv   20 000 rows (input order)",
        "       + sentiment, _status, …",
    ]


def test_a_long_reason_is_wrapped_under_its_beginning() -> None:
    assert words.wrapped("  failed: ", "Answer stopped at max_tokens\nbefore it closed", 40) == [
        "  failed: Answer stopped at max_tokens",
        "          before it closed",
    ]
