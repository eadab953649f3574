"""The tables of the catalog. There is no row per request: a batch is one row and its shards."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """A time in microseconds since the epoch."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _tally() -> list[sa.Column[int]]:
    return [_count(name) for name in ("succeeded", "errored", "canceled", "expired")]


def _never_more_results_than_requests() -> sa.CheckConstraint:
    return sa.CheckConstraint("succeeded + errored + canceled + expired <= requests")


workspaces = sa.Table(
    "workspaces",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    _moment("created_at"),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("workspace_id", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("digest", sa.String, nullable=False, unique=True),  # SHA-256 of the secret, hex
    sa.Column("hint", sa.String, nullable=False),  # the secret's last four characters
    _moment("created_at"),
    _moment("expires_at", nullable=True),
    _moment("revoked_at", nullable=True),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("workspace_id", sa.String, nullable=False),
    sa.Column("processing_status", sa.String, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    *_tally(),
    _moment("created_at"),
    _moment("expires_at"),
    _moment("archive_at"),  # when the results go; fixed at birth like expires_at
    _moment("ended_at", nullable=True),
    _moment("cancel_initiated_at", nullable=True),
    _moment("archived_at", nullable=True),
    _moment("deleted_at", nullable=True),  # a tombstone, kept so that its id still pages
    sa.Column("api_version", sa.String, nullable=False),
    sa.Column("betas", sa.String, nullable=False),  # JSON list of strings
    sa.Column("planned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("key_id", sa.String),
    sa.Column("user_profile_id", sa.String),
    sa.Column("idempotency_key", sa.String),
    sa.Column("body_sha256", sa.String, nullable=False),
    _never_more_results_than_requests(),
)

shards = sa.Table(
    "shards",
    metadata,
    sa.Column("batch_id", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("requests", sa.Integer, nullable=False),
    *_tally(),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("segments", sa.String, nullable=False, server_default="[]"),  # of `Segment`
    _never_more_results_than_requests(),
)

engine_reports = sa.Table(
    "engine_reports",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    _moment("since"),
    sa.Column("in_flight", sa.Integer, nullable=False),
    sa.Column("limit", sa.Integer, nullable=False),
    sa.Column("models", sa.String, nullable=False),  # JSON list of engine.Model
    _moment("updated_at"),
)


def _partial(name: str, *columns: sa.Column[object], where: sa.ColumnElement[bool]) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


_b = batches.c
sa.Index("batches_by_workspace", _b.workspace_id, _b.id)
sa.Index("batches_by_body", _b.workspace_id, _b.body_sha256)
_partial("batches_unfinished", _b.workspace_id, _b.id, where=_b.ended_at.is_(None))
_partial(
    "batches_to_archive",
    _b.archive_at,
    where=_b.archived_at.is_(None) & _b.deleted_at.is_(None),
)
_partial(
    "batches_by_idempotency_key",
    _b.workspace_id,
    _b.idempotency_key,
    where=_b.idempotency_key.is_not(None),
)
