"""What is kept and for how long: tombstones of deleted batches, archives, what may be swept."""

from __future__ import annotations

import sqlalchemy as sa

from batchyard.batches.lifecycle import may_delete
from batchyard.clock import Microseconds
from batchyard.errors import InvalidRequest
from batchyard.store.catalog.batches import one
from batchyard.store.catalog.tables import batches, shards

_c = batches.c
_LIVE = _c.deleted_at.is_(None)
_TO_ARCHIVE = _c.archived_at.is_(None) & _LIVE


def bury(connection: sa.Connection, workspace_id: str, batch_id: str, now: Microseconds) -> None:
    """Make an ended batch a tombstone: nobody finds it any more, but its id still pages.

    Raises NotFound, or InvalidRequest while it has not ended.
    """
    batch = one(connection, workspace_id, batch_id)
    if not may_delete(batch):
        raise InvalidRequest(
            "In progress batches cannot be deleted. Consider canceling the batch instead."
        )
    connection.execute(sa.update(batches).where(_c.id == batch_id).values(deleted_at=now))
    connection.execute(sa.delete(shards).where(shards.c.batch_id == batch_id))


def due_for_archive(connection: sa.Connection, now: Microseconds) -> list[str]:
    """Ended batches whose results have had their time, oldest first."""
    query = sa.select(_c.id).where(_TO_ARCHIVE, _c.archive_at <= now, _c.ended_at.is_not(None))
    return list(connection.execute(query.order_by(_c.archive_at)).scalars())


def archive(connection: sa.Connection, batch_id: str, now: Microseconds) -> bool:
    """Set archived_at and forget where the results lay; False if there was nothing to do."""
    due = sa.update(batches).where(_c.id == batch_id, _TO_ARCHIVE, _c.ended_at.is_not(None))
    if connection.execute(due.values(archived_at=now)).rowcount == 0:
        return False
    connection.execute(sa.delete(shards).where(shards.c.batch_id == batch_id))
    return True


def with_bytes(connection: sa.Connection) -> dict[str, bool]:
    """The batches that may have a folder, and of each whether it is planned (has no body)."""
    rows = connection.execute(sa.select(_c.id, _c.planned).where(_TO_ARCHIVE))
    return {row.id: row.planned for row in rows}
