"""Frames as sources: kept as JSON lines, so that a later process can go on without the frame."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from batchyard.pipeline.source.contract import Source
from batchyard.pipeline.source.file import InputFile, bad_input
from batchyard.pipeline.source.keeping import keeping
from batchyard.pipeline.source.objects import ObjectsSource, objects_of_lines

_KEPT = "input.jsonl"
_CHUNK_ROWS = 1_000
_TAKEN = "pandas, Polars or PyArrow, a Hugging Face dataset, or a list of dicts"


def source_of_frame(frame: object, folder: Path) -> Source:
    """The rows of a frame, kept in `folder`: pandas, Polars, PyArrow, Hugging Face, list of dicts.

    NaN, NaT and None are None; dates are ISO text, decimals their digits, bytes base64. Raises
    `BadInput` for frames without rows, for other kinds of objects, and where nothing can be kept.
    """
    name, columns, rows = _read(frame)
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise bad_input(
            f'{name} has column "{twice[0]}" {Counter(columns)[twice[0]]} times; '
            "a prompt could not say which is meant",
            fix="give each column a name of its own",
        )
    path = folder / _KEPT
    with keeping(path, name) as file:
        if not _keep(file, name, columns, rows):
            raise bad_input(f"{name} has no rows")
    return ObjectsSource(InputFile(path, name), "jsonl", objects_of_lines, columns)


def kind_of(frame: object) -> str:
    """`list`, `dataset`, `pandas`, `polars`, `pyarrow`, or `frame` for what narwhals knows
    besides. Raises `BadInput` for anything else. Imports none of them."""
    import narwhals.stable.v2 as nw

    if isinstance(frame, list | tuple):
        return "list"
    if hasattr(frame, "features") and hasattr(frame, "column_names"):
        return "dataset"
    if nw.dependencies.is_pandas_dataframe(frame):
        return "pandas"
    try:
        native = nw.from_native(frame, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise bad_input(f"{_shown(frame)} has two columns of one name: {error}") from error
    if not isinstance(native, nw.DataFrame):
        fix = f"one of {_TAKEN}"
        if isinstance(native, nw.LazyFrame):
            fix = ".collect() it first"
        elif isinstance(frame, Mapping):
            fix = "one split of it, for example dataset['train']"
        raise bad_input(f"rows cannot be read from {_shown(frame)}", fix=fix)
    name = native.implementation.value
    return name if name in ("polars", "pyarrow") else "frame"


def _shown(frame: object) -> str:
    kind = type(frame)
    return f"{kind.__module__.split('.')[0]}.{kind.__qualname__}"


def _read(frame: Any) -> tuple[str, list[str], Iterable[Sequence[object]]]:
    """The name, the columns and the rows in columns' order."""
    import narwhals.stable.v2 as nw

    name = type(frame).__name__
    match kind_of(frame):
        case "list":
            columns = _columns_of_dicts(frame)
            return name, columns, ([row.get(column) for column in columns] for row in frame)
        case "dataset":
            columns = list(frame.column_names)
            return name, columns, _rows_of_dataset(frame, columns)
        case "pandas":
            # By position: pandas allows any hashable as a column's name, and names twice.
            columns = [str(column) for column in frame.columns]
            return name, columns, frame.itertuples(index=False, name=None)
        case _:
            native = nw.from_native(frame, eager_only=True)
            return name, native.columns, native.iter_rows(named=False, buffer_size=_CHUNK_ROWS)


def _columns_of_dicts(rows: Sequence[object]) -> list[str]:
    found: dict[str, None] = {}
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise bad_input(
                f"row {position} of the list is {_shown(row)}, not a dict",
                fix='a dict for each row: [{"text": "…"}, …]',
            )
        found.update(dict.fromkeys(row))
    for column in found:
        if not isinstance(column, str):
            raise bad_input(f"a column of the list is named {column!r}, which is no text")
    return list(found)


def _rows_of_dataset(dataset: Any, columns: Sequence[str]) -> Iterator[Sequence[object]]:
    """By Arrow where the dataset can: pictures and sounds are then not decoded first."""
    if not hasattr(dataset, "with_format"):
        yield from ([row[column] for column in columns] for row in dataset)
        return
    for table in dataset.with_format("arrow").iter(batch_size=_CHUNK_ROWS):
        yield from zip(*(table.column(name).to_pylist() for name in columns), strict=True)


def _keep(
    file: IO[bytes], name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> int:
    """Write the rows as JSON lines; returns how many."""
    encode = msgspec.json.Encoder(enc_hook=plain).encode
    count = 0
    for row in rows:
        fields = dict(zip(columns, row, strict=True))
        try:
            line = encode(fields)
        except UnicodeEncodeError:
            line = encode({column: _mended(value) for column, value in fields.items()})
        except (TypeError, ValueError, RecursionError) as error:
            raise _unkept(name, count, fields, error) from error
        file.write(line + b"\n")
        count += 1
    return count


def plain(value: Any) -> object:
    """A value that JSON has no word for as one that it has: missing is None, arrays are lists."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    for way in ("isoformat", "tolist"):  # pandas' timestamps; numpy's numbers and arrays
        if callable(getattr(value, way, None)):
            return getattr(value, way)()
    if isinstance(value, str | int | float):
        kind = next(kind for kind in (str, int, float) if isinstance(value, kind))
        return kind(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, memoryview | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"{_shown(value)} cannot be kept as JSON")


def _mended(value: object) -> object:
    """U+FFFD for half a surrogate pair, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(inner) for inner in value]
    return value


def _unkept(name: str, position: int, fields: Mapping[str, object], error: Exception) -> Exception:
    for column, value in fields.items():
        try:
            msgspec.json.encode(value, enc_hook=plain)
        except (TypeError, ValueError, RecursionError):
            return bad_input(
                f'{name}, row {position}, column "{column}": {_shown(value)} is nothing JSON has',
                fix="turn it into text, numbers, lists or dicts first",
            )
    return bad_input(f"{name}, row {position}: {error}")
