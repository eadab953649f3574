"""One request of a batch: where its params lie, and the laws a Messages body must keep."""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a create body or of a request segment: where its `params` object lies.

    `offset` and `length` are bytes in that file. A struct outside the garbage collector's sight,
    since a large batch holds a hundred thousand of them.
    """

    custom_id: str
    offset: int
    length: int
