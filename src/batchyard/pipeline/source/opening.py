"""Opening a source: standard input is kept first, then the format is found, then a row is tried."""

from __future__ import annotations

import codecs
import difflib
import shutil
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO

from batchyard.pipeline.source.array import objects_of_array
from batchyard.pipeline.source.columnar import ColumnarSource
from batchyard.pipeline.source.contract import FORMATS, Source
from batchyard.pipeline.source.delimited import DelimitedSource
from batchyard.pipeline.source.file import InputFile, bad_input, guess
from batchyard.pipeline.source.formats import format_of
from batchyard.pipeline.source.keeping import keeping
from batchyard.pipeline.source.objects import ObjectsSource, objects_of_lines
from batchyard.pipeline.source.requests import RequestsSource

STDIN = "-"
_KEPT = "input"


def open_source(
    path: str | Path,
    *,
    format: str | None = None,
    keep_in: Path | None = None,
    encoding: str = "utf-8",
    name: str | None = None,
) -> Source:
    """The rows of a file, of standard input (`-`), or of a pipe.

    What can be read only once is first copied into the folder `keep_in`, durably, where
    `Source.path` finds it in a later process; without a folder the copy lives as long as the
    source. `name` is what messages call it, by default the path as given. Raises `BadInput`.
    """
    shown = name or ("stdin" if str(path) == STDIN else str(path))
    if format is not None and format not in FORMATS:
        raise bad_input(f'there is no format "{format}"', fix=f"one of {', '.join(FORMATS)}")
    _check_encoding(encoding)
    file = _found(path, shown, keep_in, encoding)
    head = file.head()
    if not head:
        raise file.fault("the file is empty", fix="a header and a row, or one JSON object a line")
    found = format_of(file, head, format)
    if found not in ("parquet", "arrow"):
        _check_text(file, head)
    return _opened(file, found)


def _opened(file: InputFile, format: str) -> Source:
    match format:
        case "csv" | "tsv":
            return DelimitedSource(file, format)
        case "jsonl":
            return ObjectsSource(file, format, objects_of_lines)
        case "json":
            return ObjectsSource(file, format, objects_of_array)
        case "requests" | "openai":
            return RequestsSource(file, format)
        case _:
            return ColumnarSource(file, format)


def _check_encoding(encoding: str) -> None:
    try:
        "".encode(encoding)
        b"".decode(encoding)
        codecs.getincrementaldecoder(encoding)
    except (LookupError, UnicodeError, ValueError):
        raise bad_input(
            f'there is no text encoding "{encoding}"',
            fix="--encoding utf-8, latin-1, cp1252, utf-16, … as Python names them",
        ) from None


def _check_text(file: InputFile, head: bytes) -> None:
    wide = codecs.lookup(file.encoding).name.startswith(("utf-16", "utf-32"))
    if wide or not (b"\0" in head or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))):
        return
    # Every other byte of Latin text in UTF-16 is a NUL; a stray one is no encoding.
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or head.count(0) * 4 > len(head):
        raise file.fault(
            f"not {file.encoding} text: it looks like UTF-16",
            line=1,
            fix=f"--encoding {guess(head)}   or save it as UTF-8",
        )
    offset = head.index(0)
    raise file.fault(
        f"a NUL byte at offset {offset:,}, which no text has",
        line=head.count(b"\n", 0, offset) + 1,
        fix="write the file again, or take the bytes out: tr -d '\\000'",
    )


def _found(path: str | Path, name: str, keep_in: Path | None, encoding: str) -> InputFile:
    """The file to read, after anything that can be read only once was kept."""
    if str(path) == STDIN:
        return _kept(sys.stdin.buffer, name, keep_in, encoding)
    path = Path(path)
    try:
        if path.is_dir():
            raise bad_input(
                f"{name} is a folder, not a file",
                fix=f"one file at a time, for example {_one_of(path)}",
            )
        if not path.exists():
            raise bad_input(f"{name} is not there{_nearest(path)}")
        if path.is_file():
            return InputFile(path, name, encoding)
        with path.open("rb") as pipe:
            return _kept(pipe, name, keep_in, encoding)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise bad_input(f"{name} cannot be read: {words}") from error


def _kept(stream: IO[bytes], name: str, folder: Path | None, encoding: str) -> InputFile:
    """A copy of `stream` in `folder`, complete and on the disk, or not there."""
    passing = folder is None
    folder = folder or Path(tempfile.mkdtemp(prefix="batchyard-"))
    target = folder / _KEPT
    with keeping(target, name) as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    file = InputFile(target, name, encoding)
    if passing:
        weakref.finalize(file, shutil.rmtree, folder, ignore_errors=True)
    return file


def _nearest(path: Path) -> str:
    try:
        there = [one.name for one in path.parent.iterdir()]
    except OSError:
        return f", nor is the folder {path.parent}" if not path.parent.is_dir() else ""
    near = difflib.get_close_matches(path.name, there, 1)
    return f"        did you mean {path.with_name(near[0])}?" if near else ""


def _one_of(folder: Path) -> str:
    files = sorted(one for one in folder.iterdir() if one.is_file())
    return str(files[0] if files else folder / "rows.csv")
