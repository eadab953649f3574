"""A verb's talk with its server: one client, one event loop, and errors that know a way out."""

from __future__ import annotations

import asyncio
import difflib
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from batchyard.cli.options import KEY_VARIABLES
from batchyard.client import Client
from batchyard.errors import AuthenticationFailed, BatchyardError, NotFound, Refused

T = TypeVar("T")

RECENT = 100
"""Batches among which the one that was probably meant is looked for."""


def api_key() -> str | None:
    """The key, from the environment and from nowhere else: command lines are public."""
    return next((os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)), None)


def ask(server: str, verb: Callable[[Client], Awaitable[T]], *, batch_id: str | None = None) -> T:
    """Run `verb` with a client of `server`. `batch_id` is the one the user named, if any."""
    return asyncio.run(_ask(server, verb, batch_id))


async def _ask(server: str, verb: Callable[[Client], Awaitable[T]], batch_id: str | None) -> T:
    async with Client(server, key=api_key()) as client:
        try:
            return await verb(client)
        except Refused as error:
            await _explain(client, error, batch_id)
            raise


async def _explain(client: Client, error: Refused, batch_id: str | None) -> None:
    """Add what the server could not say: the nearest id, where the key comes from, the docs."""
    if isinstance(error, AuthenticationFailed):
        error.fix = error.fix or about_keys()
    try:
        if isinstance(error, NotFound) and batch_id and not error.fix:
            error.fix = await _nearest(client, batch_id)
        if await client.liveness() is not None:
            error.docs = f"{client.server}/docs/errors#{error.anchor}"
    except BatchyardError:
        return  # The first error is the one to tell.


def about_keys() -> str:
    """What to do when the key is not the right one."""
    given = next((name for name in KEY_VARIABLES if os.environ.get(name)), None)
    if given is None:
        return f"set {KEY_VARIABLES[0]} to a key of this server; `batchyard keys create` makes one"
    return f"the key in {given} is not one of this server; `batchyard keys create` makes one"


async def _nearest(client: Client, batch_id: str) -> str | None:
    """The id that was probably meant, by its beginning or by likeness."""
    found = await client.page(limit=RECENT)
    recent = [batch.id for batch in found.data]
    near = [known for known in recent if known.startswith(batch_id)]
    if len(near) != 1:
        # Ids share their beginning, so only a few differing letters make one "near".
        near = difflib.get_close_matches(batch_id, recent, n=1, cutoff=0.85)
    return f"did you mean {near[0]}?" if near else "`batchyard list` shows the batches there are"
