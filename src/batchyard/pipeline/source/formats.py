"""Which format a file has: by its name, then by its first bytes; what they say wins."""

from __future__ import annotations

from pathlib import PurePath

import msgspec

from batchyard.pipeline.source.delimited import delimiter_of, sample_of
from batchyard.pipeline.source.file import HEAD_BYTES, InputFile

EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow"}
_UNREAD = {
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "save the sheet as CSV, or unpack it"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", "zstd -d FILE"),
    b"BZh": ("packed with bzip2", "bunzip2 FILE"),
    b"\xfd7zXZ": ("packed with xz", "unxz FILE"),
    b"%PDF": ("a PDF document", "a table with the paths of documents, and --document COLUMN"),
    b"SQLite format 3": ("an SQLite database", "sqlite3 -header -csv FILE 'select …' > rows.csv"),
}
_FIX = "--format csv, tsv, jsonl, json, parquet, arrow, requests or openai"
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def format_of(file: InputFile, head: bytes, asked: str | None) -> str:
    """The format of `file`, whose first bytes are `head`. Raises `BadInput` for what none reads."""
    for magic, (what, fix) in _UNREAD.items():
        if head.startswith(magic):
            raise file.fault(f"this is {what}, which cannot be read", fix=fix)
    named = asked or _by_name(file)
    magic_format = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if asked is None and magic_format:
        return magic_format
    if named in (None, "json", "jsonl") and asked is None:
        return _by_looking(file, head, named)
    if named == "parquet" and magic_format != "parquet":
        raise file.fault("not a Parquet file: it does not begin with PAR1", fix=_FIX)
    assert named is not None
    return named


def _by_name(file: InputFile) -> str | None:
    for path in (PurePath(file.name), file.path):
        suffix = PurePath(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if found := EXTENSIONS.get(suffix.lower()):
            return found
    return None


def _by_looking(file: InputFile, head: bytes, named: str | None) -> str:
    """The format of text that is JSON by its name, or has a name that says nothing."""
    sample = sample_of(file).lstrip()
    if sample.startswith("["):
        return "json"
    if sample.startswith("{"):
        return _kind_of_lines(file, sample, whole=len(head) < HEAD_BYTES)
    if named is not None:
        return named
    if delimiter_of(sample) is not None:
        return "csv"
    raise file.fault("its format cannot be told from its name nor from its text", fix=_FIX)


def _kind_of_lines(file: InputFile, sample: str, *, whole: bool) -> str:
    """Rows, or requests that were made ready elsewhere, by the first line."""
    first = sample.split("\n", 1)[0].encode("utf-8", "replace")
    try:
        keys = _object.decode(first).keys()
    except (ValueError, RecursionError):
        if whole and _is_one_object(sample):
            raise file.fault(
                "one JSON object over several lines; rows are an array, or one object a line",
                fix=f"jq -c '.ROWS[]' {file.name} > rows.jsonl      with the key that holds them",
            ) from None
        return "jsonl"
    if {"custom_id", "params"} == keys:
        return "requests"
    return "openai" if {"custom_id", "url", "body"} <= keys else "jsonl"


def _is_one_object(text: str) -> bool:
    try:
        _object.decode(text.encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True
