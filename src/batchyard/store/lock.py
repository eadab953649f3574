"""One server at a time: an exclusive lock on the data directory, held by its whole family."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from pathlib import Path
from typing import Literal

from batchyard.errors import ConfigurationError, DataDirectoryBusy, StorageFailed

LOCK_NAME = "lock"
_FAILING = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ENFILE, errno.EMFILE)
"""Faults of the machine; all others come from where the directory was said to be."""

_TRIES = 40
_TRY_SECONDS = 0.05


def lock(data_dir: Path, *, tries: int = _TRIES) -> int:
    """Lock `data_dir`, making it (0700) if need be; returns a file descriptor children inherit.

    The lock lasts until the last process that has the descriptor is gone, so a server whose
    children outlive it for a moment is waited for, two seconds in all. Blocks; raises
    DataDirectoryBusy, having touched nothing, ConfigurationError where there is no such place for
    us, or StorageFailed.
    """
    return _acquire(data_dir, LOCK_NAME, fcntl.LOCK_EX, tries)


def lock_half(
    data_dir: Path, half: Literal["api", "dispatch"], *, tries: int = _TRIES
) -> list[int]:
    """The same for a server that runs one half: it may stand beside other halves, not beside a
    whole server, and there is one dispatch at a time."""
    held = [_acquire(data_dir, LOCK_NAME, fcntl.LOCK_SH, tries)]
    if half == "dispatch":
        held.append(_acquire(data_dir, f"{LOCK_NAME}.dispatch", fcntl.LOCK_EX, tries))
    return held


def _acquire(data_dir: Path, name: str, kind: int, tries: int) -> int:
    try:
        make_private_folder(data_dir)
        fd = os.open(data_dir / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fault = StorageFailed if error.errno in _FAILING else ConfigurationError
        raise fault(
            f"cannot use the data directory {data_dir}: {error.strerror}",
            fix="choose another with --data-dir, or mend its permissions",
        ) from error
    if not _locked(fd, kind, tries):
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise DataDirectoryBusy(
            f"the data directory {data_dir} is in use by another Batchyard server"
            + (f" (process {owner})." if owner.isdecimal() else "."),
            fix="stop that server first, or give this one its own --data-dir",
        )
    if kind == fcntl.LOCK_EX:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    os.set_inheritable(fd, True)
    return fd


def make_private_folder(path: Path) -> None:
    """A folder only its owner can enter, made if need be. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)


def _locked(fd: int, kind: int, tries: int) -> bool:
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        threading.Event().wait(_TRY_SECONDS)
    return False
