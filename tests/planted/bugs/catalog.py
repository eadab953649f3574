"""Bugs in rows: fences, counts, states, deadlines, workspaces, keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tests.planted.bugs import HELD_NOT, caught_by, swap

CREATE = "tests/store/test_create.py"
ENDS = "tests/store/test_ends.py"
FENCES = "tests/store/durability/test_fences.py"
LAWS = "tests/contracts/test_lifecycle.py"


@caught_by(
    f"{FENCES}::test_a_late_worker_changes_nothing",
    f"{FENCES}::test_marks_under_an_old_fence_are_refused",
)
def fence_ignored() -> None:
    """What a worker counts is taken, though its shard has gone to another."""
    from batchyard.store.catalog import shards

    any_fence = sa.update(shards.table).where(
        shards._SHARD, sa.bindparam("under", type_=sa.Integer) > 0
    )
    values = {name: sa.bindparam(f"new_{name}") for name in (*shards.Tally.__slots__, "segments")}
    swap(shards, "_MARK", lambda _: any_fence.values(values))


@caught_by(
    "tests/store/durability/test_committer.py"
    "::test_counts_of_a_batch_are_the_sum_of_its_shards_at_every_moment"
)
def counted_twice() -> None:
    """A batch's counts are incremented by what its shards have, not made from it."""
    from batchyard.store.catalog import shards

    b = shards.batches.c
    added = {name: b[name] + sa.bindparam(f"new_{name}") for name in shards.Tally.__slots__}
    open_one = sa.update(shards.batches).where(b.id == sa.bindparam("batch"))
    room_left = sa.bindparam("new_succeeded", type_=sa.Integer) + shards._SETTLED <= b.requests
    swap(shards, "_COUNT", lambda _: open_one.where(b.ended_at.is_(None), room_left).values(added))


@caught_by(
    "tests/store/durability/test_committer.py"
    "::test_counts_of_a_batch_are_the_sum_of_its_shards_at_every_moment"
)
def ended_too_early() -> None:
    """The first result ends a batch."""
    from batchyard.store.catalog import shards

    b = shards.batches.c
    end = sa.update(shards.batches).where(b.id == sa.bindparam("batch"), b.ended_at.is_(None))
    now = sa.bindparam("now")
    swap(shards, "_END", lambda _: end.values(processing_status="ended", ended_at=now))


@caught_by(
    f"{ENDS}::test_cancel_changes_nothing_of_an_ended_batch",
    f"{LAWS}::test_the_store_obeys_the_law",
)
def cancel_reopens() -> None:
    """A cancel takes an ended batch back to canceling."""
    from batchyard.store.catalog import batches

    own = sa.update(batches.table).where(batches._OWN, batches._LIVE)
    now = sa.bindparam("now")
    swap(
        batches,
        "_CANCEL",
        lambda _: own.values(processing_status="canceling", cancel_initiated_at=now),
    )


@caught_by(f"{ENDS}::test_cancel_is_durable_when_it_returns_and_idempotent")
def cancel_moves_its_moment() -> None:
    """A second cancel overwrites when the first one was asked."""
    from batchyard.store.catalog import batches

    c = batches.table.c
    own = sa.update(batches.table).where(batches._OWN, batches._LIVE, c.ended_at.is_(None))
    now = sa.bindparam("now")
    swap(
        batches,
        "_CANCEL",
        lambda _: own.values(processing_status="canceling", cancel_initiated_at=now),
    )


@caught_by(
    f"{ENDS}::test_a_running_batch_cannot_be_deleted",
    "tests/api/test_traps_of_answers.py::test_34_only_ended_batches_are_deleted_and_for_good",
)
def running_batch_deleted() -> None:
    """A batch under way can be deleted."""
    from batchyard.store.catalog import retention

    swap(retention, "may_delete", lambda _: lambda batch: True)


@caught_by(f"{ENDS}::test_results_are_due_for_archive_29_days_after_creation_not_after_the_end")
def archived_after_the_end() -> None:
    """Results live 29 days from the end of their batch."""
    from batchyard.store.catalog import retention

    def due(connection: Any, now: int) -> list[str]:
        c = retention.batches.c
        ended = c.ended_at + (c.archive_at - c.created_at)
        query = sa.select(c.id).where(retention._TO_ARCHIVE, ended <= now)
        return list(connection.execute(query).scalars())

    swap(retention, "due_for_archive", lambda _: due)


@caught_by(f"{CREATE}::test_a_created_batch_is_found_by_its_id_at_once")
def stale_read() -> None:
    """A batch is not found at first, as behind a replica that lags."""
    from batchyard.store.catalog import batches

    seen: set[str] = set()

    def look(sound: Any) -> Any:
        def found(catalog: Any, workspace_id: str, batch_id: str) -> Any:
            if batch_id not in seen:
                seen.add(batch_id)
                raise AssertionError(batches.not_found(batch_id).message)
            return sound(catalog, workspace_id, batch_id)

        return found

    swap(batches, "look", look)


@caught_by(f"{CREATE}::test_an_idempotency_key_with_another_body_is_refused")
def idempotency_key_forgets_its_body() -> None:
    """An idempotency key stands for its batch whatever body comes with it."""
    from batchyard.store.catalog import batches

    def newest(sound: Any) -> Any:
        class Same:
            def __init__(self, row: Any) -> None:
                self._row = row

            def __getattr__(self, name: str) -> Any:
                return Anything() if name == "body_sha256" else getattr(self._row, name)

            def __getitem__(self, at: Any) -> Any:
                return self._row[at]

        class Anything:
            def __ne__(self, other: object) -> bool:
                return False

            __hash__ = None  # type: ignore[assignment]

        def found(*arguments: Any) -> Any:
            row = sound(*arguments)
            return row and Same(row)

        return found

    swap(batches, "_newest", newest)


@caught_by(f"{CREATE}::test_ids_sort_by_birth_even_when_the_clock_steps_back_and_across_restarts")
def ids_by_the_wall_clock() -> None:
    """Ids sort by what the clock says, also when it steps back."""
    from batchyard.store.catalog import batches

    swap(batches, "newest_id", lambda _: lambda connection: None)


@caught_by(
    f"{CREATE}::test_a_batch_is_invisible_from_another_workspace",
    "tests/api/test_traps_of_answers.py::test_35_another_workspaces_batch_does_not_exist",
    "tests/api/test_auth.py::test_a_workspace_sees_only_its_own",
)
def other_workspace_seen() -> None:
    """Whoever knows the id of a batch sees it."""
    from batchyard.store.catalog import batches

    everybodys = sa.select(*batches._COLUMNS).where(
        batches._c.id == sa.bindparam("batch"), sa.bindparam("workspace") != "", batches._LIVE
    )
    swap(batches, "_ONE", lambda _: everybodys)


@caught_by(
    "tests/store/test_pages.py::test_another_workspace_s_cursor_is_as_unknown_as_one_that_never_was"
)
def other_workspaces_cursor_taken() -> None:
    """The id of another workspace's batch works as a cursor."""
    from batchyard.store.catalog import batches

    swap(batches, "_check_cursor", lambda _: lambda *_: None)


@caught_by(f"{CREATE}::test_what_is_no_id_is_never_looked_up")
def ids_not_checked() -> None:
    """Whatever stands in the path is looked up as an id."""
    from batchyard.store.catalog import batches

    swap(batches, "is_batch_id", lambda _: lambda text: True)


@caught_by(
    "tests/store/test_keys.py::test_a_revoked_key_is_unknown_at_once_in_every_process",
    "tests/api/test_auth.py::test_a_revoked_key_is_out_within_a_second",
    fails_with=(*HELD_NOT, "KeyError"),
)
def revoked_key_passes() -> None:
    """A key that was revoked still opens."""
    from batchyard.store.keys import Key

    swap(Key, "valid", lambda _: lambda self, now: True)


@caught_by("tests/store/test_keys.py::test_the_secret_is_nowhere_on_the_disk")
def secret_kept_in_the_clear() -> None:
    """The secret itself is what keys are found by."""
    from batchyard.store import keys

    swap(keys, "_digest", lambda _: lambda secret: secret)
