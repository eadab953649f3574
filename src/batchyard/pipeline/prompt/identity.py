"""The key of a row: equal for two rows exactly when they are asked the same thing."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

import msgspec

from batchyard.pipeline.prompt.asked import Asked
from batchyard.pipeline.prompt.body import Body
from batchyard.pipeline.row import Fields

KEY_BYTES = 16

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Identity:
    """Makes keys: 16 bytes of BLAKE2b over what is asked and the used values of a row.

    A missing value, null and NaN are the same; the order of columns does not matter, unless the
    whole row is used; the order inside an object does, since it is sent in that order. Files
    count by their bytes, not by their names.
    """

    def __init__(self, asked: Asked, body: Body) -> None:
        self.task = said(asked)
        self._base = blake2b(self.task, digest_size=KEY_BYTES)
        self._names = tuple(sorted(body.bound.columns))
        self._whole_row = body.bound.whole_row
        self._media = body.media

    def key(self, fields: Fields) -> bytes:
        """The key of one row; never raises for what a row holds."""
        key = self._base.copy()
        get = fields.get
        values: object = (
            list(fields.items()) if self._whole_row else [get(name) for name in self._names]
        )
        try:
            key.update(_encode(values))
        except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
            key.update(_escaped(values))
        for column in self._media:
            items = column.identity(fields)
            key.update(b"%d items" % len(items))
            key.update(b"".join(items))
        return key.digest()


def said(asked: Asked) -> bytes:
    """What is asked as bytes, without what changes no answer.

    Files count by their content wherever they lie, and a cache only by what it saves.
    """
    plain: dict[str, Any] = msgspec.to_builtins(asked)
    for name in ("folder", "cache_prefix", "constant"):
        del plain[name]
    return msgspec.json.encode(plain)


def _escaped(values: object) -> bytes:
    """Bytes for what JSON cannot say, such as lone surrogates."""
    try:
        return json.dumps(values, default=str).encode()
    except (TypeError, ValueError):
        return repr(values).encode("utf-8", "surrogatepass")
    except RecursionError:
        # Too deep to be sent either: such a row ends with an error under any key.
        return b"too deep"
