"""CSV and TSV: the delimiter found by looking, every row as wide as the header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from batchyard.errors import BadInput
from batchyard.pipeline.source.file import HEAD_BYTES, InputFile

DELIMITERS = ",;\t|"
CELL_CHARACTERS_MAX = 256 * 1024 * 1024
"""More than a batch takes. The csv module's own limit, 128 KiB, is less than a long document."""

_CHUNK = 256 * 1024
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SHOWN_MAX = 8


class DelimitedSource:
    """Rows of text cells under a header. Empty cells are empty texts; blank lines are skipped."""

    schema = None

    def __init__(self, file: InputFile, format: str) -> None:
        """Raises `BadInput` for a file without a header or a row, and for doubled column names."""
        # A limit of the whole process, raised and never lowered: others may rely on theirs.
        csv.field_size_limit(max(csv.field_size_limit(), CELL_CHARACTERS_MAX))
        self._file, self.name, self.path, self.format = file, file.name, file.path, format
        self.delimiter = "\t" if format == "tsv" else _delimiter(file)
        self.columns: tuple[str, ...] = ()
        for _, cells in self._records():
            self.columns = tuple(cells)
            break
        self._check_header()
        if next(self.rows(), None) is None:
            raise file.fault("a header and no rows", fix="one row for each thing to ask about")

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        """See `Source.rows`."""
        columns, width = self.columns, len(self.columns)
        records = self._records()
        next(records, None)
        position = 0
        for line, cells in records:
            if len(cells) != width:
                if len(cells) == 1 and not cells[0].strip():
                    continue
                raise self._uneven(line, len(cells))
            if position >= first:
                yield dict(zip(columns, cells, strict=True))
            position += 1

    def fingerprint(self) -> str:
        return self._file.fingerprint()

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins, and its cells."""
        with self._file.text() as text:
            reader = csv.reader(
                chain.from_iterable(self._lines(text)), delimiter=self.delimiter, strict=True
            )
            line = 1
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    line = reader.line_num + 1
            except csv.Error as error:
                raise self._broken(line, reader.line_num, str(error)) from None

    def _lines(self, text: io.TextIOWrapper) -> Iterator[list[str]]:
        """The lines in lists: the check for what no text holds costs one search for each list."""
        before = 0
        while lines := text.readlines(_CHUNK):
            if "\0" in "".join(lines):
                line = next(number for number, one in enumerate(lines, before + 1) if "\0" in one)
                raise self._file.fault(
                    "a NUL byte, which no text has",
                    line=line,
                    fix="write the file again, or take the bytes out: tr -d '\\000'",
                )
            before += len(lines)
            yield lines

    def _check_header(self) -> None:
        if not self.columns:
            raise self._file.fault("nothing but blank lines", fix="a header and a row at least")
        twice = [name for name, times in Counter(self.columns).items() if times > 1]
        if twice:
            places = [str(at) for at, name in enumerate(self.columns, 1) if name == twice[0]]
            shown = f'"{twice[0]}"' if twice[0] else "without a name"
            raise self._file.fault(
                f"the header has column {shown} {len(places)} times (columns {', '.join(places)}); "
                "a prompt could not say which is meant",
                line=1,
                fix="give each column a name of its own",
            )

    def _uneven(self, line: int, cells: int) -> BadInput:
        named = ", ".join(self.columns[:_SHOWN_MAX])
        more = ", …" if len(self.columns) > _SHOWN_MAX else ""
        delimiter = _NAMES[self.delimiter]
        return self._file.fault(
            f"{_counted(cells, 'cell')}, but the header has {_counted(len(self.columns), 'column')}"
            f" ({named}{more}), separated by {delimiter}",
            line=line,
            fix=f'put a cell that holds a {delimiter} or a line end in quotes: "…"',
        )

    def _broken(self, line: int, seen: int, words: str) -> BadInput:
        if "field larger" in words:
            what = f"a cell of more than {CELL_CHARACTERS_MAX:,} characters"
        elif "unexpected end" in words:
            what = f"a quoted cell that begins in this row is never closed (read to line {seen})"
        else:
            what = f"a quoted cell of this row goes on after its closing quote (line {seen})"
        return self._file.fault(
            what, line=line, fix='close each quote; a quote inside a quoted cell is doubled: ""'
        )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def delimiter_of(sample: str) -> str | None:
    """The delimiter under which all rows of `sample` are equally wide, the widest such.

    None when no delimiter parts every row alike: one column, or a broken file.
    """
    best, widest = None, 1
    for delimiter in DELIMITERS:
        widths = set(_widths(sample, delimiter))
        if len(widths) == 1 and max(widths) > widest:
            best, widest = delimiter, max(widths)
    return best


def sample_of(file: InputFile) -> str:
    """The whole lines among the first bytes of the file, as text, damage replaced."""
    with file.text() as text:
        text.reconfigure(errors="replace")
        sample = text.read(HEAD_BYTES)
        whole = not text.read(1)
    return sample if whole else sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample


def _delimiter(file: InputFile) -> str:
    sample = sample_of(file)
    found = delimiter_of(sample)
    if found is None:
        # Some row is broken, and shall be told by its line: the header alone decides.
        header = next(iter(sample.lstrip("\r\n").splitlines()), "")
        found = max(DELIMITERS, key=header.count)
    return found


def _widths(sample: str, delimiter: str) -> Iterator[int]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, strict=True)
    # A record cut by the end of the sample is an error here and none in the file.
    with suppress(csv.Error):
        for cells in reader:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield len(cells)
