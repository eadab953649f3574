"""Watching: one snapshot after the other to the end, through a server that comes and goes."""

from __future__ import annotations

import msgspec
import pytest

from batchyard.client.readiness import EngineState, Readiness
from batchyard.client.watching import (
    LOOK_SECONDS,
    LOOK_SECONDS_ELSEWHERE,
    PATIENCE_SECONDS,
    Snapshot,
    watch,
)
from batchyard.errors import NotFound, ServerUnreachable
from batchyard.wire import MessageBatch
from tests.client.conftest import QuickClock
from tests.client.stub import batch


def of(status: str = "in_progress", **counts: int) -> MessageBatch:
    return msgspec.convert(batch(status=status, **counts), MessageBatch)


AWAY = ServerUnreachable("nobody there")
START, END = of(processing=2), of("ended", succeeded=2)


class Scripted:
    """A client whose looks are scripted; the last one is repeated."""

    def __init__(self, *looks: MessageBatch | Exception, engines: list[EngineState] | None) -> None:
        self.clock = QuickClock()
        self.looks = list(looks)
        self.engines = engines
        self.asked_engines = 0

    async def retrieve(self, _: str) -> MessageBatch:
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return look

    async def readiness(self) -> Readiness | None:
        self.asked_engines += 1
        return None if self.engines is None else Readiness("ok", "0.1.0", engines=self.engines)


async def seen(client: Scripted) -> list[Snapshot]:
    return [snapshot async for snapshot in watch(client, "msgbatch_1")]


async def test_the_last_snapshot_is_the_end() -> None:
    client = Scripted(START, of(processing=1, succeeded=1), END, engines=[])
    snapshots = await seen(client)
    assert [one.batch.request_counts.succeeded for one in snapshots] == [0, 1, 2]
    assert client.clock.waits == [LOOK_SECONDS, LOOK_SECONDS]
    assert [one.moment for one in snapshots] == [0, LOOK_SECONDS, 2 * LOOK_SECONDS]


async def test_a_batch_that_has_ended_is_seen_once_and_nothing_is_waited_for() -> None:
    client = Scripted(END, engines=[])
    assert len(await seen(client)) == 1
    assert client.clock.waits == []


async def test_a_server_of_another_make_is_asked_less_often_and_not_about_engines() -> None:
    client = Scripted(START, START, END, engines=None)
    snapshots = await seen(client)
    assert client.clock.waits == [LOOK_SECONDS_ELSEWHERE] * 2
    assert client.asked_engines == 1
    assert {one.engines for one in snapshots} == {None}


async def test_the_first_look_fails_at_once() -> None:
    with pytest.raises(NotFound):
        await seen(Scripted(NotFound("no such batch"), engines=[]))


async def test_a_server_that_comes_back_is_waited_for_and_the_snapshots_say_so() -> None:
    snapshots = await seen(Scripted(START, AWAY, AWAY, END, engines=[]))
    assert [one.trouble for one in snapshots] == ["", "nobody there", "nobody there", ""]
    assert snapshots[2].batch == START


async def test_a_server_that_stays_away_is_given_up_after_ten_minutes() -> None:
    client = Scripted(START, AWAY, engines=[])
    with pytest.raises(ServerUnreachable):
        await seen(client)
    assert PATIENCE_SECONDS < client.clock.monotonic() <= PATIENCE_SECONDS + 2 * LOOK_SECONDS


async def test_engines_are_asked_about_while_nothing_moves() -> None:
    waiting = EngineState("vllm", "waiting", reason="connection refused")
    client = Scripted(START, START, START, END, engines=[waiting])
    snapshots = await seen(client)
    assert client.asked_engines == 3
    assert snapshots[-1].engines == (waiting,)
