"""Real coordinator, workers, store and sweeper under seeded trouble; then the ledger is audited.

A seed decides everything: faults of each answer, poison, outages, restarts, cancels, deadlines,
clock jumps, a full disk. Once the trouble stops every batch has to end (liveness); every request
has to have one right line, and none may be blamed for what is not its fault (safety).
`SEEDS=1000 pytest tests/simulation` runs more, `SEED=17` runs one again.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from batchyard.batches.batch import Batch
from batchyard.clock import ManualClock, Microseconds
from batchyard.errors import EngineError, Misconfigured, Overloaded, Rejected, Spent, Unavailable
from tests.dispatch.harness import House, ScriptedEngine, asks
from tests.store.filesystems import FullFileSystem

SEEDS = (
    [int(os.environ["SEED"])]
    if "SEED" in os.environ
    else list(range(int(os.environ.get("SEEDS", "40"))))
)


KINDS = (
    Unavailable("hiccup", status=500),
    Unavailable("proxy", status=502),
    Unavailable("restarting", status=503),
    Overloaded("slow down", status=429, retry_after=2.0),
    Overloaded("overloaded", status=529),
    Spent("connection reset"),
    Spent("timed out", timed_out=True),
)


class Trouble:
    """What goes wrong, by the chances of one seed. Texts that end in 7 are refused, and by some
    seeds those that end in 3 are poison."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rate = chance.choice([0.0, 0.05, 0.3])
        self.kinds = chance.sample(KINDS, chance.choice([1, len(KINDS)]))
        self.poison = chance.random() < 0.3
        self.over = False
        self.latest: Microseconds = 0

    def __call__(self, text: str, tries: int) -> EngineError | None:
        if text.endswith("7"):
            return Rejected("no sevens", type="invalid_request_error", status=400)
        if self.is_poison(text):
            return Unavailable("no threes", status=500)
        if self.over or self.chance.random() >= self.rate:
            return None
        return self.chance.choice(self.kinds)

    def is_poison(self, text: str) -> bool:
        return self.poison and text.endswith("3")

    def jump(self, house: House, seconds: float) -> None:
        house.clock.jump(seconds)
        self.latest = max(self.latest, house.clock.now())


async def live_through(
    house: House, trouble: Trouble, engines: list[ScriptedEngine]
) -> list[Batch]:
    """Create batches while things go wrong; returns them when the trouble is over."""
    chance = trouble.chance
    batches: list[Batch] = []
    for number in range(chance.randint(1, 3)):
        batches.append(await house.create(asks(chance.randint(1, 120), f"b{number}")))
        for _ in range(chance.randint(0, 4)):
            await house.run(chance.random() * 5)
            await one_event(house, trouble, engines, batches)
    trouble.over = True
    for engine in engines:
        engine.down = None
    return batches


async def one_event(
    house: House, trouble: Trouble, engines: list[ScriptedEngine], batches: list[Batch]
) -> None:
    """One of the things that happen to servers."""
    chance = trouble.chance
    engine = chance.choice(engines)
    match chance.randrange(11):
        case 0:
            engine.down = Unavailable("connection refused")
        case 1:
            engine.down = Misconfigured("invalid key", status=401)
        case 2 | 3:
            engine.down = None
        case 4:
            await house.cancel(chance.choice(batches))
        case 5:
            await house.stop(chance.choice([0.0, 1.0, 30.0]))
            await house.start()
        case 6:
            trouble.jump(house, chance.uniform(-7200, 7200))
        case 7:
            await fill_the_disk(house, chance)
        case 8 if chance.random() < 0.3:
            await house.stop()
            trouble.jump(house, chance.choice([1.0, 12.0, 25.0]) * 3600)
            await house.start()
        case 9 if chance.random() < 0.3:
            trouble.jump(house, 25 * 3600)
            await house.run(2)
            trouble.jump(house, chance.choice([0, -25]) * 3600)
        case _:
            engine.latency = chance.choice([0.01, 0.3, 2.0])


async def fill_the_disk(house: House, chance: random.Random) -> None:
    """The disk is full for a while; by some seeds the server is stopped and started meanwhile."""
    disk = house.file_system
    assert isinstance(disk, FullFileSystem)
    disk.room = chance.choice([0, 500])
    for _ in range(chance.randint(1, 20)):
        await house.clock.advance(0.5)
        await asyncio.to_thread(lambda: None)  # gives threads their turn
    if house.real_store.disk_full and chance.random() < 0.5:
        assert house.service is not None
        await house.service.stop(0.0)
        await house.real_store.close()
        disk.room = chance.choice([0, None])
        await house.start()
    disk.room = None


async def audit(house: House, batch: Batch, asked: Counter[str], trouble: Trouble) -> None:
    """One line per request, the right one; counts that agree with the lines."""
    ended = await house.ended(batch, within=2 * 3600)
    lines = await house.lines(batch)
    prefix = next(iter(lines)).split("-")[0]
    requests = asks(batch.requests, prefix)
    assert set(lines) == set(requests)
    found = Counter(line["type"] for line in lines.values())
    tally = ended.tally
    assert found == Counter(
        {
            name: count
            for name in ("succeeded", "errored", "canceled", "expired")
            if (count := getattr(tally, name))
        }
    )
    for custom_id, line in lines.items():
        text = requests[custom_id]["messages"][0]["content"]
        match line["type"]:
            case "succeeded":
                assert line["message"]["content"][0]["text"] == f"echo: {text}"
                assert asked[text] >= 1
            case "errored":
                assert text.endswith("7") or trouble.is_poison(text), line
            case "expired":
                assert max(trouble.latest, house.clock.now()) >= ended.expires_at
            case "canceled":
                assert ended.cancel_initiated_at is not None


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_every_request_ends_in_one_right_line(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    clock = ManualClock()
    trouble = Trouble(chance)
    engines = [ScriptedEngine(clock, latency=0.3) for _ in range(chance.randint(1, 2))]
    for engine in engines:
        engine.fault = trouble
    house = House(tmp_path / "data", clock, **{f"e{n}": e for n, e in enumerate(engines)})
    house.file_system = FullFileSystem()
    await house.start()
    try:
        batches = await live_through(house, trouble, engines)
        asked: Counter[str] = Counter()
        for batch in batches:
            await house.ended(batch, within=2 * 3600)
        for engine in engines:
            asked += engine.asked
        for batch in batches:
            await audit(house, batch, asked, trouble)
    finally:
        if house.service is not None:
            await house.stop()
