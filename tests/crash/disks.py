"""Disks made for one test: an ext4 file system in a file, whose power can be cut; a small tmpfs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.live.harness.waiting import eventually

IMAGE_BYTES = 96 * 1024 * 1024
JOURNALS = ("ordered", "writeback")


class Disk:
    """An ext4 file system that writes nothing by itself: what nobody syncs exists in memory only.

    `cut` is the moment the power goes: from then on `folder` shows what had reached the disk.
    """

    def __init__(self, home: Path, journal: str) -> None:
        self._home, self._journal, self._lives = home, journal, 0
        self.folder = home / "mounted"
        self.folder.mkdir()
        self._image = home / "disk-0"
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()

    def cut(self) -> None:
        """Whoever used the disk must be dead already, as the machine would be."""
        self._lives += 1
        after = self._home / f"disk-{self._lives}"
        # Read past the mounted file system: neither `sync` nor `umount` may come before this copy.
        shutil.copyfile(self._image, after)
        eventually(self._unmounted, within=10, what="the old disk to be let go")
        self._image.unlink()
        self._image = after
        self._mount()

    def _unmounted(self) -> bool:
        with suppress(subprocess.CalledProcessError):
            self.unmount()
        return not os.path.ismount(self.folder)

    def unmount(self, *how: str) -> None:
        if os.path.ismount(self.folder):
            _run("umount", *how, str(self.folder))

    def _mount(self) -> None:
        # No commit for five minutes, and no kindness to programs that rename without a sync.
        options = f"loop,commit=300,noauto_da_alloc,data={self._journal}"
        _run("mount", "-t", "ext4", "-o", options, str(self._image), str(self.folder))


@contextmanager
def disk(journal: str) -> Iterator[Disk]:
    """A disk for one test."""
    with tempfile.TemporaryDirectory(prefix="batchyard-disk-") as home:
        made = Disk(Path(home), journal)
        try:
            yield made
        finally:
            made.unmount("--lazy")  # after a failure somebody may still be at work there


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A folder on a file system of `size` bytes, all of it in memory."""
    with tempfile.TemporaryDirectory(prefix="batchyard-small-") as home:
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", home)
        try:
            yield Path(home)
        finally:
            _run("umount", "--lazy", home)


@functools.cache
def missing(*, loop: bool) -> str:
    """Why such disks cannot be had here; empty when they can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "this needs to mount a file system: Linux, and root"
    if loop and shutil.which("mkfs.ext4") is None:
        return "power cuts need `mkfs.ext4` (package e2fsprogs)"
    try:
        with disk(JOURNALS[0]) if loop else small_disk(1 << 20):
            return ""
    except subprocess.CalledProcessError as error:
        return f"mounts are not permitted here: {error.stderr.decode(errors='replace').strip()}"


@pytest.fixture
def loop_disks() -> None:
    """Skips with a plain message where no file system in a file can be mounted."""
    if missing(loop=True):
        pytest.skip(missing(loop=True))


@pytest.fixture
def small_disks() -> None:
    """Skips with a plain message where nothing can be mounted."""
    if missing(loop=False):
        pytest.skip(missing(loop=False))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
