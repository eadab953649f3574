"""JSON Lines and arrays of objects: the columns are all keys, in order of first appearance."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from batchyard.pipeline.source.file import InputFile

COLUMNS_MAX = 10_000
"""Objects whose keys are data (ids, dates) would make a column of each."""

Objects = Callable[[InputFile, int], Iterator[tuple[int, dict[str, object]]]]
"""The objects of a file from a position on, each with the line on which it begins."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class ObjectsSource:
    """Rows as JSON objects. A key that a row lacks is None in it."""

    schema = None

    def __init__(
        self, file: InputFile, format: str, objects: Objects, columns: Sequence[str] | None = None
    ) -> None:
        """Reads the file once, unless `columns` are known. Raises `BadInput` as rows do."""
        self._file, self.name, self.path, self.format = file, file.name, file.path, format
        self._objects = objects
        self.columns = tuple(_columns(file, objects) if columns is None else columns)

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        """See `Source.rows`."""
        columns, width = self.columns, len(self.columns)
        for _, fields in self._objects(self._file, first):
            if len(fields) == width:
                yield fields
            else:
                yield {name: fields.get(name) for name in columns}

    def fingerprint(self) -> str:
        return self._file.fingerprint()


def _columns(file: InputFile, objects: Objects) -> Iterator[str]:
    found: dict[str, None] = {}
    alike: set[tuple[str, ...]] = set()
    for line, fields in objects(file, 0):
        keys = tuple(fields)
        if keys in alike:
            continue
        found.update(dict.fromkeys(keys))
        if len(found) > COLUMNS_MAX:
            raise file.fault(
                f"more than {COLUMNS_MAX:,} different keys so far; each would be a column",
                line=line,
                fix="use the same keys in each object, and lists for what differs",
            )
        if len(alike) < COLUMNS_MAX:
            alike.add(keys)
    return iter(found)


def objects_of_lines(file: InputFile, first: int = 0) -> Iterator[tuple[int, dict[str, object]]]:
    """One object a line; blank lines are skipped. Raises `BadInput`."""
    position = -1
    line = 0
    for line, text in enumerate(_lines(file), 1):
        if text.isspace():
            continue
        position += 1
        if position < first:
            continue
        try:
            fields = _decode(text)
        except (ValueError, RecursionError):
            fields = decoded(file, text, line)
        yield line, fields
    if position < 0:
        raise file.fault("no rows in it", fix="one JSON object a line")


def _lines(file: InputFile) -> Iterator[bytes]:
    if file.is_utf8:
        with file.binary() as binary:
            for number, line in enumerate(binary):
                yield line.removeprefix(codecs.BOM_UTF8) if number == 0 else line
    else:
        with file.text(newline="\n") as text:
            for one in text:
                yield one.encode("utf-8", "replace")


def decoded(file: InputFile, text: bytes, line: int) -> dict[str, object]:
    """The object that `text` is, mended where it is one to Python only: NaN is None, and U+FFFD
    stands for half a surrogate pair. Raises `BadInput` for anything else."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise file.undecodable() from None
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        fault = str(error)
    except RecursionError:
        raise file.fault("nested too deeply", line=line) from None
    try:
        value = json.loads(text, parse_constant=_constant, parse_float=_finite)
        if not isinstance(value, dict):
            raise _not_an_object(file, value, line)
        mended = json.dumps(value, ensure_ascii=False)
        return _decode(mended.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (json.JSONDecodeError, RecursionError):
        raise _broken(file, fault, line) from None
    except (ValueError, msgspec.DecodeError):
        raise _broken(file, "a number that no JSON reader takes", line) from None


def _constant(name: str) -> None:
    if name != "NaN":
        _refuse(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        _refuse(digits)
    return number


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)


def _not_an_object(file: InputFile, value: object, line: int) -> Exception:
    kinds: dict[type, str] = {list: "an array", str: "a text", bool: "a truth value"}
    kind = "null" if value is None else kinds.get(type(value), "a number")
    return file.fault(
        f"a row is a JSON object with column names; this is {kind}",
        line=line,
        fix='for example {"text": "…"}',
    )


def _broken(file: InputFile, words: str, line: int) -> Exception:
    words = words.removeprefix("JSON is malformed: ")
    return file.fault(
        f"not a JSON object: {words[:1].lower()}{words[1:]}",
        line=line,
        fix="one whole JSON object for each row",
    )
