"""The disk and the catalog of a simulated server: they fill up, fail, and stop at any step."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from batchyard.errors import DiskFull, StorageError
from batchyard.store.catalog import database
from batchyard.store.catalog.database import Catalog
from tests.simulation.world.one_thread import Died
from tests.store.filesystems import MortalFileSystem


class SeededDisk(MortalFileSystem):
    """Remembers what was synced. Takes `room` more bytes, fails syncs while `broken`, and dies at
    the step `dies_at`, in the middle of it if it is a write; or, once `dies_unsynced`, when results
    are written and about to be synced."""

    def __init__(self, root: Path, graveyard: Path, killed: SeededDisk | None = None) -> None:
        super().__init__(root, graveyard, killed=killed)
        self.room: int | None = None
        self.broken = self.dies_unsynced = False
        self.refused = self.failed = self.forgot = 0
        self._open: dict[int, Path] = {}

    def step(self) -> None:
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Died

    def open(self, path: Path, flags: int) -> int:
        fd = super().open(path, flags)
        self._open[fd] = path
        return fd

    def close(self, fd: int) -> None:
        if fd in self._open:
            del self._open[fd]
            os.close(fd)

    def close_all(self) -> None:
        for fd in list(self._open):
            self.close(fd)

    def write(self, fd: int, data: memoryview, offset: int) -> int:
        try:
            self.step()
        except Died:
            os.pwrite(fd, data[: len(data) * 2 // 3], offset)  # torn
            raise
        if self.room is None:
            return os.pwrite(fd, data, offset)
        written = os.pwrite(fd, data[: self.room], offset) if self.room else 0
        self.room -= written
        if not written:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def sync(self, fd: int) -> None:
        path = self._open.get(fd)  # None: a spool
        if self.dies_unsynced and path is not None and path.parent.name == "results":
            raise Died
        if self.broken:
            self.step()
            self.failed += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd)

    def power_loss(self, target: Path, chance: random.Random | None = None) -> None:
        super().power_loss(target, chance)
        living = {inode: path for inode, path in self._living.items() if path.is_file()}
        self.forgot += sum(
            self.root in path.parents and path.read_bytes() != self.synced.get(inode, b"")
            for inode, path in living.items()
            if path.parent.name == "results"
        )


class SeededCatalog(Catalog):
    """A catalog on that disk. It syncs for itself and whole, so that a transaction is a step: the
    process may die before it is committed, or after it and before anybody is told."""

    def __init__(self, path: Path, disk: SeededDisk, chance: random.Random) -> None:
        self._disk, self._chance = disk, chance
        self.busy = 0.0
        self.refused = 0
        super().__init__(path)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        if self.busy and self._chance.random() < self.busy:
            self.refused += 1
            raise StorageError("the catalog was busy for 30 s")
        with super().write() as connection:
            yield connection
            self._disk.step()
            if self._disk.room is not None and self._chance.random() < 0.5:
                self.refused += 1
                raise DiskFull("no room for the catalog")
        self._disk.step()


class KeptEngines:
    """SQLAlchemy engines that go from catalog to catalog. To compile their statements anew would
    be most of what a simulated life costs."""

    def __init__(self) -> None:
        self._make = database._engine
        self._free: dict[str, list[sa.Engine]] = {}
        self._paths: dict[sa.Engine, str] = {}
        self._lent: list[tuple[str, sa.Engine]] = []

    def __call__(self, path: Path, **options: Any) -> sa.Engine:
        kind = str(options.get("isolation_level"))
        free = self._free.setdefault(kind, [])
        engine = free.pop() if free else self._new(path, **options)
        self._paths[engine] = os.fspath(path)
        self._lent.append((kind, engine))
        return engine

    def take_back(self) -> None:
        """Nobody uses those lent any more, and their connections are closed."""
        for kind, engine in self._lent:
            self._free[kind].append(engine)
        self._lent.clear()

    def _new(self, path: Path, **options: Any) -> sa.Engine:
        engine = self._make(path, **options)

        def point(_dialect: Any, _record: Any, args: list[Any], _keywords: Any) -> None:
            args[0] = self._paths[engine]

        sa.event.listen(engine, "do_connect", point)
        return engine
