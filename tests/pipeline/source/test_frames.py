"""Frames as sources: kept as JSON lines, with what a later process will read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from batchyard.errors import BadInput
from batchyard.pipeline.source import open_source, source_of_frame

VALUES: dict[str, list[Any]] = {
    "i": [1, 2],
    "f": [0.5, None],
    "s": ["a", None],
    "t": [dt.datetime.fromisoformat("2020-01-02T03:04"), None],
    "l": [["x"], []],
}
ROWS = [
    {"i": 1, "f": 0.5, "s": "a", "t": "2020-01-02T03:04:00", "l": ["x"]},
    {"i": 2, "f": None, "s": None, "t": None, "l": []},
]


class Dataset:
    """What the library of that name gives, as far as it is asked."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.features = dict.fromkeys(table.column_names)
        self.column_names = table.column_names

    def with_format(self, kind: str) -> Dataset:
        assert kind == "arrow"
        return self

    def iter(self, batch_size: int) -> Iterator[pa.Table]:
        yield from (self._table.slice(at, 1) for at in range(self._table.num_rows))


FRAMES = {
    "pandas": lambda: pd.DataFrame(VALUES),
    "polars": lambda: pl.DataFrame(VALUES),
    "pyarrow": lambda: pa.table(VALUES),
    "dataset": lambda: Dataset(pa.table(VALUES)),
    "list": lambda: [
        dict(zip(VALUES, row, strict=True)) for row in zip(*VALUES.values(), strict=True)
    ],
}


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_is_kept_and_read_again_by_another_process(tmp_path: Path, kind: str) -> None:
    frame = FRAMES[kind]()
    source = source_of_frame(frame, tmp_path / "run")
    assert source.name == type(frame).__name__
    assert source.columns == tuple(VALUES)
    assert list(source.rows()) == ROWS
    assert list(source.rows(1)) == ROWS[1:]
    again = open_source(source.path, format=source.format, name=source.name)
    assert (again.columns, list(again.rows())) == (source.columns, ROWS)
    assert again.fingerprint() == source.fingerprint()


def test_what_is_missing_is_none_however_the_frame_says_it(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "a": [np.nan, 1.0],
            "b": pd.array([None, 7], dtype="Int64"),
            "c": [pd.NaT, pd.Timestamp("2020-01-02")],
            "d": pd.Series([float("nan"), None], dtype=object),
            "e": pd.Categorical(["x", None]),
        }
    )
    assert list(source_of_frame(frame, tmp_path).rows()) == [
        {"a": None, "b": None, "c": None, "d": None, "e": "x"},
        {"a": 1.0, "b": 7, "c": "2020-01-02T00:00:00", "d": None, "e": None},
    ]


def test_values_of_other_libraries_become_json(tmp_path: Path) -> None:
    rows = [
        {
            "a": np.int64(3),
            "b": np.array([1.5, 2.5]),
            "c": np.str_("x"),
            "d": Decimal("1.50"),
            "e": b"\xff",
            "f": dt.date(2020, 1, 2),
            "g": np.float64("nan"),
            "h": "half \ud83d",
            "i": {"k": (1, "\ud83d")},
        }
    ]
    [row] = source_of_frame(rows, tmp_path).rows()
    assert list(row.values()) == [
        3, [1.5, 2.5], "x", "1.50", "/w==", "2020-01-02", None, "half \ufffd", {"k": [1, "\ufffd"]},
    ]  # fmt: skip


def test_columns_of_dicts_are_all_keys(tmp_path: Path) -> None:
    source = source_of_frame([{"b": 1}, {"a": 2}], tmp_path)
    assert source.columns == ("b", "a")
    assert list(source.rows()) == [{"b": 1, "a": None}, {"b": None, "a": 2}]


def test_columns_of_pandas_may_be_named_by_numbers(tmp_path: Path) -> None:
    assert list(source_of_frame(pd.DataFrame([[1, 2]]), tmp_path).rows()) == [{"0": 1, "1": 2}]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"a": []}), "DataFrame has no rows"),
        ([], "list has no rows"),
        ([{"a": 1}, "x"], "row 1 of the list is builtins.str, not a dict"),
        ([{1: 2}], "a column of the list is named 1"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), 'DataFrame has column "a" 2 times'),
        (
            [{"a": 1}, {"a": object()}],
            'row 1, column "a": builtins.object is nothing JSON has',
        ),
        ("reviews.csv", "rows cannot be read from builtins.str"),
        ({"train": [1]}, "rows cannot be read from builtins.dict"),
        (pl.LazyFrame({"a": [1]}), "rows cannot be read from polars.LazyFrame"),
    ],
)
def test_what_is_no_frame_of_rows_is_told(tmp_path: Path, frame: object, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        source_of_frame(frame, tmp_path)
    assert words in caught.value.message
    assert list(tmp_path.glob("*.part")) == []


def test_a_folder_in_which_nothing_can_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="could not be kept in"):
        source_of_frame([{"a": 1}], tmp_path / "file")
