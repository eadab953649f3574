"""A file of rows as bytes and as text, and the words for what is wrong with it."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from batchyard.errors import BadInput

HEAD_BYTES = 64 * 1024
"""What is looked at to tell formats, delimiters and encodings apart."""

GZIP = b"\x1f\x8b"
_CHUNK = 256 * 1024
_UNUSED_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")


def bad_input(what: str, *, fix: str | None = None) -> BadInput:
    """The fault, and what became of the work: inputs are read before anything is sent."""
    return BadInput(f"{what}\nnothing was sent", fix=fix)


@dataclass(slots=True, weakref_slot=True)
class InputFile:
    """`path`, called `name` in messages. What gzip has packed is unpacked while it is read."""

    path: Path
    name: str
    encoding: str = "utf-8"
    _hashed: tuple[tuple[int, ...], str] | None = field(default=None, repr=False)

    def fault(self, what: str, *, line: int | None = None, fix: str | None = None) -> BadInput:
        """`what` is wrong, in `line` (from 1) where that is known."""
        place = self.name if line is None else f"{self.name}:{line}"
        return bad_input(f"{place}: {what}", fix=fix)

    @contextmanager
    def binary(self) -> Iterator[IO[bytes]]:
        """The file's bytes. Every fault of reading inside the block becomes a `BadInput`."""
        try:
            with self._unpacked() as file:
                yield file
        except UnicodeError:
            raise self.undecodable() from None
        except (OSError, EOFError, zlib.error) as error:
            raise self._unreadable(error) from error

    @contextmanager
    def text(self, newline: str = "") -> Iterator[io.TextIOWrapper]:
        """The file's text without its byte order mark, line ends as they are."""
        encoding = "utf-8-sig" if self.is_utf8 else self.encoding
        with self.binary() as file:
            yield io.TextIOWrapper(file, encoding=encoding, newline=newline)

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")

    def head(self) -> bytes:
        """The first `HEAD_BYTES`, unpacked."""
        with self.binary() as file:
            return file.read(HEAD_BYTES)

    def fingerprint(self) -> str:
        """`sha256:…` of the bytes as they lie, read again only when the file has changed."""
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if self._hashed is None or self._hashed[0] != seen:
                with self.path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                self._hashed = (seen, f"sha256:{digest}")
        except OSError as error:
            raise self._unreadable(error) from error
        return self._hashed[1]

    def _unpacked(self) -> IO[bytes]:
        with self.path.open("rb") as file:
            packed = file.read(2) == GZIP
        return cast("IO[bytes]", gzip.open(self.path)) if packed else self.path.open("rb")

    def _unreadable(self, error: Exception) -> BadInput:
        if isinstance(error, FileNotFoundError):
            return self.fault("there is no such file any more")
        if isinstance(error, OSError) and error.errno is not None:
            return self.fault(f"cannot be read: {error.strerror}")
        return self.fault(
            "the gzip data is damaged or cut short",
            fix=f"gzip --test {self.path}   tells where",
        )

    def undecodable(self) -> BadInput:
        """Where the text stops being text, and the encoding that it looks like."""
        decode = codecs.getincrementaldecoder(self.encoding)().decode
        offset = lines = 0
        with self._unpacked() as file:
            while True:
                chunk = file.read(_CHUNK)
                try:
                    decode(chunk, not chunk)
                except UnicodeDecodeError as error:
                    held = bytes(error.object)
                    # The decoder may have held back the last bytes of the chunk before.
                    start = offset - (len(held) - len(chunk)) + error.start
                    line = lines + held.count(b"\n", 0, error.start) + 1
                    return self._wrong_encoding(start, line, held[error.start :])
                except UnicodeError:
                    break
                if not chunk:
                    break
                offset += len(chunk)
                lines += chunk.count(b"\n")
        return self.fault(f"not {self.encoding} text", fix=f"--encoding {guess(self.head())}")

    def _wrong_encoding(self, offset: int, line: int, rest: bytes) -> BadInput:
        seen = f"byte 0x{rest[0]:02x} at offset {offset:,}" if rest else f"it ends at {offset:,}"
        return self.fault(
            f"not {self.encoding} text: {seen}",
            line=line,
            fix=f"--encoding {guess(self.head() + rest)}   or save it as UTF-8",
        )


def guess(sample: bytes) -> str:
    """The encoding that `sample`, which is not UTF-8, looks like."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in sample:
        return "utf-16-le" if sample[1::2].count(0) >= sample[::2].count(0) else "utf-16-be"
    high = {byte for byte in sample if 0x80 <= byte <= 0x9F}
    return "cp1252" if high and not high & _UNUSED_IN_CP1252 else "latin-1"
