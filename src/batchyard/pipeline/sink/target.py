"""A file in the making: written beside its target, then renamed; or straight to standard output."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from batchyard.errors import BadOutput
from batchyard.pipeline.source.keeping import sync_folder

STDOUT = "-"
_KEPT = "answers are kept in the run; nothing was written"


def bad_output(what: str, *, fix: str | None = None) -> BadOutput:
    """The fault, and what became of the answers."""
    return BadOutput(f"{what}\n{_KEPT}", fix=fix)


class Target:
    """The place `path`, or standard output for `-`. `part` is the file to be filled.

    Devices and pipes have no name to rename to: like standard output they get a copy of `part`.
    """

    def __init__(self, path: str | Path) -> None:
        """Makes the empty part. Raises `BadOutput` when it cannot be."""
        self.name = "standard output" if str(path) == STDOUT else str(path)
        self._path = None if str(path) == STDOUT else Path(path)
        with self.told():
            self._copied = self._path is None or _is_no_file(self._path)
            if self._path is not None and not self._copied:
                # A link stays a link: what it points at is replaced.
                self._path = Path(os.path.realpath(self._path))
            self.part = self._part()
            self.part.touch(mode=0o600 if self._copied else 0o666, exist_ok=False)

    def commit(self) -> None:
        """Give the filled part its name, durably."""
        with self.told():
            if self._copied:
                self._copy()
                self.part.unlink()
                return
            assert self._path is not None
            with self.part.open("rb+") as file:
                os.fsync(file.fileno())
            if self._path.exists():
                shutil.copymode(self._path, self.part)
            self.part.replace(self._path)
            sync_folder(self._path.parent)

    def discard(self) -> None:
        """Leave nothing behind; after `commit` there is nothing to leave."""
        with suppress(OSError):
            self.part.unlink(missing_ok=True)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Faults of the disk inside the block become `BadOutput`, and the part goes."""
        try:
            yield
        except OSError as error:
            if hasattr(self, "part"):
                self.discard()
            raise self._unwritable(error) from error

    def _part(self) -> Path:
        token = secrets.token_hex(4)
        if self._copied or self._path is None:
            return Path(tempfile.gettempdir()) / f"batchyard-{token}.part"
        if self._path.is_dir():
            raise bad_output(
                f"{self.name} is a folder", fix=f"a file in it: {self.name}/labelled.csv"
            )
        folder = self._path.parent
        if not folder.is_dir():
            raise bad_output(f"there is no folder {folder}", fix=f"mkdir -p {folder}")
        if self._path.exists() and not os.access(self._path, os.W_OK):
            raise bad_output(f"{self.name} is read-only", fix=f"chmod u+w {self.name}")
        return folder / f".{self._path.name}.{token}.part"

    def _copy(self) -> None:
        with self.part.open("rb") as filled:
            if self._path is not None:
                with self._path.open("wb") as device:
                    shutil.copyfileobj(filled, device, 1 << 20)
                return
            out: IO[bytes] = sys.stdout.buffer
            shutil.copyfileobj(filled, out, 1 << 20)
            out.flush()

    def _unwritable(self, error: OSError) -> BadOutput:
        # pyarrow tells more than we want, so the number of the error is asked.
        words = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        fix = "another place with -o"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = f"free some space, or {fix}"
            with suppress(OSError):
                words += f" ({shutil.disk_usage(self.part.parent).free / 1e6:,.0f} MB free there)"
        return bad_output(f"{self.name} cannot be written: {words}", fix=fix)


def _is_no_file(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
