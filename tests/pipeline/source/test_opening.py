"""Opening: the format by name and by looking, standard input kept, wrong places told."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from batchyard.errors import BadInput
from batchyard.pipeline.source import open_source
from tests.pipeline.source.test_delimited import opened, refused


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("in.csv", "a,b\n1,2\n", "csv"),
        ("in.TSV", "a\tb\n1\t2\n", "tsv"),
        ("in.jsonl", '{"a": 1}\n', "jsonl"),
        ("in.ndjson", '{"a": 1}\n', "jsonl"),
        ("in.json", '[{"a": 1}]', "json"),
        ("in.json", '{"a": 1}\n{"a": 2}\n', "jsonl"),
        ("in.jsonl", '[{"a": 1}]', "json"),
        ("in.txt", "a;b\n1;2\n", "csv"),
        ("in", '{"a": 1}\n', "jsonl"),
        ("in.jsonl", '{"custom_id": "x", "params": {}}\n', "requests"),
        ("in.jsonl", '{"custom_id": "x", "params": {}, "a": 1}\n', "jsonl"),
    ],
)
def test_the_format_is_told_by_name_and_by_looking(
    tmp_path: Path, name: str, content: str, format: str
) -> None:
    assert opened(tmp_path, content, name).format == format


def test_a_format_that_is_said_is_not_guessed(tmp_path: Path) -> None:
    content = '{"custom_id": "x", "params": {"b": 1}}\n'
    source = opened(tmp_path, content, "in.jsonl", format="jsonl")
    assert source.columns == ("custom_id", "params")
    assert opened(tmp_path, "a\tb\n1\t2\n", "in.csv", format="tsv").columns == ("a", "b")


@pytest.mark.parametrize(
    ("content", "words", "fix"),
    [
        (b"PK\x03\x04rest", "an Excel workbook or a zip archive", "save the sheet as CSV"),
        (b"\x28\xb5\x2f\xfdrest", "packed with zstd", "zstd -d"),
        (b"%PDF-1.7", "a PDF document", "--document"),
        (b"SQLite format 3\0", "an SQLite database", "sqlite3 -header -csv"),
        (b"just some words\nand more\n", "format cannot be told", "--format"),
        (b'{\n "rows": [{"a": 1}]\n}', "one JSON object over several lines", "jq -c"),
    ],
)
def test_what_is_no_dataset_is_told_with_the_way_out(
    tmp_path: Path, content: bytes, words: str, fix: str
) -> None:
    fault = refused(tmp_path, content, "in.dat")
    assert words in fault.message
    assert fix in str(fault.fix)


def test_an_unknown_format_is_told_with_those_there_are(tmp_path: Path) -> None:
    fault = refused(tmp_path, "a\n1\n", format="xlsx")
    assert 'no format "xlsx"' in fault.message
    assert "parquet" in str(fault.fix)


def test_a_file_that_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").touch()
    with pytest.raises(BadInput, match=r"is not there        did you mean .*reviews\.csv\?"):
        open_source(tmp_path / "revews.csv")
    with pytest.raises(BadInput, match="nor is the folder"):
        open_source(tmp_path / "no" / "reviews.csv")


def test_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    with pytest.raises(BadInput, match="is a folder") as caught:
        open_source(tmp_path)
    assert "a.csv" in str(caught.value.fix)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a\n1\n")
    path.chmod(0)
    with pytest.raises(BadInput, match="cannot be read: Permission denied"):
        open_source(path)


def test_a_name_that_no_file_can_have_is_told() -> None:
    with pytest.raises(BadInput, match="is not there"):
        open_source("in\0.csv")


def test_standard_input_is_kept_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    source = open_source("-", keep_in=tmp_path / "run")
    assert source.name == "stdin"
    assert list(source.rows()) == list(source.rows()) == [{"a": "1", "b": "2"}]
    assert source.path.parent == tmp_path / "run"
    again = open_source(source.path, format=source.format, name="stdin")
    assert again.fingerprint() == source.fingerprint()
    assert again.name == "stdin"


def test_standard_input_without_a_folder_lives_as_long_as_its_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    source = open_source("-")
    assert list(source.rows()) == [{"a": "1", "b": "2"}]
    path = source.path
    del source
    assert not path.exists()


def test_a_pipe_is_kept_like_standard_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a,b\n1,2\n",))
    writer.start()
    source = open_source(pipe, keep_in=tmp_path / "run")
    writer.join()
    assert source.name == str(pipe)
    assert list(source.rows()) == [{"a": "1", "b": "2"}]
    assert source.path == tmp_path / "run" / "input"


def test_empty_standard_input_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(BadInput, match="stdin: the file is empty"):
        open_source("-", keep_in=tmp_path)


def test_the_fingerprint_is_that_of_the_bytes_and_follows_a_change(tmp_path: Path) -> None:
    source = opened(tmp_path, "a,b\n1,2\n")
    first = source.fingerprint()
    assert first == "sha256:" + hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    source.path.write_text("a,b\n1,23\n")
    assert source.fingerprint() != first


def test_a_file_that_goes_away_between_two_readings_is_told(tmp_path: Path) -> None:
    source = opened(tmp_path, "a,b\n1,2\n")
    source.path.unlink()
    with pytest.raises(BadInput, match="there is no such file any more"):
        list(source.rows())
