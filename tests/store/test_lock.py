"""One server per data directory: the second is told so and touches nothing."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batchyard.errors import ConfigurationError, DataDirectoryBusy, StorageFailed
from batchyard.store.lock import lock

CHILD = "import sys; print('ready', flush=True); sys.stdin.read()"


def test_a_directory_is_made_private_and_locked(tmp_path: Path) -> None:
    fd = lock(tmp_path / "deep" / "data")
    assert stat.S_IMODE((tmp_path / "deep" / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "data" / "lock").stat().st_mode) == 0o600
    os.close(fd)


def test_the_second_server_hears_who_holds_it_and_touches_nothing(tmp_path: Path) -> None:
    fd = lock(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(DataDirectoryBusy, match=rf"in use by another .*\(process {os.getpid()}\)"):
        lock(tmp_path, tries=2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    os.close(fd)
    os.close(lock(tmp_path, tries=1))


def test_the_lock_lasts_as_long_as_any_child_that_inherited_it(tmp_path: Path) -> None:
    fd = lock(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd]
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    os.close(fd)
    with pytest.raises(DataDirectoryBusy):
        lock(tmp_path, tries=2)
    child.stdin.close()
    os.close(lock(tmp_path))  # waits for the child to be gone
    child.stdout.close()
    assert child.wait() == 0


def test_a_directory_that_cannot_be_used_is_told_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot use the data directory") as told:
        lock(tmp_path / "file")
    assert told.value.fix is not None


def test_a_disk_that_fails_is_not_told_as_the_operators_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StorageFailed, match="Input/output error"):
        lock(tmp_path)
