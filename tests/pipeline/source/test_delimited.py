"""CSV and TSV: cells as they stand, and a fault is told by its line."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.errors import BadInput
from batchyard.pipeline.source import Source, open_source
from batchyard.pipeline.source.delimited import delimiter_of


def opened(folder: Path, content: str | bytes, name: str = "in.csv", **options: str) -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(path, **options)  # type: ignore[arg-type]  # options are all of one type


def refused(folder: Path, content: str | bytes, name: str = "in.csv", **options: str) -> BadInput:
    """The fault of opening and reading everything."""
    with pytest.raises(BadInput) as caught:
        list(opened(folder, content, name, **options).rows())
    assert caught.value.message.endswith("\nnothing was sent")
    return caught.value


def test_cells_are_texts_as_they_stand(tmp_path: Path) -> None:
    source = opened(tmp_path, 'id,text\n007,"a, ""b""\nc"\n1.50,\n')
    assert source.format == "csv"
    assert source.columns == ("id", "text")
    assert list(source.rows()) == [
        {"id": "007", "text": 'a, "b"\nc'},
        {"id": "1.50", "text": ""},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_of_all_systems_are_read(
    tmp_path: Path, end: str, mark: bytes
) -> None:
    source = opened(tmp_path, mark + f'"a",b{end}1,2{end}{end}3,4'.encode())
    assert list(source.rows()) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_a_file_packed_with_gzip_is_read_as_if_it_were_not(tmp_path: Path) -> None:
    source = opened(tmp_path, gzip.compress(b"a,b\n1,2\n"), "in.csv.gz")
    assert list(source.rows()) == [{"a": "1", "b": "2"}]


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    fault = refused(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 9_000)[:-20], "in.csv.gz")
    assert "damaged or cut short" in fault.message


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_by_looking(tmp_path: Path, delimiter: str) -> None:
    content = delimiter.join(["a", "b", "c"]) + "\n" + delimiter.join(["1", '"x\ny"', "2"]) + "\n"
    assert list(opened(tmp_path, content).rows()) == [{"a": "1", "b": "x\ny", "c": "2"}]


@pytest.mark.parametrize(
    ("sample", "delimiter"),
    [
        ("id;Preis, netto;text\n1;2,50;gut\n", ";"),
        ("text\nno delimiter, but commas\n", None),
        ("a,b\n1;2,3\n", ","),
        ("name|x,y\nn|1,2\nm|3\n", "|"),
        ("a,b,c\n1|2,3,4\n", ","),
    ],
)
def test_a_delimiter_has_to_part_every_row_alike(sample: str, delimiter: str | None) -> None:
    assert delimiter_of(sample) == delimiter


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert list(opened(tmp_path, "text\nhello\n").rows()) == [{"text": "hello"}]


def test_a_cell_of_two_megabytes_is_a_cell(tmp_path: Path) -> None:
    long = "long " * 400_000
    assert list(opened(tmp_path, f"a,b\n1,{long}\n").rows()) == [{"a": "1", "b": long}]


def test_reading_lowers_no_limit_that_another_part_of_the_process_has_set(tmp_path: Path) -> None:
    before = csv.field_size_limit(2**31 - 1)
    try:
        opened(tmp_path, "a,b\n1,2\n")
        assert csv.field_size_limit() == 2**31 - 1
    finally:
        csv.field_size_limit(before)


def test_a_row_of_another_width_is_told_by_its_line(tmp_path: Path) -> None:
    content = "id,text\n" + "1,a\n" * 711 + "2,x,y\n3,b\n"
    fault = refused(tmp_path, content)
    assert fault.message.startswith(
        f"{tmp_path}/in.csv:713: 3 cells, but the header has 2 columns (id, text), "
        "separated by comma"
    )
    assert "quotes" in str(fault.fix)


def test_a_row_that_is_too_short_is_told_by_the_line_on_which_it_begins(tmp_path: Path) -> None:
    fault = refused(tmp_path, 'a,b,c\n1,2,3\n"x\ny",2\n')
    assert ":3: 2 cells, but the header has 3 columns" in fault.message


def test_a_quote_that_is_never_closed_is_told_by_the_row_that_opens_it(tmp_path: Path) -> None:
    fault = refused(tmp_path, 'a,b\n1,2\n3,"4\n5,6\n')
    assert ":3: a quoted cell that begins in this row is never closed" in fault.message


def test_text_after_a_closing_quote_is_told(tmp_path: Path) -> None:
    fault = refused(tmp_path, 'a,b\n1,2\n3,"4" 5\n')
    assert ":3: a quoted cell of this row goes on after its closing quote" in fault.message


def test_a_nul_byte_deep_in_the_file_is_told_by_its_line(tmp_path: Path) -> None:
    fault = refused(tmp_path, "a,b\n" + "1,2\n" * 100_000 + "3,\0\n")
    assert fault.message.startswith(f"{tmp_path}/in.csv:100002: a NUL byte")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ("\n\n", "nothing but blank lines"),
        ("a,b\n", "a header and no rows"),
        ("a,b,a\n1,2,3\n", 'the header has column "a" 2 times (columns 1, 3)'),
        ("a,,\n1,2,3\n", "column without a name 2 times"),
    ],
)
def test_a_file_without_a_proper_header_or_a_row_is_told(
    tmp_path: Path, content: str, words: str
) -> None:
    assert words in refused(tmp_path, content).message


def test_one_column_may_lack_a_name_as_pandas_writes_its_index(tmp_path: Path) -> None:
    assert list(opened(tmp_path, ",a\n0,1\n").rows()) == [{"": "0", "a": "1"}]


@pytest.mark.parametrize(
    ("encoding", "suggested"),
    [("latin-1", "latin-1"), ("cp1252", "cp1252")],
)
def test_the_byte_that_is_no_text_is_named_with_its_line_and_its_offset(
    tmp_path: Path, encoding: str, suggested: str
) -> None:
    letter = "ü" if encoding == "latin-1" else "„"
    before = "a,b\n" + "1,2\n" * 100_000 + "3,"
    content = f"{before}{letter}\n".encode(encoding)
    fault = refused(tmp_path, content)
    assert f":100002: not utf-8 text: byte 0x{content[len(before)]:02x}" in fault.message
    assert f"at offset {len(before):,}" in fault.message
    assert f"--encoding {suggested} " in str(fault.fix)
    rows = list(opened(tmp_path, content, encoding=suggested).rows())
    assert rows[-1] == {"a": "3", "b": letter}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_and_read_when_it_is_said(tmp_path: Path, encoding: str) -> None:
    content = "a,b\n1,ü\n".encode(encoding)
    fault = refused(tmp_path, content)
    assert "it looks like UTF-16" in fault.message
    assert f"--encoding {encoding} " in str(fault.fix)
    rows = list(opened(tmp_path, content, encoding=encoding).rows())
    assert rows == [{"a": "1", "b": "ü"}]


def test_an_encoding_that_does_not_exist_is_told(tmp_path: Path) -> None:
    assert 'no text encoding "utf-9"' in refused(tmp_path, "a\n1\n", encoding="utf-9").message
    assert 'no text encoding "hex"' in refused(tmp_path, "a\n1\n", encoding="hex").message


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_rows_from_a_position_are_the_rest_of_all_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("rows") / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "b"], *rows])
    source = open_source(path)
    everything = list(source.rows())
    assert [list(row.values()) for row in everything] == rows
    first = data.draw(st.integers(0, len(rows) + 1))
    assert list(source.rows(first)) == everything[first:]
