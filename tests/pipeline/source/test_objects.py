"""JSON Lines and arrays: objects as rows, through windows that cut anywhere."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.errors import BadInput
from batchyard.pipeline.source import array, open_source
from tests.pipeline.source.test_delimited import opened, refused

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "ä"]), VALUES, min_size=1), min_size=1, max_size=6
)


def filled(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{name: row.get(name) for name in columns} for row in rows]


def test_columns_are_all_keys_in_order_of_first_appearance(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"b": 1}\n\n{"a": [2], "b": null}\r\n', "in.jsonl")
    assert source.columns == ("b", "a")
    assert list(source.rows()) == [{"b": 1, "a": None}, {"a": [2], "b": None}]


def test_a_byte_order_mark_is_no_part_of_the_first_object(tmp_path: Path) -> None:
    assert list(opened(tmp_path, b'\xef\xbb\xbf{"a": 1}', "in.jsonl").rows()) == [{"a": 1}]
    assert list(opened(tmp_path, b'\xef\xbb\xbf[{"a": 1}]', "in.json").rows()) == [{"a": 1}]


def test_values_of_one_column_may_differ_in_kind(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"a": 1}\n{"a": "x"}\n{"a": {"b": []}}\n', "in.jsonl")
    assert [row["a"] for row in source.rows()] == [1, "x", {"b": []}]


def test_what_python_writes_beyond_json_is_mended(tmp_path: Path) -> None:
    source = opened(tmp_path, '{"a": NaN, "b": "half \\ud83d", "c": "\\ud83d\\ude00"}', "in.jsonl")
    assert list(source.rows()) == [{"a": None, "b": "half \ufffd", "c": "😀"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": ', "not a JSON object: input data was truncated"),
        ('{"a": 1} {"a": 2}', "not a JSON object"),
        ("[1]", "this is an array"),
        ('"text"', "this is a text"),
        ("null", "this is null"),
        ("{'a': 1}", "not a JSON object"),
        ('{"a": 1e999}', "a number that no JSON reader takes"),
        ('{"a": Infinity}', "a number that no JSON reader takes"),
        ('{"a": ' + "9" * 5_000 + "}", "a number that no JSON reader takes"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_a_broken_line_is_told_by_its_number(tmp_path: Path, line: str, words: str) -> None:
    fault = refused(tmp_path, '{"a": 1}\n' * 712 + line + "\n", "in.jsonl")
    first = fault.message.splitlines()[0]
    assert first.startswith(f"{tmp_path}/in.jsonl:713: ")
    assert words in first


def test_json_lines_of_another_encoding_are_told_and_read_when_it_is_said(tmp_path: Path) -> None:
    content = '{"a": 1}\n{"a": "ü"}\n'.encode("latin-1")
    fault = refused(tmp_path, content, "in.jsonl")
    assert ":2: not utf-8 text: byte 0xfc at offset 16" in fault.message
    assert "--encoding latin-1" in str(fault.fix)
    rows = list(opened(tmp_path, content, "in.jsonl", encoding="latin-1").rows())
    assert rows == [{"a": 1}, {"a": "ü"}]


def test_keys_that_are_data_are_no_columns(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({str(number): 1}) for number in range(10_001))
    fault = refused(tmp_path, lines, "in.jsonl")
    assert ":10001: more than 10,000 different keys" in fault.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "an empty array"),
        ('[{"a": 1}', ":1: a comma or ] was expected after the row before; the file ends here"),
        ('[{"a": 1}\n {"a": 2}]', ":2: a comma or ] was expected"),
        ('[{"a": 1},\n', ":2: not JSON: expecting value; the file ends here"),
        ('[{"a": 1},\n{"a": tru}]', ":2: not JSON: expecting value"),
        ('[{"a": 1},\n"text"]', ":2: a row is a JSON object with column names; this is a text"),
        ('[{"a": 1}]\n]', ":2: more text after the array's end"),
        ('[{"a": "never closed}]', "unterminated string"),
    ],
)
def test_a_broken_array_is_told_by_its_line(tmp_path: Path, content: str, words: str) -> None:
    assert words in refused(tmp_path, content, "in.json").message


def test_an_array_is_read_by_the_lines_of_its_objects(tmp_path: Path) -> None:
    content = json.dumps([{"a": 1, "b": ["x,y", "]"]}, {"a": "}\n{"}], indent=2)
    source = opened(tmp_path, content, "in.json")
    assert source.format == "json"
    assert list(source.rows()) == [{"a": 1, "b": ["x,y", "]"]}, {"a": "}\n{", "b": None}]


@given(ROWS, st.integers(1, 40), st.data())
@settings(max_examples=200, deadline=None)
def test_where_a_window_cuts_an_array_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    window: int,
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.getbasetemp() / "windows.json"
    indent = data.draw(st.sampled_from([None, 1]))
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=data.draw(st.booleans())))
    first = data.draw(st.integers(0, len(rows) + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array, "_WINDOW", window)
        source = open_source(path)
        assert list(source.rows(first)) == filled(rows, source.columns)[first:]


@given(ROWS, st.data())
@settings(deadline=None)
def test_lines_from_a_position_are_the_rest_of_all_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    blank = st.sampled_from(["", "\n", " \n", "\r\n"])
    path.write_text("".join(data.draw(blank) + json.dumps(row) + "\n" for row in rows))
    source = open_source(path, format="jsonl")
    first = data.draw(st.integers(0, len(rows) + 1))
    assert list(source.rows(first)) == filled(rows, source.columns)[first:]


@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    rows = [{"id": number, "text": "word " * 100} for number in range(20_000)]
    path = tmp_path / name
    if name == "in.json":
        path.write_text(json.dumps(rows))
    elif name == "in.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text("id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows))
    del rows
    tracemalloc.start()
    try:
        count = sum(1 for _ in open_source(path).rows())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 4 << 20 < path.stat().st_size


START = st.sampled_from(
    [b"", b"[", b'{"a": 1}\n', b"a,b\n1,2\n", b"\x1f\x8b", b"\xff\xfe", b"PAR1"]
)
NAMES = st.sampled_from([f"in.{end}" for end in ("csv", "tsv", "jsonl", "json", "txt", "csv.gz")])


@given(START, st.binary(max_size=60) | st.text(max_size=30).map(str.encode), NAMES)
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_rows_or_a_told_fault(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(start + rest)
    for encoding in ("utf-8", "utf-16", "latin-1"):
        # Any other exception, and no row at all, is a failure.
        with suppress(BadInput):
            assert list(open_source(path, encoding=encoding).rows())
