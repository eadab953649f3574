"""Sinks: whole files or none, typed columns, cells no spreadsheet runs, and faults in words."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchyard.pipeline.sink import columnar, convert, open_sink
from batchyard.pipeline.source import open_source

NAMES = ["out.csv", "out.tsv", "out.jsonl", "out.json", "out.parquet", "out.arrow"]


def write(
    path: Path | str, columns: Sequence[str], *rows: Sequence[object], **options: Any
) -> None:
    with open_sink(path, columns=columns, **options) as sink:
        for row in rows:
            sink.write(row)
        sink.commit()


def column(path: Path, *values: object) -> pa.ChunkedArray:
    """The column that Parquet makes of `values`."""
    write(path, ["x"], *([value] for value in values))
    return pq.read_table(path).column("x")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_there_when_it_is_complete_and_not_earlier(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("before")
    with open_sink(path, columns=["x"]) as sink:
        for number in range(30_000):
            sink.write([number])
        assert path.read_text() == "before"
        sink.commit()
    assert len(list(open_source(path).rows())) == 30_000
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_sink_that_is_left_without_commit_leaves_nothing(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / name, columns=["x"]) as sink:
        for number in range(30_000):
            sink.write([number])
        assert os.listdir(tmp_path) != []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_rows_is_a_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ["x", "y"])
    expected = {"out.csv": "x,y\n", "out.tsv": "x\ty\n", "out.jsonl": "", "out.json": "[\n\n]\n"}
    if name in expected:
        assert (tmp_path / name).read_text() == expected[name]


def test_a_link_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.touch(mode=0o640)
    (tmp_path / "link.csv").symlink_to(there)
    write(tmp_path / "link.csv", ["x"], [1])
    assert (tmp_path / "link.csv").is_symlink()
    assert there.read_text() == "x\n1\n"
    assert there.stat().st_mode & 0o777 == 0o640


def test_the_bytes_are_durable_before_the_name_and_the_name_before_commit_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        acts.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        acts.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    write(tmp_path / "out.csv", ["x"], [1])
    assert acts == ["file", "rename", "folder"]


# -- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", '"\'\rx"'),
        ("-5", "-5"),
        ("+3.2", "+3.2"),
        ("-1.234,56", '"-1.234,56"'),
        ("-1e-5", "-1e-5"),
        ("-5%", "-5%"),
        ("-1+2", "'-1+2"),
        ("-", "'-"),
        ("a=1", "a=1"),
        (-5, "-5"),
        (-0.5, "-0.5"),
        (Decimal("-1.50"), "-1.50"),
        (dt.timedelta(hours=-1), '"\'-1 day, 23:00:00"'),
        (True, "true"),
        (None, '""'),
        (math.nan, '""'),
        ({"a": ["ü", None]}, '"{""a"":[""ü"",null]}"'),
        ([], "[]"),
        (b"\xff", "/w=="),
        (dt.date(2020, 1, 2), "2020-01-02"),
        ("half \ud83d", "half \ufffd"),
        (2**70, str(2**70)),
    ],
)
def test_a_cell_of_csv_is_nothing_that_a_spreadsheet_would_run(
    tmp_path: Path, value: object, cell: str
) -> None:
    write(tmp_path / "out.csv", ["x"], [value])
    assert (tmp_path / "out.csv").read_bytes().decode() == f"x\n{cell}\n"


def test_raw_leaves_formulas_alone_and_headers_are_cells(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ["=x", "y"], ["=1+1", 1])
    assert (tmp_path / "out.csv").read_text() == "'=x,y\n'=1+1,1\n"
    write(tmp_path / "out.csv", ["=x", "y"], ["=1+1", 1], raw=True)
    assert (tmp_path / "out.csv").read_text() == "=x,y\n=1+1,1\n"


def test_a_bare_carriage_return_comes_back_in_its_cell(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", ["x", "y"], ["a\rb", "c\r\nd"], raw=True)
    assert list(open_source(tmp_path / "out.csv").rows()) == [{"x": "a\rb", "y": "c\r\nd"}]


def test_json_takes_what_has_no_word_in_json_as_text(tmp_path: Path) -> None:
    values = [math.nan, b"\xff", dt.date(2020, 1, 2), Decimal("1.50"), "\ud83d", 2**70, 1 + 2j]
    write(tmp_path / "out.jsonl", list("abcdefg"), values)
    [row] = open_source(tmp_path / "out.jsonl").rows()
    assert list(row.values()) == [None, "/w==", "2020-01-02", "1.50", "\ufffd", 2**70, "(1+2j)"]


# -- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "again"),
    [
        ([1, None], pa.int64(), None),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([2**60 + 1, 0.5], pa.string(), [str(2**60 + 1), "0.5"]),
        ([1, "x", None, {"a": 1}], pa.string(), ["1", "x", None, '{"a":1}']),
        ([True, 1], pa.string(), ["true", "1"]),
        ([2**70], pa.string(), [str(2**70)]),
        ([None, None], pa.string(), None),
        ([["a"], []], pa.list_(pa.string()), None),
        ([["a"], [1]], pa.string(), ['["a"]', "[1]"]),
        ([{}], pa.string(), ["{}"]),
        ([{"a": 1}, {"b": "x"}], pa.struct([("a", pa.int64()), ("b", pa.string())]),
         [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        ([dt.date(2020, 1, 2), "x"], pa.string(), ["2020-01-02", "x"]),
        ([b"\xff", "x"], pa.string(), ["/w==", "x"]),
        ([dt.date(2020, 1, 2), dt.datetime.fromisoformat("2020-01-02T03:04")], pa.string(),
         ["2020-01-02", "2020-01-02T03:04:00"]),
        ([dt.datetime.fromisoformat("2020-01-02T03:04"),
          dt.datetime.fromisoformat("2020-01-02T03:04+01:00")], pa.string(),
         ["2020-01-02T03:04:00", "2020-01-02T03:04:00+01:00"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("group", [1, 100])
def test_a_column_has_the_type_that_holds_all_its_values_wherever_a_group_ends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
    values: list[object],
    kind: pa.DataType,
    again: list[object] | None,
) -> None:
    monkeypatch.setattr(columnar, "ROWS", group)
    made = column(tmp_path / "out.parquet", *values)
    assert made.to_pylist() == (values if again is None else again)
    assert made.type.equals(kind) or str(made.type) == str(kind).replace("item", "element")
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_a_column_that_begins_with_nothing_takes_the_type_of_what_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "ROWS", 2)
    assert column(tmp_path / "a.parquet", *[None] * 5, 7).type == pa.int64()
    assert column(tmp_path / "b.parquet", *[None] * 5, "x").type == pa.string()


def test_a_column_of_the_input_keeps_its_type(tmp_path: Path) -> None:
    kinds = {
        "i": pa.array([1, None], pa.int8()),
        "s": pa.array(["a", None]).dictionary_encode(),
        "t": pa.array([dt.datetime.fromisoformat("2020-01-02"), None], pa.timestamp("ms", "UTC")),
        "n": pa.array([Decimal("1.5"), None], pa.decimal128(9, 4)),
        "m": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "f": pa.array([0.5, None], pa.float32()),
    }
    pq.write_table(pa.table(kinds), tmp_path / "in.parquet")
    convert(open_source(tmp_path / "in.parquet"), tmp_path / "out.parquet")
    before, after = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("in", "out"))
    assert after.schema.types == before.schema.types
    assert after.to_pylist() == before.to_pylist()


def test_rows_are_written_in_groups_that_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "CHARACTERS", 100)
    column(tmp_path / "out.parquet", *["x" * 60] * 6)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3
