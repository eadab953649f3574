"""The law of sinks: what is written is what is read again, apart from what a format lacks."""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.pipeline.sink import columnar, convert, open_sink
from batchyard.pipeline.source import open_source

Rows = list[list[Any]]

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
DANGEROUS = st.text(st.sampled_from("=+-@\t\r\n,;\"' a1"), max_size=6)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
COLUMNS = ("a", "b")


def table(cells: st.SearchStrategy[Any]) -> st.SearchStrategy[Rows]:
    return st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=9)


def written(path: Path, rows: Sequence[Sequence[object]], **options: Any) -> list[list[Any]]:
    """The values of `rows` after they went into a file and came out of it."""
    with open_sink(path, columns=COLUMNS, **options) as sink:
        for row in rows:
            sink.write(row)
        sink.commit()
    source = open_source(path)
    assert source.columns == COLUMNS
    return [list(row.values()) for row in source.rows()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.mark.parametrize("name", ["law.jsonl", "law.json"])
@given(table(JSON | st.integers()))
@settings(deadline=None)
def test_json_gives_back_what_it_was_given(folder: Path, name: str, rows: Rows) -> None:
    assert written(folder / name, rows) == rows


@pytest.mark.parametrize("name", ["law.csv", "law.tsv"])
@given(table(TEXT | DANGEROUS))
@settings(deadline=None)
def test_csv_gives_back_every_text_when_raw(folder: Path, name: str, rows: Rows) -> None:
    assert written(folder / name, rows, raw=True) == rows


@given(table(TEXT | DANGEROUS))
@settings(deadline=None)
def test_csv_adds_an_apostrophe_to_a_formula_and_changes_nothing_else(
    folder: Path, rows: Rows
) -> None:
    for before, after in zip(rows, written(folder / "law.csv", rows), strict=True):
        for old, new in zip(before, after, strict=True):
            assert new in (old, f"'{old}")
            if new == old:
                assert old[:1] not in tuple("=@\t\r") or not old
                assert not old.startswith(("+", "-")) or not set(old[1:]) - set("0123456789,.eE%+-")


@given(table(NUMBERS | st.none()))
@settings(deadline=None)
def test_csv_leaves_numbers_and_nothing_as_they_are(folder: Path, rows: Rows) -> None:
    expected = [["" if value is None else str(value) for value in row] for row in rows]
    assert written(folder / "law.csv", rows) == expected


KINDS = {
    "texts": TEXT,
    "integers": st.integers(-(2**63), 2**63 - 1),
    "floats": st.floats(allow_nan=False),
    "truths": st.booleans(),
    "dates": st.dates(),
    "times": st.datetimes(),
    "times of a zone": st.datetimes(timezones=st.just(dt.UTC)),
    "bytes": st.binary(max_size=4),
    "lists": st.lists(TEXT, max_size=3),
    "objects": st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.lists(TEXT, max_size=2)}),
}


@pytest.mark.parametrize("name", ["law.parquet", "law.arrow"])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_columns_of_one_kind_come_back_as_they_were(
    folder: Path, name: str, kind: str, data: st.DataObject
) -> None:
    rows = data.draw(table(st.none() | KINDS[kind]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columnar, "ROWS", data.draw(st.integers(1, 9)))
        assert written(folder / name, rows) == rows


@pytest.mark.parametrize("name", ["law.parquet", "law.arrow"])
@given(table(JSON | st.dates() | st.binary(max_size=2) | st.integers()), st.integers(1, 9))
@settings(max_examples=150, deadline=None)
def test_columns_of_many_kinds_come_back_in_number_and_nothing_is_lost(
    folder: Path, name: str, rows: Rows, group: int
) -> None:
    """Wherever a group ends, missing values stay missing and texts stay the texts they were."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columnar, "ROWS", group)
        again = written(folder / name, rows)
    assert len(again) == len(rows)
    for before, after in zip(rows, again, strict=True):
        for old, new in zip(before, after, strict=True):
            assert (new is None) == (old is None)
            assert not isinstance(old, str) or new == old


FORMATS = st.permutations(["csv", "tsv", "jsonl", "json", "parquet", "arrow"])


@given(FORMATS, table(st.text(string.ascii_letters + "ü,\n\"'", max_size=5)))
@settings(max_examples=40, deadline=None)
def test_texts_survive_every_chain_of_formats(folder: Path, formats: list[str], rows: Rows) -> None:
    path = folder / f"chain.{formats[0]}"
    written(path, rows)
    for number, name in enumerate(formats[1:]):
        after = folder / f"chain-{number}.{name}"
        assert convert(open_source(path), after) == len(rows)
        path = after
    assert [list(row.values()) for row in open_source(path).rows()] == rows


def test_requests_become_message_batches_lines(folder: Path) -> None:
    content = (
        '{"custom_id": "a b", "method": "POST", "url": "/v1/chat/completions",'
        ' "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}}'
    )
    (folder / "openai.jsonl").write_text(content)
    source = open_source(folder / "openai.jsonl")
    assert convert(source, folder / "requests.jsonl") == 1
    again = open_source(folder / "requests.jsonl")
    assert again.format == "requests"
    assert list(again.rows()) == list(source.rows())
