"""Frames that come back: the same kind, the old columns untouched, the new ones at their end."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from batchyard.errors import BadOutput
from batchyard.pipeline.sink import frame_like

NEW = [["good", 1, None, ["a"], 1], ["bad", 2, "x", [], "b"], [None, 3, None, None, 0.5]]
COLUMNS = ["label", "score", "_error", "tags", "mixed"]
BY_COLUMN = {name: [row[at] for row in NEW] for at, name in enumerate(COLUMNS)}


def test_pandas_keeps_columns_index_and_types() -> None:
    frame = pd.DataFrame(
        {"a": pd.array([1, None, 3], dtype="Int8"), 7: pd.Categorical(["x", "y", "x"])},
        index=pd.Index(["r", "r", "s"], name="key"),
    )
    before = frame.copy(deep=True)
    like = frame_like(frame, COLUMNS, NEW)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(like[["a", 7]], before)
    assert list(like.columns) == ["a", 7, *COLUMNS]
    assert like["label"].tolist()[:2] == ["good", "bad"]
    assert like["score"].dtype == "int64"
    assert like["tags"].tolist() == [["a"], [], None]


def test_polars_keeps_columns_and_types() -> None:
    frame = pl.DataFrame({"a": pl.Series([1, None, 3], dtype=pl.Int8), "b": ["x", "y", None]})
    like = frame_like(frame, COLUMNS, NEW)
    assert like.select("a", "b").equals(frame)
    assert like.schema["a"] == pl.Int8
    assert like.select(COLUMNS).to_dict(as_series=False) == {
        **BY_COLUMN,
        "mixed": ["1", "b", "0.5"],
    }


def test_pyarrow_keeps_columns_and_types() -> None:
    frame = pa.table({"a": pa.array([1, None, 3], pa.int8())})
    like = frame_like(frame, COLUMNS, NEW)
    assert like.select(["a"]).equals(frame)
    assert like.select(COLUMNS).to_pydict() == {**BY_COLUMN, "mixed": ["1", "b", "0.5"]}


def test_dicts_come_back_as_new_dicts_in_a_list_of_the_same_kind() -> None:
    frame = ({"a": 1}, {"b": 2}, {})
    like = frame_like(frame, COLUMNS, NEW)
    assert type(like) is tuple
    assert like[1] == {"b": 2, **dict(zip(COLUMNS, NEW[1], strict=True))}
    assert frame == ({"a": 1}, {"b": 2}, {})


class Dataset:
    """What the library of that name gives, as far as it is asked."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.features = self.columns = columns
        self.column_names = list(columns)

    def __len__(self) -> int:
        return 3

    def add_column(self, name: str, values: list[Any]) -> Dataset:
        return Dataset({**self.columns, name: values})


def test_a_dataset_gets_columns_by_its_own_way() -> None:
    like = frame_like(Dataset({"a": [1, 2, 3]}), ["label"], [["x"], ["y"], [None]])
    assert like.columns == {"a": [1, 2, 3], "label": ["x", "y", None]}


@pytest.mark.parametrize("frame", [pd.DataFrame({"a": [1]}), pl.DataFrame({"a": [1]}), [{"a": 1}]])
def test_a_column_that_is_there_and_rows_that_are_too_few_are_told(frame: Any) -> None:
    with pytest.raises(BadOutput, match='has a column "a" already'):
        frame_like(frame, ["a"], [[1]])
    with pytest.raises(BadOutput, match="0 rows for a frame of 1"):
        frame_like(frame, ["b"], [])


def test_no_new_columns_are_no_change() -> None:
    frame = pl.DataFrame({"a": [1]})
    assert frame_like(frame, [], [[]]).equals(frame)
