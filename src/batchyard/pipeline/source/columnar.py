"""Parquet and Arrow files, read in small batches of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from batchyard.errors import BadInput
from batchyard.pipeline.source.file import InputFile

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1_024
_BATCH_BYTES = 8 << 20
"""As Python objects a batch takes some times as much, so long documents come in smaller ones."""

_BUFFER_BYTES = 1 << 20
_ARROW_FILE = b"ARROW1"

Batches = Callable[[int], "Iterator[tuple[int, pa.RecordBatch]]"]
"""Batches of rows from about a position on, each with the position of its first row."""


class ColumnarSource:
    """Rows with the values of the file: numbers, texts, dates, lists. Null is None; nanoseconds
    that Python's dates cannot hold are cut."""

    def __init__(self, file: InputFile, format: str) -> None:
        """Raises `BadInput` for damaged files, for files without rows and without pyarrow."""
        self._file, self.name, self.path, self.format = file, file.name, file.path, format
        with _told(file):
            self._batches = _parquet(file) if format == "parquet" else _arrow(file)
            self.schema = self._schema()
        self.columns = tuple(self.schema.names)
        twice = [name for name, times in Counter(self.columns).items() if times > 1]
        if twice:
            raise file.fault(f'column "{twice[0]}" is there twice', fix="rename one of them")
        if next(self.rows(), None) is None:
            raise file.fault("no rows in it")

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        """See `Source.rows`."""
        columns = self.columns
        with _told(self._file):
            for position, batch in self._batches(first):
                wanted = batch.slice(first - position) if position < first else batch
                values = [_values(self._file, name, wanted.column(name)) for name in columns]
                for row in zip(*values, strict=True):
                    yield dict(zip(columns, row, strict=True))

    def fingerprint(self) -> str:
        return self._file.fingerprint()

    def _schema(self) -> pa.Schema:
        if self.format != "parquet":
            return _reader(self._file).schema
        import pyarrow.parquet as pq

        return pq.read_schema(self.path)


def _parquet(file: InputFile) -> Batches:
    import pyarrow.parquet as pq

    def batches(first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as parquet:
            position = 0
            groups: list[int] = []
            for number in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(number).num_rows
                if groups or position + rows > first:
                    groups.append(number)
                else:
                    position += rows
            size = sum(parquet.metadata.row_group(number).total_byte_size for number in groups)
            count = parquet.metadata.num_rows - position
            for batch in parquet.iter_batches(_rows_at_once(size, count), row_groups=groups):
                if position + batch.num_rows > first:
                    yield position, batch
                position += batch.num_rows

    return batches


def _arrow(file: InputFile) -> Batches:
    def batches(first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        position = 0
        for whole in _record_batches(file):
            # Offsets from a file may point anywhere; unchecked, they would be followed.
            whole.validate(full=True)
            step = _rows_at_once(whole.nbytes, whole.num_rows)
            for start in range(0, whole.num_rows, step):
                batch = whole.slice(start, step)
                if position + batch.num_rows > first:
                    yield position, batch
                position += batch.num_rows

    return batches


def _rows_at_once(size: int, rows: int) -> int:
    """How many rows of `size` bytes in all fit into a batch."""
    return min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1) + 1)


def _record_batches(file: InputFile) -> Iterator[pa.RecordBatch]:
    reader = _reader(file)
    if hasattr(reader, "get_batch"):
        yield from map(reader.get_batch, range(reader.num_record_batches))
    else:
        yield from reader


def _reader(file: InputFile) -> Any:
    """Arrow's file format (Feather too) has an index at its end; its stream format has none."""
    import pyarrow as pa

    # Not mapped: whoever shortens a mapped file ends the process that reads it.
    opened = pa.OSFile(str(file.path))
    if opened.read(len(_ARROW_FILE)) == _ARROW_FILE:
        return pa.ipc.open_file(opened)
    opened.seek(0)
    return pa.ipc.open_stream(opened)


def _values(file: InputFile, name: str, column: pa.Array) -> list[object]:
    """A column as Python values. Raises `BadInput` for those that Python has no room for."""
    import pyarrow as pa

    kind = column.type
    if getattr(kind, "unit", None) == "ns":
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("us", kind.tz), safe=False)
        elif pa.types.is_duration(kind):
            column = column.cast(pa.duration("us"), safe=False)
        elif pa.types.is_time64(kind):
            column = column.cast(pa.time64("us"), safe=False)
    try:
        values: list[object] = column.to_pylist()
    except (ValueError, OverflowError, KeyError, TypeError, NotImplementedError) as error:
        raise file.fault(
            f'column "{name}" ({kind}) has a value that Python cannot hold: {error}',
            fix="cast the column, for example to text",
        ) from error
    return values


@contextmanager
def _told(file: InputFile) -> Iterator[None]:
    """What pyarrow has to say, as `BadInput`."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise file.fault(
            "reading Parquet and Arrow files needs pyarrow, which is not installed",
            fix="pip install 'batchyard[parquet]'",
        ) from error
    try:
        yield
    except BadInput:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise file.fault(f"cannot be read, the file is damaged or cut short: {first}") from error
