"""One act of the store's in a process of its own, so that the process can die in the middle of it.

`python -m tests.crash.acts FD` is a nursery: it has loaded everything, and forks a child for each
order that comes through the socket FD: `{"act": …, "folder": …, "close": …}`. The child opens the
store on the folder, says `{"ready": pid}`, waits to be told to go on, does the act, and says what
it was told by the store, in the words of the ledger of `tests/store/durability`. When it is gone
the nursery says `{"exit": status}`. Everything happens in one thread (results: in the committer's),
so the N-th file operation is the same one every time.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import batchyard.store.committer
import batchyard.store.runner
import batchyard.store.store
from batchyard.errors import DiskFull, StorageError
from tests.store.room import WORKSPACE, Room, numbered

NAMES = numbered(7)
PER_SHARD = 3
MESSAGE_BYTES = 65_536
_kept: list[object] = []
"""Rooms that must not be closed by being forgotten."""

TRIES_MAX = 5

Tell = Callable[..., None]
Act = Callable[[Room, Tell], Awaitable[None]]


class Inline(Executor):
    """Does at once, in the caller's own thread, what it is handed."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 (whoever waits for the future is told)
            future.set_exception(error)
        return future


# -- the acts -------------------------------------------------------------------------------------


async def open_first(room: Room, tell: Tell) -> None:
    tell(opened=True)


async def create(room: Room, tell: Tell) -> None:
    batch = await room.create(NAMES, salt="two")
    tell(created=batch.id)


async def plan(room: Room, tell: Tell) -> None:
    batch = await only(room)
    await room.plan(batch, PER_SHARD)
    tell(planned=batch.id)


async def store(room: Room, tell: Tell) -> None:
    """Results under a new fence, in two commits."""
    batch = await only(room)
    taken = await room.store.take(batch.id, 0)
    for count in (1, 1):
        room.answer(taken, count, text="first life")
        await room.store.flush()
        tell(settled=[batch.id, 0, (await room.store.shards(batch.id))[0].tally.settled])
    taken.close()


async def end(room: Room, tell: Tell) -> None:
    batch = await room.finish(await only(room), text="first life")
    assert batch.processing_status == "ended"
    lines = await room.lines(batch)
    tell(read=[batch.id, {name: line.decode() for name, line in lines.items()}])


async def cancel(room: Room, tell: Tell) -> None:
    batch = await only(room)
    await room.store.cancel(WORKSPACE, batch.id)
    tell(canceled=batch.id)


async def delete(room: Room, tell: Tell) -> None:
    batch = await only(room)
    tell(deleting=batch.id)
    await room.store.delete(WORKSPACE, batch.id)
    tell(deleted=batch.id)


async def archive(room: Room, tell: Tell) -> None:
    batch = await only(room)
    await room.store.archive(batch.id)
    tell(archived=batch.id)


async def recover(room: Room, tell: Tell) -> None:
    """What a dispatch process does first: tidy up, and take every shard under a higher fence."""
    await room.store.prune()
    for batch in await room.store.unfinished():
        for shard in await room.store.shards(batch.id) or await room.plan(batch, PER_SHARD):
            taken = await room.store.take(batch.id, shard.number)
            tell(settled=[batch.id, shard.number, taken.tail.tally.settled])
            taken.close()


ACTS: dict[str, Act] = {
    act.__name__: act
    for act in (open_first, create, plan, store, end, cancel, delete, archive, recover)
}
OPENING = ("open_first", "recover")
"""Acts to which opening the store belongs."""


async def only(room: Room) -> Any:
    """The one batch there is."""
    page = await room.store.batches(WORKSPACE, limit=20, after_id=None, before_id=None)
    (batch,) = page.data
    return batch


# -- the nursery ----------------------------------------------------------------------------------


async def perform(order: dict[str, Any], tell: Tell, go: Callable[[], None]) -> int:
    """Do one act; 0 when it was done, 1 when the store said that it cannot go on.

    A full disk is no reason to die: the act is tried again in the same process.
    """
    folder, act = Path(order["folder"]), ACTS[order["act"]]
    room = None if order["act"] in OPENING else Room(folder)
    go()
    try:
        for tries in range(1, TRIES_MAX + 1):
            try:
                room = room or opened(folder)
                await act(room, tell)
                break
            except DiskFull:
                tell(full=tries)
                if tries == TRIES_MAX:
                    raise
        assert room is not None
        if order["close"]:
            await room.store.close()
        _kept.append(room)
    except StorageError as error:
        tell(failed=repr(error))
        return 1
    return 1 if room.fatal else 0


def opened(folder: Path) -> Room:
    """A room on a folder that may not be there yet: its catalog is made by the store itself."""
    folder.mkdir(exist_ok=True)
    return Room(folder)


def nurse(channel: socket.socket) -> None:
    """Fork a child for each order until the other side is gone."""

    def tell(**news: object) -> None:
        channel.send(json.dumps(news).encode())  # `sendto`: no file operation

    while order := channel.recv(MESSAGE_BYTES):
        child = os.fork()
        if child == 0:

            def go() -> None:
                tell(ready=os.getpid())
                channel.recv(MESSAGE_BYTES)

            os._exit(asyncio.run(perform(json.loads(order), tell, go)))
        tell(exit=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def warm_up() -> None:
    """Live once through everything, so that no child has a module to load."""
    with tempfile.TemporaryDirectory() as folder:
        for act in ("open_first", "create", "plan", "store", "recover", "end", "delete"):
            order = {"act": act, "folder": f"{folder}/data", "close": True}
            assert asyncio.run(perform(order, lambda **_: None, lambda: None)) == 0


def main() -> None:
    """Serve orders on the socket whose descriptor is the first argument."""
    for module in (batchyard.store.store, batchyard.store.runner):
        assert module.ThreadPoolExecutor
        module.ThreadPoolExecutor = Inline  # type: ignore[assignment]
    batchyard.store.committer.RETRY_SECONDS = 0.01
    warm_up()
    nurse(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
