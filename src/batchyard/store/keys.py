"""API keys: shown once, kept as a hash, found by it; each belongs to one workspace."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from batchyard.clock import Clock, Microseconds
from batchyard.errors import NotFound
from batchyard.store.catalog.database import Catalog
from batchyard.store.catalog.tables import keys as table
from batchyard.store.catalog.tables import workspaces

DEFAULT_WORKSPACE = "wrkspc_default"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH, _SECRET_LENGTH, _CRC_LENGTH = 10, 32, 6  # 32 characters are 190 bits
_SHAPE = re.compile(
    rf"by_[0-9A-Za-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{{_SECRET_LENGTH + _CRC_LENGTH}}}\Z"
)

_c = table.c
_COLUMNS = (
    _c.id,
    _c.workspace_id,
    _c.name,
    _c.hint,
    _c.created_at,
    _c.expires_at,
    _c.revoked_at,
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it may be shown: `by_<id>_…<hint>`. Times are microseconds since the epoch."""

    id: str
    workspace_id: str
    name: str
    hint: str  # the secret's last four characters
    created_at: Microseconds
    expires_at: Microseconds | None = None
    revoked_at: Microseconds | None = None

    def valid(self, now: Microseconds) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Keys:
    """The keys of a catalog. All methods are sync; looking up takes tens of microseconds."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog, self._clock = catalog, clock

    def create(
        self,
        name: str,
        workspace_id: str = DEFAULT_WORKSPACE,
        expires: Microseconds | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret, `by_<id>_<secret><checksum>`: durable, and never shown again.

        `name` says whose it is; two keys may bear the same. `expires` is a moment.
        """
        key_id = _random(_ID_LENGTH)
        secret = with_checksum(f"by_{key_id}_{_random(_SECRET_LENGTH)}")
        key = Key(key_id, workspace_id, name, secret[-4:], self._clock.now(), expires)
        with self._catalog.write() as connection:
            _ensure_workspace(connection, workspace_id, key.created_at)
            row = {c.name: getattr(key, c.name) for c in _COLUMNS}
            connection.execute(sa.insert(table).values(**row, digest=_digest(secret)))
        return key, secret

    def find(self, secret: str) -> Key | None:
        """The valid key with this secret; None for malformed, unknown, revoked and expired.

        Inline, for the event loop's thread. A revocation holds from the very next call on, in
        every process.
        """
        if not _SHAPE.match(secret) or with_checksum(secret[:-_CRC_LENGTH]) != secret:
            return None
        digest = _digest(secret)
        row = self._catalog.look(_BY_DIGEST, {"wanted": digest})
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        key = _of_row(row[:-1])
        return key if key.valid(self._clock.now()) else None

    def list(self, workspace_id: str | None = None) -> list[Key]:
        """Every key, also revoked and expired ones, oldest first."""
        query = sa.select(*_COLUMNS).order_by(_c.created_at, _c.id)
        if workspace_id is not None:
            query = query.where(_c.workspace_id == workspace_id)
        with self._catalog.read() as connection:
            return [_of_row(row) for row in connection.execute(query)]

    def revoke(self, key_id: str) -> Key:
        """End a key for good, durable on return; again changes nothing. Raises NotFound."""
        with self._catalog.write() as connection:
            live = sa.update(table).where(_c.id == key_id, _c.revoked_at.is_(None))
            connection.execute(live.values(revoked_at=self._clock.now()))
            row = connection.execute(sa.select(*_COLUMNS).where(_c.id == key_id)).first()
        if row is None:
            raise NotFound(f"Key {key_id} not found.")
        return _of_row(row)

    def any(self) -> bool:
        """Whether there is a valid key: without one, only this machine may be let in."""
        return self._catalog.look(_ANY, {"now": self._clock.now()}) is not None


_BY_DIGEST = sa.select(*_COLUMNS, _c.digest).where(_c.digest == sa.bindparam("wanted"))
_ANY = (
    sa.select(_c.id)
    .where(_c.revoked_at.is_(None))
    .where(_c.expires_at.is_(None) | (_c.expires_at > sa.bindparam("now")))
    .limit(1)
)


def with_checksum(text: str) -> str:
    """`text` and the CRC-32 of it in six characters: tells a typo from a wrong key, without a
    look-up, and lets scanners recognise a leaked key."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CRC_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return text + digits


def _of_row(row: Any) -> Key:
    return Key(*row)


def _digest(secret: str) -> str:
    # The secret is random and long, so a plain hash is enough: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _ensure_workspace(connection: sa.Connection, workspace_id: str, now: Microseconds) -> None:
    known = sa.select(workspaces.c.id).where(workspaces.c.id == workspace_id)
    if connection.execute(known).first() is None:
        row = {"id": workspace_id, "name": workspace_id, "created_at": now}
        connection.execute(sa.insert(workspaces).values(row))
