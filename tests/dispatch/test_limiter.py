"""How the number of requests in flight follows what an engine takes."""

import random

from hypothesis import given
from hypothesis import strategies as st

from batchyard.dispatch.worker.limiter import AUTO_MAX, Limiter


def rounds_against(limiter: Limiter, capacity: int, requests: int) -> tuple[int, int, int]:
    """Send in rounds to an engine that takes `capacity` at once; answers, refusals, peak."""
    answered = refused = peak = 0
    while answered < requests:
        in_flight = limiter.limit
        peak = max(peak, in_flight)
        tickets = [limiter.ticket() for _ in range(in_flight)]
        for index, ticket in enumerate(tickets):
            if index < capacity:
                answered += 1
                limiter.succeeded(in_flight)
            else:
                refused += 1
                limiter.pushed_back(ticket, in_flight)
    return answered, refused, peak


def test_it_doubles_each_round_until_the_first_refusal() -> None:
    limiter = Limiter(16, 256)
    for expected in (32, 64, 128, 256, 256):
        in_flight = limiter.limit
        for _ in range(in_flight):
            limiter.succeeded(in_flight)
        assert limiter.limit == expected


def test_it_does_not_grow_while_it_is_not_what_holds_us_back() -> None:
    limiter = Limiter(16, 256)
    for _ in range(1_000):
        limiter.succeeded(in_flight=3)
    assert limiter.limit == 16


def test_a_burst_of_refusals_sent_together_shrinks_it_once() -> None:
    limiter = Limiter(100, 256)
    ticket = limiter.ticket()
    for _ in range(90):
        limiter.pushed_back(ticket, 100)
    assert limiter.limit == 70


def test_an_engine_that_takes_four_is_refused_less_than_once_per_request() -> None:
    answered, refused, _ = rounds_against(Limiter.for_engine(64, None), 4, 2_000)
    assert refused < answered / 2


def test_it_finds_back_up_when_the_engine_grows() -> None:
    limiter = Limiter.for_engine(None, None)
    rounds_against(limiter, 4, 500)
    _, _, peak = rounds_against(limiter, 1_000, 40_000)
    assert peak >= 200


def test_an_engine_that_tells_its_slots_gets_a_few_more_than_that() -> None:
    assert Limiter.for_engine(None, 4).limit == 5
    assert Limiter.for_engine(None, 1).limit == 2


@given(seed=st.integers(0, 2**32), start=st.integers(1, 300), ceiling=st.integers(1, 300))
def test_it_never_leaves_its_bounds(seed: int, start: int, ceiling: int) -> None:
    chance = random.Random(seed)
    limiter = Limiter(start, ceiling)
    for _ in range(200):
        in_flight = chance.randint(0, AUTO_MAX)
        if chance.random() < 0.5:
            limiter.succeeded(in_flight)
        else:
            limiter.pushed_back(chance.choice([limiter.ticket(), -1]), in_flight)
        assert 1 <= limiter.limit <= ceiling
