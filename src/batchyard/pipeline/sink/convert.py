"""A dataset in another format, with nothing asked about it."""

from __future__ import annotations

from pathlib import Path

from batchyard.pipeline.sink.opening import open_sink
from batchyard.pipeline.source.contract import Source

_REQUEST = ("custom_id", "params")


def convert(
    source: Source, path: str | Path, *, format: str | None = None, raw: bool = False
) -> int:
    """Write all rows of `source` to `path`; returns how many. Arguments as of `open_sink`.

    `requests` and `openai` sources become Message Batches lines. Raises `BadInput`, `BadOutput`.
    """
    columns = source.columns or (_REQUEST if source.format in ("requests", "openai") else ())
    count = 0
    with open_sink(path, columns=columns, format=format, raw=raw, like=source.schema) as sink:
        for row in source.rows():
            sink.write([row[name] for name in columns])
            count += 1
        sink.commit()
    return count
