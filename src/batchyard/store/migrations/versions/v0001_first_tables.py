"""The first tables: workspaces, keys, batches, shards, engine reports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TALLY = ("succeeded", "errored", "canceled", "expired")
_LAW = "succeeded + errored + canceled + expired <= requests"


def upgrade() -> None:
    _workspaces_and_keys()
    _batches()
    _shards()
    _engine_reports()


def _text(name: str, *, nullable: bool = False, **more: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=nullable, **more)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _int(name: str, **more: Any) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, **more)


def _tally() -> list[sa.Column[int]]:
    return [_int(name, server_default="0") for name in _TALLY]


def _workspaces_and_keys() -> None:
    op.create_table(
        "workspaces", _text("id", primary_key=True), _text("name"), _moment("created_at")
    )
    op.create_table(
        "keys",
        _text("id", primary_key=True),
        _text("workspace_id"),
        _text("name"),
        _text("digest", unique=True),
        _text("hint"),
        _moment("created_at"),
        _moment("expires_at", nullable=True),
        _moment("revoked_at", nullable=True),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        _text("id", primary_key=True),
        _text("workspace_id"),
        _text("processing_status"),
        _int("requests"),
        *_tally(),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("archive_at"),
        _moment("ended_at", nullable=True),
        _moment("cancel_initiated_at", nullable=True),
        _moment("archived_at", nullable=True),
        _moment("deleted_at", nullable=True),
        _text("api_version"),
        _text("betas"),
        sa.Column("planned", sa.Boolean, nullable=False, server_default=sa.false()),
        _text("key_id", nullable=True),
        _text("user_profile_id", nullable=True),
        _text("idempotency_key", nullable=True),
        _text("body_sha256"),
        sa.CheckConstraint(_LAW),
    )
    op.create_index("batches_by_workspace", "batches", ["workspace_id", "id"])
    op.create_index("batches_by_body", "batches", ["workspace_id", "body_sha256"])
    _partial("batches_unfinished", ["workspace_id", "id"], "ended_at IS NULL")
    _partial("batches_to_archive", ["archive_at"], "archived_at IS NULL AND deleted_at IS NULL")
    _partial(
        "batches_by_idempotency_key",
        ["workspace_id", "idempotency_key"],
        "idempotency_key IS NOT NULL",
    )


def _partial(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, "batches", columns, sqlite_where=condition, postgresql_where=condition)


def _shards() -> None:
    op.create_table(
        "shards",
        _text("batch_id", primary_key=True),
        _int("number", primary_key=True),
        _text("model"),
        _int("requests"),
        *_tally(),
        _int("fence", server_default="0"),
        _text("segments", server_default="[]"),
        sa.CheckConstraint(_LAW),
    )


def _engine_reports() -> None:
    op.create_table(
        "engine_reports",
        _text("name", primary_key=True),
        _text("kind"),
        _text("url"),
        _text("state"),
        _text("reason"),
        _moment("since"),
        _int("in_flight"),
        _int("limit"),
        _text("models"),
        _moment("updated_at"),
    )
