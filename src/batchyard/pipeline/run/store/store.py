"""The store of one run: its folder, its manifest and its tables, every step durable on return."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Self

import msgspec

from batchyard import __version__
from batchyard.clock import Microseconds, rfc3339
from batchyard.pipeline.row import Outcome
from batchyard.pipeline.run.store import batches as sent
from batchyard.pipeline.run.store import folder, manifest, rows, tables, totals
from batchyard.pipeline.run.store.batches import Batch, State
from batchyard.pipeline.run.store.manifest import Input, Manifest
from batchyard.pipeline.run.store.rows import Settled, Waiting
from batchyard.pipeline.run.store.tables import Database
from batchyard.pipeline.run.store.totals import Delta, Totals


class RunStore:
    """What is known of a run. `create` and `open` lock it; `look` reads what others write.

    A context manager. Raises OSError where the disk cannot be written.
    """

    def __init__(self, path: Path, lock: folder.Lock | None) -> None:
        self.path = path
        self._lock = lock
        self.manifest = manifest.read(path)
        self._database = Database(path / tables.NAME, make=lock is not None)
        self.totals: Totals = totals.read(self._database)
        """Rows by status and tokens, as of the last step."""

    @classmethod
    def create(
        cls, home: Path, input: Input, task: dict[str, object], now: Microseconds, **rest: object
    ) -> Self:
        """A new run under `home` (`.batchyard`); `rest` are further fields of `Manifest`."""
        run = folder.new_run(home)
        lock = folder.Lock(home / run)
        made = Manifest(run, rfc3339(now), __version__, input, task, **rest)  # type: ignore[arg-type]  # by name
        manifest.write(home / run, made)
        manifest.sync_folder(home)
        return cls(home / run, lock)

    @classmethod
    def open(cls, home: Path, run: str | None = None) -> Self:
        """A run to go on with, None for the newest; raises `NoRun`, also while another process
        works on it."""
        path = home / folder.named(home, run)
        return cls(path, folder.Lock(path))

    @classmethod
    def look(cls, home: Path, run: str | None = None) -> Self:
        """A run to read only, also while another process works on it; raises `NoRun`."""
        return cls(home / folder.named(home, run), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others work on it."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def run(self) -> str:
        return self.manifest.run

    def discard(self) -> None:
        """Remove a run of which nothing was sent, and close it."""
        assert not self.batches(), "what was sent must stay known"
        self.close()
        shutil.rmtree(self.path)

    def rewrite(self, **changes: object) -> None:
        """Change fields of the manifest: where rows go, the output, options, caps."""
        self.manifest = msgspec.structs.replace(self.manifest, **changes)
        manifest.write(self.path, self.manifest)

    # -- rows -----------------------------------------------------------------------------------

    def enter(self, first: int, keys: list[bytes]) -> None:
        """Write down the next rows of the input."""
        self._do(lambda database: rows.enter(database, first, keys))

    def prepared(self) -> None:
        """All rows of the input are here."""
        self._do(lambda _: Delta(prepared=1))
        self.rewrite(input=msgspec.structs.replace(self.manifest.input, rows=self.totals.rows))

    def waiting(self, first: int = 0) -> Iterator[Waiting]:
        """Rows to be asked, in order of position."""
        return rows.waiting(self._database, first)

    def retry(self, kinds: Collection[str] | None = None) -> int:
        """Rows that failed with one of the kinds, None for all, wait again; returns how many."""
        before = self.totals.waiting
        self._do(lambda database: rows.retry(database, kinds))
        return self.totals.waiting - before

    def rekey(self, keys: list[tuple[int, bytes]]) -> None:
        """Waiting rows at these positions will be asked something else."""
        with self._database.transaction():
            rows.rekey(self._database, keys)

    def ask_otherwise(self, task: dict[str, object]) -> None:
        """From now on rows are asked `task`."""
        self._do(lambda _: Delta(task=1))
        self.rewrite(task=task)

    def answered(self, settled: Settled) -> None:
        """Keep the answer of a live call to a waiting row."""
        self._do(lambda database: rows.answered(database, settled))

    def worked(self, seconds: int) -> None:
        """A session has worked on the run for so long."""
        self._do(lambda _: Delta(seconds=seconds))

    def kinds(self) -> dict[str, int]:
        """How many rows failed of each kind, the commonest first."""
        return rows.kinds(self._database)

    def outcomes(self) -> Iterator[Outcome]:
        """What became of each row that has ended, in order of position; flat memory."""
        return rows.outcomes(self._database)

    def failed(self, kinds: Collection[str] | None = None) -> Iterator[Outcome]:
        """What became of each row that failed, in order of position."""
        return rows.outcomes(self._database, failed=True, kinds=kinds)

    # -- batches --------------------------------------------------------------------------------

    def body_path(self, seq: int) -> Path:
        """Where the body of a create call is kept until the server surely has it."""
        return self.path / "batches" / f"{seq}.json"

    def results_path(self, seq: int) -> Path:
        """Where the results of a batch are kept until they are in `rows.db`."""
        return self.path / "results" / f"{seq}.jsonl"

    def next_seq(self) -> int:
        """The number of the next batch."""
        return sent.next_seq(self._database)

    def unfinished(self) -> list[Batch]:
        """Batches whose answers are not all here."""
        return sent.unfinished(self._database)

    def batches(self) -> list[Batch]:
        """All batches of the run."""
        return sent.every(self._database)

    def batch_ids(self) -> set[str]:
        """The ids by which servers know batches of this run."""
        return sent.ids(self._database)

    def plan(self, batch: Batch) -> None:
        """The waiting rows from its first to its last are in `batch` now."""

        def act(database: Database) -> Delta:
            sent.add(database, batch)
            return rows.take(database, batch.seq, batch.first, batch.last)

        self._do(act)

    def withdraw(self, batch: Batch) -> None:
        """The batch was surely not taken by a server: its rows wait again."""

        def act(database: Database) -> Delta:
            sent.drop(database, batch.seq)
            return rows.put_back(database, batch.seq, batch.first, batch.last, asked=False)

        self._do(act)
        self.body_path(batch.seq).unlink(missing_ok=True)

    def forsake(self, batch: Batch) -> None:
        """Nobody will come back for the batch: its rows wait again, though it may be answered."""

        def act(database: Database) -> Delta:
            sent.move(database, batch.seq, "lost")
            return rows.put_back(database, batch.seq, batch.first, batch.last, asked=True)

        self._do(act)
        self.body_path(batch.seq).unlink(missing_ok=True)

    def sending(self, seq: int, now: Microseconds) -> None:
        """The batch leaves now: from here on a server may have it."""
        with self._database.transaction():
            sent.sending(self._database, seq, now)

    def refused(self, seq: int) -> None:
        """The server surely has not taken it, and may later."""
        with self._database.transaction():
            sent.refused(self._database, seq)

    def created(self, seq: int, batch_id: str, *, certain: bool = True) -> None:
        """The server has it; `certain` is False where it only looks as if it were this one."""
        with self._database.transaction():
            sent.created(self._database, seq, batch_id, certain=certain)
        if certain:
            self.body_path(seq).unlink(missing_ok=True)

    def reject(self, batch: Batch) -> None:
        """What looked like this batch was another one."""
        with self._database.transaction():
            sent.reject(self._database, batch)

    def ended(self, seq: int) -> None:
        """All results are on the server."""
        with self._database.transaction():
            sent.move(self._database, seq, "ended")

    def unanswered(self, batch: Batch) -> dict[int, int]:
        """Positions whose answer is not here, and how often each was repaired."""
        return rows.unanswered(self._database, batch.seq, batch.first, batch.last)

    def settle(
        self,
        batch: Batch,
        settled: list[Settled],
        *,
        doubled: dict[int, str] | None = None,
        state: State | None = None,
    ) -> None:
        """Keep answers, with the batch's state where this is its end."""

        def act(database: Database) -> Delta:
            delta = rows.settle(database, batch.seq, settled)
            for position, why in (doubled or {}).items():
                delta.update(rows.revoke(database, batch.seq, [position], why))
            if state is not None:
                sent.move(database, batch.seq, state)
            return delta

        self._do(act)
        if state is not None:
            self.results_path(batch.seq).unlink(missing_ok=True)
            self.body_path(batch.seq).unlink(missing_ok=True)

    def _do(self, act: Callable[[Database], Delta]) -> None:
        """One transaction, with what it does to the sums."""
        with self._database.transaction():
            totals.move(self._database, act(self._database))
        self.totals = totals.read(self._database)


def planned(seq: int, run: str, server: str, now: Microseconds, **rest: int) -> Batch:
    """A batch that is about to be planned; `rest` are its requests, sizes and positions."""
    key = f"{run}-{seq}-{secrets.token_hex(8)}"
    return Batch(
        seq=seq, state="planned", idempotency_key=key, server=server, batch_id=None, certain=True,
        rejected=(), created_at=rfc3339(now), sent_at=None, **rest,
    )  # fmt: skip
