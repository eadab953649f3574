"""Columns of values as Arrow arrays: the type that holds all of them, at worst text."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchyard.pipeline.sink.cells import mended, text_of

if TYPE_CHECKING:
    import pyarrow as pa

_TOGETHER: tuple[set[type], ...] = ({int, float}, {int, decimal.Decimal}, {list, tuple})
"""Kinds of values that have a type in common. Others would lose something or be refused."""


def array_of(values: Sequence[object], like: pa.DataType | None = None) -> pa.Array:
    """`values` as an array of type `like` where they fit, of their own type, or as texts."""
    import pyarrow as pa

    try:
        if like is not None:
            return pa.array(values, type=like)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        pass
    try:
        if _alike(values):
            array = pa.array(values)
            if _storable(array.type):
                return array
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        pass
    return _texts(values)


def wider(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    """The type that holds values of both; text where nothing else does."""
    import pyarrow as pa

    if old == new or pa.types.is_null(new):
        return old
    if pa.types.is_null(old):
        return new
    if _is_number(old) == _is_number(new) and _is_text(old) == _is_text(new):
        schemas = [pa.schema([("", kind)]) for kind in (old, new)]
        try:
            return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except pa.ArrowException:
            pass
    return pa.string()


def as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """`array` in another type. Raises `ArrowException` where a value would change by it."""
    import pyarrow as pa

    if array.type == kind:
        return array
    if _is_text(kind) and not _is_text(array.type):
        return _texts(array.to_pylist())
    return pa.array(array.to_pylist(), type=kind)


def _texts(values: Sequence[object]) -> pa.Array:
    import pyarrow as pa

    texts = [None if value is None else text_of(value) for value in values]
    try:
        return pa.array(texts, type=pa.string())
    except UnicodeEncodeError:
        return pa.array(list(map(mended, texts)), type=pa.string())


def _alike(values: Sequence[object]) -> bool:
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        return any(kinds <= together for together in _TOGETHER)
    if kinds == {dt.datetime}:
        # Arrow would take the zone of the first for all of them.
        return len({getattr(value, "tzinfo", None) for value in values if value is not None}) == 1
    return True


def _storable(kind: pa.DataType) -> bool:
    """Whether Parquet can hold it: it has no place for objects that never have a key."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_storable(field.type) for field in kind)
    if pa.types.is_list(kind):
        return _storable(kind.value_type)
    return True


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
