"""Images and documents that a column names: a path, a URL, or the content itself.

A cell holds one of these or a list of them; a cell without a value adds nothing. A path is taken
relative to the folder of the input. What a file is, its first bytes say, not its name.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from batchyard.errors import BadInput
from batchyard.pipeline.prompt.words.values import Nothing, seen

Kind = Literal["image", "document"]

FILE_BYTES_MAX = 24 * 1024 * 1024
"""More than this does not fit into a request of 32 MB as base64."""

_WANTED = {"image": "a PNG, JPEG, GIF or WebP image", "document": "a PDF"}
_PDF_WITHIN = 1024
"""The marker of a PDF may stand behind other bytes, as far as readers look for it."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose cells name images or documents, with the folder that paths start from."""

    name: str
    kind: Kind
    folder: Path

    def blocks(self, fields: Mapping[str, object], row: int) -> Iterator[bytes]:
        """The content blocks of one row as JSON; raises `BadInput`, naming `row` and column."""
        for item in _items(fields.get(self.name)):
            try:
                yield self._block(item)
            except _Unusable as error:
                raise BadInput(
                    f"row {row}, column {self.name}: {error}; the row was not sent",
                    fix=f"a path (from {self.folder}), a URL or a base64 data: URL of "
                    f"{_WANTED[self.kind]}",
                ) from error

    def identity(self, fields: Mapping[str, object]) -> list[bytes]:
        """What tells this row's content from another's: the bytes of files, the text of the rest.

        A file that cannot be read has an identity too: that of its name.
        """
        return [self._identity(item) for item in _items(fields.get(self.name))]

    def shown(self, fields: Mapping[str, object]) -> list[str]:
        """The items of a row for people: content is not printed."""
        return [_shown(item) for item in _items(fields.get(self.name))]

    def _block(self, item: object) -> bytes:
        if isinstance(item, str) and item.startswith(("http://", "https://")):
            return _source(self.kind, {"type": "url", "url": item})
        data = _content(item, self.folder)
        media_type = type_of(data)
        if media_type is None or media_type.startswith("image/") != (self.kind == "image"):
            found = f" ({media_type})" if media_type else ""
            raise _Unusable(f"{_shown(item)} is not {_WANTED[self.kind]}{found}")
        text = base64.b64encode(data).decode()
        return _source(self.kind, {"type": "base64", "media_type": media_type, "data": text})

    def _identity(self, item: object) -> bytes:
        try:
            if isinstance(item, str) and not item.startswith(("http://", "https://", "data:")):
                return blake2b(_content(item, self.folder), digest_size=32).digest()
        except _Unusable:
            pass
        data = item if isinstance(item, bytes) else str(item).encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=32, person=b"as given").digest()


def type_of(data: bytes) -> str | None:
    """The media type by content: png, jpeg, gif, webp or pdf; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    if b"%PDF-" in data[:_PDF_WITHIN]:
        return "application/pdf"
    return None


class _Unusable(Exception):
    """Why an item is no image or document."""


def _items(cell: object) -> list[object]:
    many = list(cell) if isinstance(cell, (list, tuple)) else [cell]
    return [one for one in many if not isinstance(seen(one, ""), Nothing) and one != ""]


def _source(kind: Kind, source: dict[str, str]) -> bytes:
    return _encode({"type": kind, "source": source})


def _content(item: object, folder: Path) -> bytes:
    """The bytes that an item other than a URL stands for; raises `_Unusable`."""
    if isinstance(item, bytes):
        return item
    if not isinstance(item, str):
        raise _Unusable(f"a value of type {type(item).__name__} names no file")
    if item.startswith("data:"):
        return _of_data_url(item)
    try:
        return _of_file(folder / item)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _Unusable(f"{_shown(item)} cannot be read: {why}") from error


def _of_data_url(url: str) -> bytes:
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise _Unusable("a data: URL has no ;base64, in it")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _Unusable("a data: URL holds no valid base64") from error


def _of_file(path: Path) -> bytes:
    """The bytes of a plain file of a size that can be sent."""
    if path.exists() and not path.is_file():
        # Asked before it is opened: opening a pipe would wait for whoever writes to it.
        raise ValueError("not a plain file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > FILE_BYTES_MAX:
            raise ValueError(f"{size:,} bytes, and at most {FILE_BYTES_MAX:,} can be sent")
        return file.read(FILE_BYTES_MAX + 1)


def _shown(item: object) -> str:
    """An item in a message: a name, never content."""
    if isinstance(item, str) and not item.startswith("data:"):
        text = item if len(item) <= 200 else item[:200] + "…"
        return text.encode("utf-8", "replace").decode()
    return "a data: URL" if isinstance(item, str) else "content"
