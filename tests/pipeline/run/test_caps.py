"""Caps: asked before each batch, reached only when all that was sent is here."""

from __future__ import annotations

import pytest

from batchyard.errors import CapReached
from batchyard.pipeline.estimate.budget import Budget, Spent
from batchyard.pipeline.estimate.caps import Caps
from batchyard.pipeline.run import Options
from tests.pipeline.run.conftest import Bench


class Purse:
    """Room for so many rows; with `frees`, what a settled batch had set aside is free again."""

    def __init__(self, rows: int, *, frees: bool = False) -> None:
        self.room = rows
        self.frees = frees
        self.held: dict[int, int] = {}

    def fitting(self, sizes: object) -> int:
        return min(len(list(sizes)), self.room)  # type: ignore[call-overload]

    def reserve(self, batch: int, rows: int, body_bytes: int) -> None:
        assert body_bytes > 0
        if rows > self.room:
            raise CapReached("no room")
        self.hold(batch, rows, body_bytes)

    def hold(self, batch: int, rows: int, body_bytes: int) -> None:
        self.room -= rows
        self.held[batch] = rows

    def settle(self, batch: int, *, rows: int, answers: int, **tokens: int) -> None:
        assert answers <= rows
        assert tokens.keys() == {"input_tokens", "output_tokens"}
        rows_held = self.held.pop(batch)
        self.room += rows_held * self.frees


async def test_a_cap_stops_the_run_when_what_was_sent_is_here(bench: Bench) -> None:
    purse = Purse(6)
    with pytest.raises(CapReached, match="no room"):
        await bench.finish(allowance=purse)
    assert [len(held.requests) for held in bench.server.held()] == [4, 2]
    assert (bench.store.totals.succeeded, bench.store.totals.waiting) == (6, 4)
    assert purse.held == {}
    bench.die()
    assert len(await bench.finish()) == 10
    assert set(bench.server.asked.values()) == {1}


async def test_room_that_a_settled_batch_frees_is_used(bench: Bench) -> None:
    purse = Purse(5, frees=True)
    assert len(await bench.finish(allowance=purse)) == 10
    assert [len(held.requests) for held in bench.server.held()] == [4, 1, 4, 1]


async def test_a_real_budget_stops_the_run_under_its_cap_and_lets_it_go_on(bench: Bench) -> None:
    def capped(tokens: int) -> Budget:
        done = bench.store.totals
        spent = Spent(done.succeeded, done.succeeded, done.input_tokens, done.output_tokens)
        caps = Caps(max_tokens_total=tokens)
        return Budget(
            caps, rows=10, max_tokens=10, price=None, model="tiny", hours=lambda: 0.1, spent=spent
        )

    with pytest.raises(CapReached, match="--max-tokens-total"):
        await bench.finish(allowance=capped(100))
    done = bench.store.totals.succeeded
    assert 0 < done < 10
    assert bench.store.totals.input_tokens + bench.store.totals.output_tokens <= 100
    bench.die()
    assert len(await bench.finish(allowance=capped(10_000))) == 10


async def test_batches_of_an_earlier_session_count_against_the_cap(bench: Bench) -> None:
    runner = bench.runner()
    await runner.prepare()
    bench.options = Options(batch_size=4)
    await runner.submit()
    bench.die()
    purse = Purse(20)
    await bench.finish(allowance=purse)
    assert (purse.room, purse.held) == (10, {})
