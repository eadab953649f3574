"""The simulation itself: a seed is a history, and what is broken on purpose is found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from batchyard.dispatch.coordinator import Coordinator
from batchyard.dispatch.worker import slots
from batchyard.dispatch.worker.retry import Again
from batchyard.dispatch.worker.worker import Worker
from batchyard.store import recovery
from batchyard.store.catalog import batches
from batchyard.store.keeping import Keeper
from batchyard.store.segments import files
from batchyard.store.segments.files import LocalSegments
from batchyard.store.spool import Spool
from tests.simulation.seeds import live_through
from tests.simulation.world.disk import SeededDisk

SEEDS_TO_FIND = 250

Bug = Callable[[], Any]


def test_a_seed_is_a_history() -> None:
    for seed in range(8):
        once, again = live_through(seed), live_through(seed)
        assert once.story == again.story
        assert once.happened == again.happened


def results_not_synced() -> Any:
    def put(file: Any, data: bytes, offset: int) -> None:
        files._write_all(file._files, file._fd, data, offset)

    return mock.patch.object(files._File, "put", put)


def body_not_synced() -> Any:
    return mock.patch.object(Spool, "sync", return_value=None)


def name_of_a_batch_not_synced() -> Any:
    def adopt(segments: Any, batch_id: str, spooled: Any) -> None:
        home = segments._home(batch_id)
        segments._files.mkdir(home)
        segments._files.rename(spooled, home / "body")

    return mock.patch.object(LocalSegments, "adopt", adopt)


def failed_sync_taken_for_a_good_one() -> Any:
    def sync(disk: SeededDisk, fd: int) -> None:
        with contextlib.suppress(OSError):
            whole(disk, fd)

    whole = SeededDisk.sync
    return mock.patch.object(SeededDisk, "sync", sync)


def torn_line_taken_for_a_result() -> Any:
    def head(line: bytes) -> Any:
        if not line.startswith(b'{"custom_id":"') or len(line) < 20:
            return whole(line)
        custom_id = line[14:].split(b'"')[0]
        return whole(b'{"custom_id":"%b","result":{"type":"canceled"}}\n' % custom_id)

    whole = recovery._head
    return mock.patch.object(recovery, "_head", head)


def recovery_that_stops_at_the_mark() -> Any:
    def read(segment: Any, known: Any, settled: Any, durable: int, *, final: bool) -> Any:
        return whole(segment, known, settled, durable, final=True)

    whole = recovery.read_results
    return mock.patch.object(recovery, "read_results", read)


def cancel_that_is_only_answered() -> Any:
    def cancel(connection: Any, workspace: str, batch_id: str, now: int) -> Any:
        return batches.one(connection, workspace, batch_id)

    return mock.patch.object(batches, "cancel", cancel)


def cancel_that_workers_never_hear_of() -> Any:
    return mock.patch.object(Worker, "recall", return_value=None)


def deadline_that_nobody_minds() -> Any:
    def tend(coordinator: Any, motion: Any) -> None:
        if motion.stop is not None:
            coordinator._settle_pending(motion)
        else:
            coordinator._refuse_unserved(motion)

    return mock.patch.object(Coordinator, "_tend", tend)


def retry_after_not_kept() -> Any:
    def judge(*args: Any) -> Any:
        verdict = whole(*args)
        return Again(0.02) if isinstance(verdict, Again) else verdict

    whole = slots.judge
    return mock.patch.object(slots, "judge", judge)


def batch_shown_to_strangers() -> Any:
    anybody = sa.bindparam("workspace").is_not(None)
    one = sa.select(*batches._COLUMNS).where(batches._c.id == sa.bindparam("batch"), anybody)
    return mock.patch.object(batches, "_ONE", one.where(batches._LIVE))


def leftovers_never_pruned() -> Any:
    return mock.patch.object(Keeper, "prune", return_value=None)


def repeat_taken_for_a_new_create() -> Any:
    return mock.patch.object(batches, "repeat_of", return_value=None)


@pytest.mark.parametrize(
    "bug",
    [
        results_not_synced,
        body_not_synced,
        name_of_a_batch_not_synced,
        failed_sync_taken_for_a_good_one,
        torn_line_taken_for_a_result,
        recovery_that_stops_at_the_mark,
        cancel_that_is_only_answered,
        cancel_that_workers_never_hear_of,
        deadline_that_nobody_minds,
        retry_after_not_kept,
        batch_shown_to_strangers,
        leftovers_never_pruned,
        repeat_taken_for_a_new_create,
    ],
)
def test_what_is_broken_on_purpose_is_found(bug: Bug) -> None:
    with bug():
        assert any(live_through(seed).wrong for seed in range(SEEDS_TO_FIND))
