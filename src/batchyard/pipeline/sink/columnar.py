"""Parquet and Arrow files, typed by what comes, in row groups that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from batchyard.pipeline.sink.arrays import array_of, as_type, wider
from batchyard.pipeline.sink.target import Target, bad_output

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 10_000
CHARACTERS = 16 << 20
"""Rows are gathered up to either; what was gathered becomes one row group."""

_METADATA = b"pandas"
"""What pandas says of its index is kept; other metadata would be wrong about the new columns."""


class ColumnarSink:
    """Typed columns. A value that does not fit what came before makes its column wider, at worst
    text, and what is written already is written again."""

    def __init__(
        self, target: Target, columns: Sequence[str], format: str, like: pa.Schema | None = None
    ) -> None:
        """Columns that `like` has keep its types. Raises `BadOutput` without pyarrow."""
        try:
            import pyarrow as pa
        except ImportError as error:
            target.discard()
            raise bad_output(
                "writing Parquet and Arrow files needs pyarrow, which is not installed",
                fix="pip install 'batchyard[parquet]'",
            ) from error
        known = {field.name: field.type for field in like or ()}
        metadata = like.metadata or {} if like is not None else {}
        self._metadata = {key: metadata[key] for key in metadata if key == _METADATA}
        self._target, self._format, self._columns = target, format, tuple(columns)
        self._like = [known.get(name) for name in columns]
        # Null as long as nothing but None has come: written as text, which None may become.
        self._types: list[pa.DataType] = [known.get(name, pa.null()) for name in columns]
        self._rows: list[Sequence[object]] = []
        self._characters = 0
        self._writer: Any = None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import pyarrow as pa

        # Closing writes the rest, which a full disk refuses once more.
        with suppress(OSError, pa.ArrowException):
            self._close()
        self._target.discard()

    def write(self, values: Sequence[object]) -> None:
        """See `Sink.write`."""
        self._rows.append(values)
        for value in values:
            if isinstance(value, str | bytes):
                self._characters += len(value)
        if len(self._rows) >= ROWS or self._characters >= CHARACTERS:
            self._flush()

    def commit(self) -> None:
        """See `Sink.commit`."""
        if self._rows or self._writer is None:
            self._flush()
        with self._told():
            self._close()
        self._target.commit()

    def _flush(self) -> None:
        import pyarrow as pa

        rows, self._rows, self._characters = self._rows, [], 0
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(self._columns)
        with self._told():
            arrays = [array_of(*each) for each in zip(columns, self._like, strict=True)]
            wanted = [wider(*each) for each in zip(self._types, _types(arrays), strict=True)]
            try:
                self._write(arrays, wanted)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError):
                # An integer that no float holds, and its like: text holds everything.
                known = zip(wanted, self._types, _types(arrays), strict=True)
                self._write(arrays, [a if a == b == c else pa.string() for a, b, c in known])

    def _write(self, arrays: Sequence[pa.Array], types: list[pa.DataType]) -> None:
        """Write a group under a schema of `types`, everything before it again if that is new."""
        import pyarrow as pa

        schema = self._schema(types)
        fitting = [as_type(*each) for each in zip(arrays, schema.types, strict=True)]
        if self._writer is None or schema.types != self._schema(self._types).types:
            self._begin(schema)
        self._types = types
        self._writer.write_table(pa.Table.from_arrays(fitting, schema=schema))

    def _begin(self, schema: pa.Schema) -> None:
        """Open a part under `schema`; what an earlier part holds goes into it."""
        import pyarrow as pa

        self._close()
        target, earlier = self._target, self._target.part
        part = earlier.with_name(f"{earlier.name}.wider") if self._begun else earlier
        writer = self._open(part, schema)
        try:
            for table in self._groups(earlier) if self._begun else ():
                columns = zip(table.columns, schema.types, strict=True)
                arrays = [as_type(column, kind) for column, kind in columns]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                writer.close()
            part.unlink(missing_ok=True)
            raise
        if part != earlier:
            earlier.unlink()
        target.part, self._writer, self._begun = part, writer, True

    def _groups(self, path: Path) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._format == "parquet":
            with pq.ParquetFile(path) as file:
                yield from map(file.read_row_group, range(file.num_row_groups))
        else:
            with pa.ipc.open_file(str(path)) as reader:
                for number in range(reader.num_record_batches):
                    yield pa.Table.from_batches([reader.get_batch(number)])

    def _open(self, path: Path, schema: pa.Schema) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._format == "parquet":
            return pq.ParquetWriter(path, schema)
        return pa.ipc.new_file(str(path), schema)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _schema(self, types: Sequence[pa.DataType]) -> pa.Schema:
        import pyarrow as pa

        texts = [pa.string() if pa.types.is_null(kind) else kind for kind in types]
        return pa.schema(list(zip(self._columns, texts, strict=True)), metadata=self._metadata)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What pyarrow refuses, as `BadOutput`."""
        import pyarrow as pa

        with self._target.told():
            try:
                yield
            except pa.ArrowException as error:
                words = str(error).splitlines()[0]
                raise bad_output(
                    f"{self._target.name} cannot be written as {self._format}: {words}",
                    fix="a .csv or .jsonl file",
                ) from error


def _types(arrays: Sequence[pa.Array]) -> list[pa.DataType]:
    return [array.type for array in arrays]
