"""What can be read only once, kept as a file: complete and durable, or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from batchyard.pipeline.source.file import bad_input


@contextmanager
def keeping(target: Path, name: str) -> Iterator[IO[bytes]]:
    """A file to write `name` into, which becomes `target` when the block ends without an error.

    Raises `BadInput` where nothing can be kept.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        words = f"{name} could not be kept in {target.parent}: {error.strerror}"
        raise bad_input(words, fix="a folder that can be written, and has the space") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where a folder can be opened for that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
