"""File systems that misbehave: one that dies at the N-th step and forgets what was not synced, one
that is full, one that is slow."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from pathlib import Path

from batchyard.store.segments.files import FileSystem


class Dead(Exception):
    """The machine stopped here; nothing after this ran."""


class MortalFileSystem(FileSystem):
    """The real files, and beside them what a disk would hold if the power went now.

    Every change is a step; the step number `dies_at` and all after it raise `Dead`. `power_loss`
    writes what is left: bytes and names that were synced, and of the rest whatever `chance` likes.
    """

    def __init__(
        self, root: Path, graveyard: Path, *, killed: MortalFileSystem | None = None
    ) -> None:
        """On what a power loss left; or, after a mere kill, with what `killed` had not synced."""
        self.root, self.graveyard = root, graveyard
        self.steps = 0
        self.dies_at: int | None = None
        graveyard.mkdir(parents=True, exist_ok=True)
        self.synced: dict[int, bytes] = {}  # inode -> bytes
        self.names: dict[int, dict[str, int]] = {}  # inode of a folder -> name -> inode
        if killed is not None:
            self.synced, self.names = killed.synced, killed.names
        else:
            self._all_synced()

    def _all_synced(self) -> None:
        for path in (self.root, *self.root.rglob("*")):
            if path.is_dir():
                self.names[path.stat().st_ino] = {p.name: p.stat().st_ino for p in path.iterdir()}
            elif path.exists():
                self.synced[path.stat().st_ino] = path.read_bytes()

    def step(self) -> None:
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Dead

    def open(self, path: Path, flags: int) -> int:
        self.step()
        return super().open(path, flags)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            super().write(fd, data[: len(data) * 2 // 3], offset)  # torn
            raise Dead
        return super().write(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        self.step()
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        self.step()
        self.synced[os.fstat(fd).st_ino] = os.pread(fd, os.fstat(fd).st_size, 0)

    def sync_folder(self, path: Path) -> None:
        self.step()
        self.names[path.stat().st_ino] = {p.name: p.stat().st_ino for p in path.iterdir()}

    def mkdir(self, path: Path) -> None:
        self.step()
        super().mkdir(path)

    def rename(self, source: Path, target: Path) -> None:
        self.step()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self.step()
        if path.exists():  # the inode stays alive, so that its number is never given again
            os.link(path, self.graveyard / f"{path.stat().st_ino}-{self.steps}")
        super().unlink(path)

    def rmdir(self, path: Path) -> None:
        self.step()
        path.rename(self.graveyard / f"{path.stat().st_ino}-{self.steps}")

    # -- after the end ----------------------------------------------------------------------------

    def power_loss(self, target: Path, chance: random.Random | None = None) -> None:
        """Write to `target` what a disk may hold now; without `chance`, only what was synced. The
        catalog syncs for itself: it is whole."""
        self._living = {p.stat().st_ino: p for p in self.graveyard.iterdir()}
        self._living |= {p.stat().st_ino: p for p in self.root.rglob("*")}
        target.mkdir()
        for path in self.root.iterdir():
            if path.is_file():
                shutil.copy(path, target / path.name)
        for folder in ("batches", "spool"):
            self._folder((self.root / folder).stat().st_ino, target / folder, chance)

    def _folder(self, inode: int, target: Path, chance: random.Random | None) -> None:
        target.mkdir(mode=0o700)
        path = self._living.get(inode)
        now = {p.name: p.stat().st_ino for p in path.iterdir()} if path else {}
        synced = self.names.get(inode, {})  # spools are also removed by another way than this
        synced = {name: held for name, held in synced.items() if held in self._living}
        for name in sorted(now.keys() | synced.keys()):
            states = sorted({now.get(name), synced.get(name)}, key=str)
            kept = chance.choice(states) if chance else synced.get(name)
            if kept is None:
                continue
            if self._living[kept].is_dir():
                self._folder(kept, target / name, chance)
            else:
                (target / name).write_bytes(self._bytes(kept, chance))

    def _bytes(self, inode: int, chance: random.Random | None) -> bytes:
        now, synced = self._living[inode].read_bytes(), self.synced.get(inode, b"")
        if now == synced or chance is None:
            return synced
        common = _common(now, synced)
        cut = chance.randint(common, max(len(now), common))
        zeros = now[:cut] + bytes(len(now) - cut)
        noise = now[:cut] + chance.randbytes(len(now) - cut)
        return chance.choice([synced, now, now[:cut], zeros, noise])


def _common(one: bytes, two: bytes) -> int:
    """How many bytes at the start are the same."""
    if one.startswith(two) or two.startswith(one):
        return min(len(one), len(two))
    return next(at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)


class FullFileSystem(FileSystem):
    """Takes `room` more bytes, then fails like a full disk until `room` is raised or None."""

    def __init__(self) -> None:
        self._room: int | None = None
        self._lock = threading.Lock()
        self.error = errno.ENOSPC
        self.refused = 0

    @property
    def room(self) -> int | None:
        return self._room

    @room.setter
    def room(self, value: int | None) -> None:
        with self._lock:
            self._room = value

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        with self._lock:
            if self._room is None:
                return super().write(fd, data, offset)
            written = super().write(fd, data[: self._room], offset) if self._room else 0
            self._room -= written
            if not written:
                self.refused += 1
                raise OSError(self.error, os.strerror(self.error))
            return written


class FailingSync(FileSystem):
    """Syncs fail with `error` once it is set; with `once` the next one succeeds, as the kernel's
    does when it has given up the page."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.once = False

    def sync(self, fd: int) -> None:
        if (error := self.error) is not None:
            self.error = None if self.once else error
            raise OSError(error, os.strerror(error))
        super().sync(fd)
