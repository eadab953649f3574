"""A frame like the one that came in, with new columns at its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

from batchyard.pipeline.sink.cells import text_of
from batchyard.pipeline.sink.target import bad_output
from batchyard.pipeline.source.frames import kind_of

Frame = TypeVar("Frame")


def frame_like(frame: Frame, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Frame:
    """A new frame of the same type: the old columns, index and types, then `columns`.

    `rows` gives the new values of each row, in the frame's order. Raises `BadOutput` for a column
    that the frame has already, and for more or fewer rows than the frame has.
    """
    kind = kind_of(frame)
    there = _names(frame, kind)
    if twice := [column for column in columns if column in there]:
        raise bad_output(
            f'{type(frame).__name__} has a column "{twice[0]}" already',
            fix="rename it, or give the new columns a prefix",
        )
    values = [list(row) for row in rows]
    size = len(frame)  # type: ignore[arg-type]  # every frame that kind_of knows has a length
    if len(values) != size:
        raise bad_output(f"{len(values):,} rows for a frame of {size:,}")
    by_column = [[row[at] for row in values] for at in range(len(columns))]
    like: Frame = _WAYS[kind](frame, dict(zip(columns, by_column, strict=True)))
    return like


def _names(frame: Any, kind: str) -> set[str]:
    if kind == "list":
        return set().union(*frame)
    names = frame.column_names if kind in ("pyarrow", "dataset") else frame.columns
    return {str(name) for name in names}


def _dicts(frame: Any, new: dict[str, list[object]]) -> Any:
    rows = [dict(row) for row in frame]
    for name, values in new.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return type(frame)(rows)


def _pandas(frame: Any, new: dict[str, list[object]]) -> Any:
    like = frame.copy(deep=False)
    for name, values in new.items():
        # A list goes in by place: a series would be joined by the labels of the index.
        like[name] = values
    return like


def _pyarrow(frame: Any, new: dict[str, list[object]]) -> Any:
    from batchyard.pipeline.sink.arrays import array_of

    for name, values in new.items():
        frame = frame.append_column(name, array_of(values))
    return frame


def _dataset(frame: Any, new: dict[str, list[object]]) -> Any:
    for name, values in new.items():
        frame = frame.add_column(name, _alike(values))
    return frame


def _other(frame: Any, new: dict[str, list[object]]) -> Any:
    import narwhals.stable.v2 as nw

    native = nw.from_native(frame, eager_only=True)
    added = [
        nw.new_series(name, _alike(values), backend=native.implementation)
        for name, values in new.items()
    ]
    return native.with_columns(*added).to_native()


_WAYS = {
    "list": _dicts,
    "pandas": _pandas,
    "polars": _other,
    "pyarrow": _pyarrow,
    "dataset": _dataset,
    "frame": _other,
}


def _alike(values: list[object]) -> list[object]:
    """The values, as texts where they are of kinds that no typed column holds together."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [value if value is None else float(cast("float", value)) for value in values]
    return [None if value is None else text_of(value) for value in values]
