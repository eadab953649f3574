"""Every question and change about rows of batches. Each change names the state it expects.

Functions that take a connection run inside the caller's transaction (`Catalog.write`) or read
(`Catalog.read`); workspace and tombstone are part of every query a stranger's id can reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from batchyard.batches.batch import Batch, NewBatch
from batchyard.batches.limits import PAGE_MAX, Limits
from batchyard.batches.result import Tally
from batchyard.clock import SECOND, Microseconds
from batchyard.errors import InvalidRequest, NotFound, RateLimited
from batchyard.ids import is_batch_id
from batchyard.store.catalog.database import Catalog
from batchyard.store.catalog.tables import batches as table

_c = table.c
_COLUMNS = (
    _c.id,
    _c.workspace_id,
    _c.processing_status,
    _c.requests,
    _c.succeeded,
    _c.errored,
    _c.canceled,
    _c.expired,
    _c.created_at,
    _c.expires_at,
    _c.ended_at,
    _c.cancel_initiated_at,
    _c.archived_at,
    _c.api_version,
    _c.betas,
    _c.planned,
)
_LIVE = _c.deleted_at.is_(None)
_OWN = (_c.id == sa.bindparam("batch")) & (_c.workspace_id == sa.bindparam("workspace"))
_betas = msgspec.json.Decoder(tuple[str, ...])

QUEUE_RETRY_SECONDS = 30
"""When to come back after a full queue: batches end at any time, and SDKs sleep this long."""


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of batches, newest first; `has_more` is about the direction that was asked."""

    data: list[Batch]
    has_more: bool


def of_row(row: Any) -> Batch:
    batch_id, workspace, status, requests, *tally = row[:8]
    created, expires, ended, cancel, archived, version, betas, planned = row[8 : len(_COLUMNS)]
    return Batch(
        id=batch_id,
        workspace_id=workspace,
        processing_status=status,
        requests=requests,
        tally=Tally(*tally),
        created_at=created,
        expires_at=expires,
        ended_at=ended,
        cancel_initiated_at=cancel,
        archived_at=archived,
        api_version=version,
        betas=_betas.decode(betas) if betas != "[]" else (),
        planned=planned,
    )


# -- one batch ------------------------------------------------------------------------------------

_ONE = sa.select(*_COLUMNS).where(_OWN, _LIVE)
_UNFINISHED = sa.select(*_COLUMNS).where(_c.ended_at.is_(None), _LIVE).order_by(_c.id)


def look(catalog: Catalog, workspace_id: str, batch_id: str) -> Batch:
    """The batch as a poll sees it: inline, on the event loop's thread. Raises NotFound."""
    row = None
    if is_batch_id(batch_id):
        row = catalog.look(_ONE, {"batch": batch_id, "workspace": workspace_id})
    if row is None:
        raise not_found(batch_id)
    return of_row(row)


def one(connection: sa.Connection, workspace_id: str, batch_id: str) -> Batch:
    """The same inside a transaction."""
    row = None
    if is_batch_id(batch_id):
        row = connection.execute(_ONE, {"batch": batch_id, "workspace": workspace_id}).first()
    if row is None:
        raise not_found(batch_id)
    return of_row(row)


def not_found(batch_id: str) -> NotFound:
    shown = batch_id if len(batch_id) <= 64 else batch_id[:64] + "…"
    return NotFound(f"Message Batch {shown} not found.")


def unfinished(connection: sa.Connection) -> list[Batch]:
    """Batches of every workspace that have not ended, oldest first."""
    return [of_row(row) for row in connection.execute(_UNFINISHED)]


# -- pages ----------------------------------------------------------------------------------------


def page(
    connection: sa.Connection,
    workspace_id: str,
    *,
    limit: int,
    after_id: str | None = None,
    before_id: str | None = None,
) -> BatchPage:
    """At most `limit` batches beside a cursor, newest first. Ids sort by time, so they alone order
    the list, and the id of a deleted batch still marks its place."""
    _check_page(limit, after_id, before_id)
    query = sa.select(*_COLUMNS).where(_c.workspace_id == workspace_id, _LIVE).limit(limit + 1)
    if before_id is not None:
        _check_cursor(connection, workspace_id, "before_id", before_id)
        query = query.where(_c.id > before_id).order_by(_c.id)
    else:
        if after_id is not None:
            _check_cursor(connection, workspace_id, "after_id", after_id)
            query = query.where(_c.id < after_id)
        query = query.order_by(_c.id.desc())
    found = [of_row(row) for row in connection.execute(query)]
    data = found[:limit]
    if before_id is not None:
        data.reverse()
    return BatchPage(data, has_more=len(found) > limit)


def _check_page(limit: int, after_id: str | None, before_id: str | None) -> None:
    if limit < 1:
        raise InvalidRequest("limit: Input should be greater than or equal to 1")
    if limit > PAGE_MAX:
        raise InvalidRequest(f"limit: Input should be less than or equal to {PAGE_MAX}")
    if after_id is not None and before_id is not None:
        raise InvalidRequest("Only one of after_id and before_id may be given, not both.")


def _check_cursor(connection: sa.Connection, workspace_id: str, name: str, cursor: str) -> None:
    if not is_batch_id(cursor):
        raise InvalidRequest(f"{name}: Input should be the id of a Message Batch")
    known = sa.select(_c.id).where(_OWN)  # a tombstone too
    if connection.execute(known, {"batch": cursor, "workspace": workspace_id}).first() is None:
        raise not_found(cursor)


# -- birth ----------------------------------------------------------------------------------------


def newest_id(connection: sa.Connection) -> str | None:
    """The newest id ever given, of whatever workspace: the next one must be greater."""
    found = connection.execute(sa.select(sa.func.max(_c.id))).scalar()
    return None if found is None else str(found)


def repeat_of(
    connection: sa.Connection, new: NewBatch, now: Microseconds, limits: Limits
) -> Batch | None:
    """The batch that this very call has made before, if it is a repeat.

    Raises InvalidRequest (`idempotency_key_reused`) when the key came with another body.
    """
    if new.idempotency_key is not None:
        since = now - limits.idempotency_seconds * SECOND
        asked = _c.idempotency_key == new.idempotency_key
        row = _newest(connection, new.workspace_id, asked, since)
        if row is not None and row.body_sha256 != new.body_sha256:
            raise InvalidRequest(
                f'Idempotency-Key "{new.idempotency_key}" was used before, for {row.id}, with '
                "another body. Send the same body, or a new key. Nothing was queued. "
                "[idempotency_key_reused]",
                code="idempotency_key_reused",
            )
        if row is not None:
            return of_row(row)
    if new.sdk_retry:
        since = now - limits.sdk_retry_seconds * SECOND
        same = (_c.body_sha256 == new.body_sha256) & _c.key_id.is_not_distinct_from(new.key_id)
        row = _newest(connection, new.workspace_id, same, since)
        if row is not None:
            return of_row(row)
    return None


def _newest(
    connection: sa.Connection, workspace_id: str, which: sa.ColumnElement[bool], since: Microseconds
) -> Any:
    return connection.execute(
        sa.select(*_COLUMNS, _c.body_sha256)
        .where(_c.workspace_id == workspace_id, which, _c.created_at > since, _LIVE)
        .order_by(_c.id.desc())
        .limit(1)
    ).first()


def check_room(connection: sa.Connection, workspace_id: str, limits: Limits) -> None:
    """Raises RateLimited when the workspace has as many unended batches as it may."""
    count = sa.select(sa.func.count()).select_from(table)
    mine = _c.workspace_id == workspace_id
    running = connection.execute(count.where(mine, _c.ended_at.is_(None), _LIVE)).scalar_one()
    if running >= limits.batches_in_process_max:
        raise RateLimited(
            f"Workspace {workspace_id} has {running} of {limits.batches_in_process_max} batches in "
            "process. Space frees as batches end: try again later, or cancel one. The operator "
            "can raise batches_in_process_max. Nothing was queued. [batch_queue_full]",
            code="batch_queue_full",
            retry_after=QUEUE_RETRY_SECONDS,
        )


def insert(
    connection: sa.Connection, batch_id: str, new: NewBatch, now: Microseconds, limits: Limits
) -> Batch:
    """The row of a new batch: its two deadlines are fixed here, whatever happens later."""
    batch = Batch(
        id=batch_id,
        workspace_id=new.workspace_id,
        processing_status="in_progress",
        requests=new.requests,
        tally=Tally(),
        created_at=now,
        expires_at=now + limits.processing_seconds * SECOND,
        api_version=new.api_version,
        betas=new.betas,
    )
    connection.execute(
        sa.insert(table).values(
            id=batch.id,
            workspace_id=batch.workspace_id,
            processing_status=batch.processing_status,
            requests=batch.requests,
            created_at=batch.created_at,
            expires_at=batch.expires_at,
            archive_at=now + limits.results_seconds * SECOND,
            api_version=batch.api_version,
            betas=msgspec.json.encode(batch.betas).decode(),
            key_id=new.key_id,
            user_profile_id=new.user_profile_id,
            idempotency_key=new.idempotency_key,
            body_sha256=new.body_sha256,
        )
    )
    return batch


# -- change ---------------------------------------------------------------------------------------

_CANCEL = (
    sa.update(table)
    .where(_OWN, _LIVE, _c.processing_status == "in_progress")
    .values(
        processing_status="canceling",
        cancel_initiated_at=sa.case(
            (_c.created_at > sa.bindparam("now"), _c.created_at), else_=sa.bindparam("now")
        ),
    )
)


def cancel(connection: sa.Connection, workspace_id: str, batch_id: str, now: Microseconds) -> Batch:
    """From in_progress to canceling; any other state stays as it is. Raises NotFound."""
    if is_batch_id(batch_id):
        connection.execute(_CANCEL, {"batch": batch_id, "workspace": workspace_id, "now": now})
    return one(connection, workspace_id, batch_id)
