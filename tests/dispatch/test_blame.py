"""Is it the engine or the request? Poison ends its own requests, an outage nobody's."""

from __future__ import annotations

from pathlib import Path

from batchyard.clock import ManualClock
from batchyard.engine import Ask, Model, Reply
from batchyard.errors import EngineError, Spent, Unavailable
from tests.dispatch.harness import House, ScriptedEngine, all_echoed, asks


def failing(text: str, tries: int) -> EngineError:
    return Unavailable("bad gateway", status=502)


async def test_an_outage_in_which_the_last_requests_of_a_batch_are_left_blames_none_of_them(
    house: House, engine: ScriptedEngine
) -> None:
    await house.ended(await house.create(asks(20, "before")))
    engine.fault = failing
    requests = asks(5)
    batch = await house.create(requests)
    await house.run(1800)
    assert (await house.look(batch)).tally.settled == 0
    [report] = await house.store.engine_reports()
    assert (report.state, report.reason) == ("waiting", "bad gateway")
    assert sum(engine.asked.values()) < 200, "it is asked less and less often"
    engine.fault = lambda text, tries: None
    await house.ended(batch, within=60)
    assert all_echoed(await house.lines(batch), requests)


async def test_a_single_request_outlives_an_engine_that_lists_its_models_and_fails(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = failing
    batch = await house.create(asks(1))
    await house.run(3600)
    assert (await house.look(batch)).tally.settled == 0
    engine.fault = lambda text, tries: None
    await house.ended(batch, within=60)
    assert all_echoed(await house.lines(batch), asks(1))


async def test_a_batch_of_nothing_but_poison_ends_and_the_others_go_on_beside_it(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = lambda text, tries: (
        Unavailable("image input is not supported", status=500) if "poison" in text else None
    )
    poison = await house.create(asks(200, "poison"))
    await house.run(20)
    good = await house.create(asks(50, "good"), workspace="wrkspc_other")
    await house.ended(good, within=60)
    assert all_echoed(await house.lines(good), asks(50, "good"))
    ended = await house.ended(poison, within=1800)
    assert ended.tally.errored == 200
    errors = [line["error"]["error"] for line in (await house.lines(poison)).values()]
    assert all("image input" in error["message"] for error in errors)


class Fragile(ScriptedEngine):
    """Dies of one prompt, with all that is in flight, and is back after five seconds."""

    deaths = 0
    dead_until = 0.0

    def _check(self) -> None:
        if self.clock.monotonic() < self.dead_until:
            raise Unavailable("connection refused")

    async def models(self) -> list[Model]:
        self._check()
        return await super().models()

    async def create_message(self, ask: Ask) -> Reply:
        self._check()
        deaths = self.deaths
        if b'"q 7"' in ask.params:
            self.deaths += 1
            self.dead_until = self.clock.monotonic() + 5
        reply = await super().create_message(ask)
        if self.deaths > deaths:
            raise Spent("connection reset")
        return reply


async def test_a_request_that_kills_the_engine_is_given_up_after_a_few_deaths(
    tmp_path: Path, clock: ManualClock
) -> None:
    engine = Fragile(clock)
    house = House(tmp_path / "data", clock, m=engine)
    house.options["m"] = {"concurrency": 4}
    await house.start()
    batch = await house.create(asks(100))
    ended = await house.ended(batch, within=1800)
    assert (ended.tally.succeeded, ended.tally.errored) == (99, 1)
    assert (await house.lines(batch))["q-7"]["type"] == "errored"
    assert engine.deaths <= 25
    await house.stop()


async def test_requests_that_hang_do_not_keep_an_engine_from_being_found_well_again(
    house: House, engine: ScriptedEngine
) -> None:
    engine.fault = failing
    engine.latency = 600.0
    stuck = await house.create(asks(4, "stuck"))
    await house.run(1)
    engine.latency = 0.1
    rest = await house.create(asks(40, "rest"))
    await house.run(20)
    engine.fault = lambda text, tries: None
    await house.ended(rest, within=60)
    assert all_echoed(await house.lines(rest), asks(40, "rest"))
    await house.ended(stuck, within=1800)


async def test_a_control_question_that_hangs_does_not_keep_an_engine_waiting(
    house: House, engine: ScriptedEngine
) -> None:
    engine.latency = 600.0
    engine.fault = lambda text, tries: Spent("no whole answer within 600 s", timed_out=True)
    batch = await house.create(asks(20))
    await house.run(700)
    [report] = await house.store.engine_reports()
    assert report.state == "waiting"
    engine.latency = 0.1
    engine.fault = lambda text, tries: None
    await house.run(150)
    assert (await house.look(batch)).tally.succeeded >= 16
    engine.fault = lambda text, tries: Spent("late", timed_out=True) if text == "Hi" else None
    await house.run(600)
    [report] = await house.store.engine_reports()
    assert report.state == "up", "what had been asked before says nothing any more"
    assert all_echoed(await house.lines(batch), asks(20))
