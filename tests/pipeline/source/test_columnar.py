"""Parquet and Arrow files: values as they are, from any position, damage told."""

from __future__ import annotations

import builtins
import datetime as dt
import struct
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.errors import BadInput
from batchyard.pipeline.source import open_source

VALUES = {
    "i": [1, None, 2**62],
    "f": [0.5, None, -1.0],
    "s": ["a", None, "ü"],
    "b": [True, None, False],
    "t": [
        dt.datetime.fromisoformat("2020-01-02T03:04:05.000006"),
        None,
        dt.datetime.fromisoformat("0001-01-01"),
    ],
    "d": [dt.date(2020, 1, 2), None, dt.date(1, 1, 1)],
    "n": [Decimal("1.50"), None, Decimal("-2.00")],
    "l": [["x"], None, []],
    "o": [{"a": 1, "b": ["y"]}, None, {"a": None, "b": []}],
    "y": [b"\x00\xff", None, b""],
}
ROWS = [dict(zip(VALUES, row, strict=True)) for row in zip(*VALUES.values(), strict=True)]


def write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=2)


def write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_feather(table: pa.Table, path: Path) -> None:
    pyarrow.feather.write_feather(table, str(path))


WRITERS = {
    "in.parquet": write_parquet,
    "in.arrow": write_arrow,
    "in.ipc": write_stream,
    "in.feather": write_feather,
}


@pytest.mark.parametrize("name", WRITERS)
def test_values_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    WRITERS[name](pa.table(VALUES), tmp_path / name)
    source = open_source(tmp_path / name)
    assert source.columns == tuple(VALUES)
    assert source.schema == pa.table(VALUES).schema
    assert list(source.rows()) == list(source.rows()) == ROWS


@given(st.integers(1, 7), st.integers(0, 8), st.sampled_from(sorted(WRITERS)))
@settings(max_examples=60, deadline=None)
def test_rows_from_a_position_are_the_rest_of_all_rows(
    tmp_path_factory: pytest.TempPathFactory, size: int, first: int, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    WRITERS[name](pa.table({"a": range(size)}), path)
    assert [row["a"] for row in open_source(path).rows(first)] == list(range(size))[first:]


def test_parquet_is_known_by_its_first_bytes_whatever_it_is_called(tmp_path: Path) -> None:
    write_parquet(pa.table({"a": [1]}), tmp_path / "in.csv")
    assert open_source(tmp_path / "in.csv").format == "parquet"


def test_nanoseconds_are_cut_to_what_python_holds(tmp_path: Path) -> None:
    times = pa.array([1_577_934_245_123_456_789], pa.timestamp("ns"))
    write_parquet(
        pa.table({"t": times, "w": times.cast(pa.int64()).cast(pa.duration("ns"))}),
        tmp_path / "in.pq",
    )
    [row] = open_source(tmp_path / "in.pq").rows()
    assert row["t"] == dt.datetime.fromisoformat("2020-01-02T03:04:05.123456")
    assert type(row["t"]) is dt.datetime
    assert type(row["w"]) is dt.timedelta


def test_a_date_that_python_cannot_hold_is_told_by_its_column(tmp_path: Path) -> None:
    write_arrow(pa.table({"when": pa.array([2**60], pa.timestamp("us"))}), tmp_path / "in.arrow")
    with pytest.raises(BadInput, match=r'column "when".*that Python cannot hold'):
        open_source(tmp_path / "in.arrow")


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow"])
def test_a_file_without_rows_is_told(tmp_path: Path, name: str) -> None:
    WRITERS[name](pa.table({"a": pa.array([], pa.int64())}), tmp_path / name)
    with pytest.raises(BadInput, match="no rows in it"):
        open_source(tmp_path / name)


def test_a_doubled_column_is_told(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    write_parquet(table, tmp_path / "in.parquet")
    with pytest.raises(BadInput, match=r'column "a" is there twice'):
        open_source(tmp_path / "in.parquet")


def test_text_that_is_called_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="does not begin with PAR1"):
        open_source(tmp_path / "in.parquet")


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_told_or_changes_values_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(WRITERS)))
    path = tmp_path_factory.getbasetemp() / f"damaged-{name}"
    WRITERS[name](pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}), path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    # Any other exception, and no row at all, is a failure.
    with suppress(BadInput):
        assert list(open_source(path).rows())


def test_offsets_that_point_outside_the_file_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "in.arrow"
    write_arrow(pa.table({"b": ["x", "y"]}), path)
    good, bad = struct.pack("<3i", 0, 1, 2), struct.pack("<3i", 0, 1 << 30, 1 << 30)
    assert good in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(good, bad))
    with pytest.raises(BadInput, match="the file is damaged"):
        open_source(path)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(pa.table({"a": [1]}), tmp_path / "in.parquet")
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Mapping[str, object]) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match="needs pyarrow") as caught:
        open_source(tmp_path / "in.parquet")
    assert caught.value.fix == "pip install 'batchyard[parquet]'"
