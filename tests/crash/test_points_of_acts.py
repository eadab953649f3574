"""Death at the N-th file operation of each act of the store, N = 1, 2, 3 … until it is done.

A real process on real files is killed by strace just before its N-th change to a file, SQLite's own
included; then the store is opened as the next process would, and audited: everything that was
acknowledged is there, nothing is there by half, and everything can be brought to its end.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchyard.ids import IdMint, batch_id
from batchyard.store.segments.contract import results_name
from tests.crash.acts import ACTS, NAMES, PER_SHARD
from tests.crash.figures import Figures
from tests.crash.lengths import long_form, timeout
from tests.crash.nursery import Fate, Nursery
from tests.crash.tracing import CHANGES, SYNCS, WRITES
from tests.store.durability.test_crash_points import Ledger, audit
from tests.store.room import WORKSPACE, Room, line

pytestmark = [timeout(180), pytest.mark.usefixtures("strace")]

POINTS_MAX = 300


@dataclass
class Before:
    """A data directory as a killed process left it, and what had been acknowledged by then."""

    act: str
    data: Path
    ledger: Ledger

    def copy(self, folder: Path) -> tuple[Path, Ledger]:
        """The same once more, to die on."""
        folder.mkdir()
        data = folder / "data"
        if self.data.exists():
            shutil.copytree(self.data, data)
        return data, Ledger(
            created=list(self.ledger.created),
            planned=set(self.ledger.planned),
            settled=dict(self.ledger.settled),
            read=dict(self.ledger.read),
        )


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.mark.parametrize("act", ACTS)
async def test_death_at_any_file_operation_loses_nothing_acknowledged(
    act: str, nursery: Nursery, tmp_path: Path, figures: Figures, dice: random.Random
) -> None:
    before, operations = await state_before(act, tmp_path), 0
    for calls in CHANGES:
        step = 1 if long_form() or calls not in ALIKE else 3
        for number in itertools.count(1 + dice.randrange(step), step):
            assert number < POINTS_MAX
            fate = await fated(before, nursery, (calls, f"signal=KILL:when={number}"))
            if not fate.killed:
                break
            figures.crash_points += 1
            operations += step
        assert fate.status == 0, fate
    assert operations > MANY[act], f"{operations} file operations are too few for {act}"


@pytest.mark.parametrize("act", ACTS)
async def test_after_a_sync_that_failed_nothing_is_acknowledged(
    act: str, nursery: Nursery, tmp_path: Path, figures: Figures
) -> None:
    before = await state_before(act, tmp_path)
    for calls in SYNCS:
        for number in range(1, POINTS_MAX):
            inject = (calls, f"error=EIO:when={number}")
            fate = await fated(before, nursery, inject, close=False)
            if not fate.injected:
                break
            assert fate.status == 1 or _folder_of_the_catalog(fate.injected), fate
            figures.disk_faults += 1
    assert fate.status == 0, fate
    assert figures.disk_faults > 0, "nothing is synced"


@pytest.mark.parametrize("act", ACTS)
async def test_a_disk_that_is_full_for_a_moment_stops_no_act(
    act: str, nursery: Nursery, tmp_path: Path, figures: Figures, dice: random.Random
) -> None:
    """Three writes in a row fail, so that whoever asks the disk once more finds it full: SQLite and
    then its room."""
    before = await state_before(act, tmp_path)
    for calls in WRITES:
        step = 1 if long_form() else 4
        for number in itertools.count(1 + dice.randrange(step), step):
            fate = await fated(
                before, nursery, (calls, f"error=ENOSPC:when={number}..{number + 2}")
            )
            assert fate.status == 0, fate
            if not fate.injected:
                break
            figures.disk_faults += 1
    assert figures.disk_faults > 0, "nothing is written"


ALIKE = ("openat", "pwrite64")
"""Calls of which there are so many alike that the short form looks at every third."""

MANY = {
    "open_first": 50, "create": 25, "plan": 30, "store": 35, "end": 50,
    "cancel": 15, "delete": 30, "archive": 30, "recover": 90,
}  # fmt: skip
"""File operations that each act has at the least: fewer, and something is not made durable."""


def _folder_of_the_catalog(injected: list[str]) -> bool:
    """Whether it was SQLite's sync of its folder, whose failure it disregards: the names of its
    files are older than what it writes into them."""
    (line,) = injected
    return "fdatasync(" in line and "/data>)" in line


# -- before ---------------------------------------------------------------------------------------


async def state_before(act: str, folder: Path) -> Before:
    """What the act finds. The store is copied while it is open: nobody has tidied up."""
    before = Before(act, folder / "before", Ledger())
    if act == "open_first":
        return before
    room = Room(folder / "living")
    room.store.on_committed(before.ledger.hear)
    await _lived(room, act, before.ledger)
    shutil.copytree(room.path, before.data)
    await room.store.close()
    shutil.rmtree(room.path)
    if act == "recover":
        _leave_a_mess(before.data, before.ledger)
    return before


async def _lived(room: Room, act: str, ledger: Ledger) -> None:
    batch = await room.create(NAMES, salt="one")
    ledger.created.append(batch)
    if act in ("create", "plan"):
        return
    await room.plan(batch, PER_SHARD)
    ledger.planned.add(batch.id)
    for number, count in {"store": {0: 1}, "end": {0: 3, 1: 2}, "recover": {0: 1, 1: 3}}.get(
        act, {}
    ).items():
        room.answer(await room.store.take(batch.id, number), count, text="first life")
    await room.store.flush()
    if act in ("delete", "archive"):
        await room.finish(batch, text="first life")
        ledger.read[batch.id] = await room.lines(batch)
    if act == "recover":
        ledger.created.append(await room.create(NAMES, salt="two"))


def _leave_a_mess(data: Path, ledger: Ledger) -> None:
    """Lines nobody counted, half a line, a body and a folder without a row."""
    batch, _ = ledger.created
    with (data / "batches" / batch.id / results_name(0, 1)).open("ab") as file:
        file.write(line("r-1", text="first life") + line("r-2", text="first life")[:-20])
    (data / "spool" / "0123.body").write_bytes(b'{"requests": [')
    orphan = data / "batches" / batch_id(IdMint(batch.id), batch.created_at) / "requests"
    orphan.mkdir(parents=True)
    (orphan / "0.jsonl").write_bytes(b"{}\n")


# -- after ----------------------------------------------------------------------------------------


async def fated(
    before: Before, nursery: Nursery, inject: tuple[str, str], *, close: bool = True
) -> Fate:
    """Do the act on a copy of what was before, and audit what it left."""
    folder = before.data.parent / "once"
    data, ledger = before.copy(folder)
    fate = nursery.act(before.act, data, *inject, close=close)
    await audited(data, ledger, fate)
    shutil.rmtree(folder)
    return fate


async def audited(data: Path, ledger: Ledger, fate: Fate) -> None:
    """Open the store as the next process does, and hold it to what the dead one was told."""
    room = Room(data) if data.exists() else None
    try:
        if room is None:
            assert not fate.told
            return
        await _write_down(room, ledger, fate)
        await audit(room, ledger)
    except BaseException as error:
        error.add_note(f"died at {fate.died_at}, was told {fate.told}")
        raise
    finally:
        if room is not None:
            await room.store.close()


async def _write_down(room: Room, ledger: Ledger, fate: Fate) -> None:
    for created in fate.heard("created"):
        ledger.created.append(await room.store.batch(WORKSPACE, created))
    for batch, shard, settled in fate.heard("settled"):
        ledger.settled[batch, shard] = max(ledger.settled.get((batch, shard), 0), settled)
    for batch, lines in fate.heard("read"):
        ledger.read[batch] = {name: text.encode() for name, text in lines.items()}
    for name in ("planned", "canceled", "deleting", "deleted", "archived"):
        getattr(ledger, name).update(fate.heard(name))
