"""Opening a sink: the format by the name, and the place checked before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchyard.pipeline.sink.columnar import ColumnarSink
from batchyard.pipeline.sink.contract import FORMATS, Sink
from batchyard.pipeline.sink.target import STDOUT, Target, bad_output
from batchyard.pipeline.sink.text import array_sink, delimited_sink, lines_sink
from batchyard.pipeline.source.formats import EXTENSIONS


def open_sink(
    path: str | Path,
    *,
    columns: Sequence[str],
    format: str | None = None,
    raw: bool = False,
    like: Any = None,
) -> Sink:
    """A sink for rows of `columns`; `-` is standard output, as JSON lines unless `format` differs.

    `raw` leaves cells of CSV that look like formulas as they are. `like` is an Arrow schema
    (`Source.schema`): columns that it has keep its types in Parquet and Arrow. Raises `BadOutput`
    for a place that cannot be written, an unknown format and a doubled column.
    """
    wanted = format or _by_name(path)
    if wanted not in FORMATS:
        raise bad_output(
            f"{path}: there is no output format " + (f'"{wanted}"' if wanted else "for this name"),
            fix=f"a name that ends in .{', .'.join(FORMATS)}",
        )
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise bad_output(
            f'{path} would have the column "{twice[0]}" twice: the input has one of that name',
            fix="rename it in the schema, or give the added columns another prefix",
        )
    target = Target(path)
    match wanted:
        case "csv" | "tsv":
            return delimited_sink(target, columns, "\t" if wanted == "tsv" else ",", raw=raw)
        case "jsonl":
            return lines_sink(target, columns)
        case "json":
            return array_sink(target, columns)
        case _:
            return ColumnarSink(target, columns, wanted, like)


def _by_name(path: str | Path) -> str | None:
    if str(path) == STDOUT:
        return "jsonl"
    return EXTENSIONS.get(Path(path).suffix.lower())
