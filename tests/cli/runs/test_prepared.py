"""What is found out before a server is asked: each fault with its place, its rule and its fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from batchyard.cli import failures
from tests.cli.conftest import Done, Shell
from tests.client.stub import Stub

REVIEWS = "id,review_text,stars,country\n1,Battery died,1,US\n2,Exactly what I needed,5,DE\n"
PROMPT = ("--prompt", "Classify: {{ review_text }}")


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "reviews.csv"
    path.write_text(REVIEWS)
    return path


@pytest.fixture
def refused(batchyard: Shell, server: Stub, reviews: Path) -> Callable[..., Done]:
    """Runs what must fail before anything is sent, and proves that nothing was."""

    def run(*arguments: str, stdin: str = "", file: str = "reviews.csv") -> Done:
        done = batchyard("run", file, *arguments, "--model", "tiny", "--yes", stdin=stdin)
        assert done.code == failures.USAGE, done.err
        assert done.out == ""
        assert done.err.startswith("error: ") or "\nerror: " in done.err
        assert server.asked == []
        assert not list(reviews.parent.glob("*.labelled.*"))
        return done

    return run


def test_a_missing_column_is_named_before_anything_is_sent(refused: Callable[..., Done]) -> None:
    done = refused("--prompt", "Classify: {{ reveiw_text }}")
    assert "the prompt uses a column that reviews.csv does not have" in done.err
    assert "columns: id, review_text, stars, country" in done.err
    assert "did you mean review_text?" in done.err
    assert "nothing was sent" in done.err


def test_an_output_that_exists_is_refused(refused: Callable[..., Done], reviews: Path) -> None:
    (reviews.parent / "out.csv").write_text("mine")
    done = refused(*PROMPT, "-o", "out.csv")
    assert "out.csv exists already; nothing was sent" in done.err
    assert "--force replaces it" in done.err
    assert "-o out-2.csv" in done.err
    assert (reviews.parent / "out.csv").read_text() == "mine"


def test_the_input_is_never_the_output(refused: Callable[..., Done], reviews: Path) -> None:
    assert "is the input" in refused(*PROMPT, "-o", "./reviews.csv", "--force").err
    assert reviews.read_text() == REVIEWS


def test_an_output_of_no_known_format_is_refused(refused: Callable[..., Done]) -> None:
    done = refused(*PROMPT, "-o", "out.xlsx")
    assert 'there is no output format "xlsx"' in done.err or "no output format" in done.err
    assert "nothing was sent" in done.err
    assert "kept" not in done.err


def test_an_output_in_no_folder_is_refused(refused: Callable[..., Done]) -> None:
    done = refused(*PROMPT, "-o", "nowhere/out.csv")
    assert "/nowhere; nothing was sent" in done.err
    assert "fix: mkdir -p " in done.err


def test_an_answer_column_that_the_input_has_is_refused(refused: Callable[..., Done]) -> None:
    done = refused(*PROMPT, "--schema", "stars: int")
    assert 'the column "stars" twice' in done.err
    assert "nothing was sent" in done.err


def test_two_rows_of_one_id_are_named(refused: Callable[..., Done], reviews: Path) -> None:
    reviews.write_text(REVIEWS + "1,Again,3,FR\n")
    done = refused(*PROMPT, "--id", "id")
    assert "row 3 has the same id as row 1; nothing was sent" in done.err


def test_an_id_column_must_be_there(refused: Callable[..., Done]) -> None:
    assert "one of id, review_text, stars, country" in refused(*PROMPT, "--id", "key").err


def test_an_empty_file_is_told(refused: Callable[..., Done], reviews: Path) -> None:
    reviews.write_text("")
    assert "reviews.csv: the file is empty" in refused(*PROMPT).err


def test_a_file_of_a_header_alone_has_no_rows(refused: Callable[..., Done], reviews: Path) -> None:
    reviews.write_text("id,review_text\n")
    assert "no row" in refused(*PROMPT).err


def test_a_broken_line_is_named_before_anything_is_sent(
    refused: Callable[..., Done], reviews: Path
) -> None:
    rows = [json.dumps({"review_text": str(n)}) for n in range(712)]
    (reviews.parent / "reviews.jsonl").write_text("\n".join([*rows, '{"review_text": "x"', ""]))
    done = refused(*PROMPT, file="reviews.jsonl")
    assert "reviews.jsonl:713" in done.err
    assert "nothing was sent" in done.err


def test_a_wrong_encoding_is_told_with_one_that_may_fit(
    refused: Callable[..., Done], reviews: Path
) -> None:
    reviews.write_bytes("id,review_text\n1,Größe\n".encode("latin-1"))
    done = refused(*PROMPT)
    assert "--encoding" in done.err
    assert "reviews.csv:2" in done.err


def test_a_prompt_is_needed(refused: Callable[..., Done]) -> None:
    assert "there is no prompt; nothing was sent" in refused().err


def test_a_prompt_file_that_is_missing_is_named(refused: Callable[..., Done]) -> None:
    done = refused("--prompt-file", "ask.txt")
    assert "ask.txt cannot be read: No such file or directory; nothing was sent" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*PROMPT, "--prompt-file", "a"), "--prompt and --prompt-file exclude each other"),
        ((*PROMPT, "--new", "--only-missing"), "--new and --only-missing exclude each other"),
        ((*PROMPT, "--server", "http://a", "--engine", "simulator"), "exclude each other"),
        ((*PROMPT, "--max-cost", "free"), "'free' is not a number above 0"),
        ((*PROMPT, "-p", "temperature"), "should look like temperature=0"),
        ((*PROMPT, "--schema", "sentiment: positive|"), "schema"),
    ],
)
def test_options_that_cannot_be_are_refused(
    refused: Callable[..., Done], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(*arguments).err


def test_ready_made_requests_take_no_prompt(refused: Callable[..., Done], reviews: Path) -> None:
    line = {"custom_id": "a", "params": {"model": "tiny", "max_tokens": 1, "messages": []}}
    (reviews.parent / "in.jsonl").write_text(json.dumps(line) + "\n")
    done = refused(*PROMPT, file="in.jsonl")
    assert "in.jsonl holds ready-made requests" in done.err
    assert "--prompt, --model would change nothing; nothing was sent" in done.err


def test_a_dry_run_prints_three_rendered_rows_and_sends_nothing(
    batchyard: Shell, server: Stub, reviews: Path
) -> None:
    reviews.write_text(REVIEWS * 1 + "3,Third,3,FR\n4,Fourth,3,FR\n")
    done = batchyard("run", "reviews.csv", *PROMPT, "--schema", "sentiment: good|bad", "--dry-run")
    assert done.code == 0
    assert done.out.count("-- row ") == 3
    assert "Classify: Exactly what I needed" in done.out
    assert "Fourth" not in done.out
    assert done.err.splitlines() == [
        "reviews.csv   4 rows · columns: id, review_text, stars, country",
        "prompt        uses review_text ✓     schema  sentiment ✓",
        "",
        "nothing was sent; 4 rows would be",
    ]
    assert server.asked == []
    assert not (reviews.parent / ".batchyard").exists()


def test_a_dry_run_reads_standard_input_and_speaks_json(batchyard: Shell, reviews: Path) -> None:
    done = batchyard("run", "-", *PROMPT, "--dry-run", "--json", stdin=REVIEWS)
    assert [event["event"] for event in done.events] == ["input", "rendered", "rendered"]
    assert done.events[0]["name"] == "stdin"
    assert done.events[0]["output"] == "stdin.labelled.csv"
    assert done.err == ""
