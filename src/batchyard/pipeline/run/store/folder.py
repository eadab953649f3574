"""Runs on disk: a folder for each under `.batchyard`, its id, and who is at work in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from batchyard.errors import NoRun
from batchyard.pipeline.run.store import manifest
from batchyard.pipeline.run.store.manifest import Manifest

LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without those that look like another one."""

SHORTEST, LONGEST = 4, 6
PREFIX = "run_"
_TRIES = 20
_LOCK = "lock"
_PASSED_OVER = ".gitignore"


def new_run(folder: Path) -> str:
    """Make the folder of a new run under `folder`; returns its id. Raises OSError.

    Others on this machine cannot look into it, and git passes over it: it holds people's rows.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for attempt in range(_TRIES):
        length = min(LONGEST, SHORTEST + attempt // 4)
        run = PREFIX + "".join(secrets.choice(LETTERS) for _ in range(length))
        with contextlib.suppress(FileExistsError):
            (folder / run).mkdir(mode=0o700)
            (folder / run / _PASSED_OVER).write_text("*\n")
            return run
    raise NoRun(f"no free id for a run in {folder}", fix="remove runs that are not needed")


def runs(folder: Path) -> list[Manifest]:
    """The manifests of all runs under `folder`, newest first, without those that are unreadable."""
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name.startswith(PREFIX):
                with contextlib.suppress(NoRun):
                    found.append(manifest.read(path))
    return sorted(found, key=lambda one: (one.created_at, one.run), reverse=True)


def newest(folder: Path) -> str:
    """The id of the newest run; raises `NoRun`."""
    for found in runs(folder):
        return found.run
    raise NoRun(f"there is no run in {folder}", fix="start one with `batchyard run FILE`")


def named(folder: Path, run: str | None) -> str:
    """The id that `run` means: itself, with or without `run_`, None for the newest."""
    if run is None:
        return newest(folder)
    name = PREFIX + run.upper().removeprefix(PREFIX.upper())
    if name.removeprefix(PREFIX).isalnum() and (folder / name / manifest.NAME).is_file():
        return name
    there = ", ".join(one.run for one in runs(folder)[:5]) or "none"
    raise NoRun(
        f'there is no run "{run[:40]}" in {folder}; the newest there: {there}',
        fix="`batchyard runs` lists them",
    )


class Lock:
    """One process at a time: held until `close`, or until its process is gone, however it went."""

    def __init__(self, folder: Path) -> None:
        """Take it; raises `NoRun` naming the process that has it."""
        self._descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.close()
            raise NoRun(
                f"another process ({owner or 'unknown'}) works on {folder.name}",
                fix="let it finish, or stop it with Ctrl-C there",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)
