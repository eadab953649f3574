"""What a failure leads to, as a table, and the waits between tries."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.dispatch.worker.retry import (
    BACKOFF_CAP_SECONDS,
    BACKOFF_FLOOR_SECONDS,
    SAME_FAULT_MAX,
    SHEDDING_FAULT_MAX,
    UNLUCKY_FAULT_MAX,
    Again,
    GiveUp,
    Hold,
    Luck,
    Proofs,
    Tries,
    backoff,
    fault_name,
    judge,
)
from batchyard.errors import EngineError, Misconfigured, Overloaded, Rejected, Spent, Unavailable


def failed_alike(error: EngineError, times: int, *, neighbours_succeed: bool) -> Tries:
    tries = Tries()
    for count in range(times):
        tries = tries.after(fault_name(error), Proofs(count if neighbours_succeed else 0))
    return tries


def test_a_rejected_request_ends_at_once_with_the_engines_words() -> None:
    error = Rejected("max_tokens: too large", type="invalid_request_error", status=400)
    assert judge(error, Tries(1), 0.5) == GiveUp("invalid_request_error", "max_tokens: too large")


def test_a_wrong_key_holds_the_engine_and_no_request_pays_for_it() -> None:
    assert judge(Misconfigured("bad key", status=401), Tries(99), 0.5) == Hold("paused", "bad key")


def test_an_unreachable_engine_holds_and_no_request_pays_for_it() -> None:
    error = Unavailable("connection refused")
    tries = failed_alike(error, 1_000, neighbours_succeed=True)
    assert judge(error, tries, 0.5) == Hold("waiting", "connection refused")


def test_retry_after_is_a_lower_bound() -> None:
    verdict = judge(Overloaded("later", retry_after=30.0, status=429), Tries(1), 0.99)
    assert isinstance(verdict, Again)
    assert verdict.seconds >= 30.0


@pytest.mark.parametrize("status", [500, 502, 504])
def test_the_same_5xx_every_time_while_neighbours_succeed_is_the_requests_own_fault(
    status: int,
) -> None:
    error = Unavailable("image is not supported", status=status)
    spared = failed_alike(error, SAME_FAULT_MAX - 1, neighbours_succeed=True)
    assert isinstance(judge(error, spared, 0.5), Again)
    verdict = judge(error, failed_alike(error, SAME_FAULT_MAX, neighbours_succeed=True), 0.5)
    assert isinstance(verdict, GiveUp)
    assert verdict.type == "api_error"
    assert "image is not supported" in verdict.message


def test_a_503_is_believed_longer_before_the_request_is_blamed() -> None:
    error = Unavailable("busy", status=503)
    tries = failed_alike(error, SHEDDING_FAULT_MAX - 1, neighbours_succeed=True)
    assert isinstance(judge(error, tries, 0.5), Again)
    tries = failed_alike(error, SHEDDING_FAULT_MAX, neighbours_succeed=True)
    assert isinstance(judge(error, tries, 0.5), GiveUp)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.3])
def test_at_an_engine_that_fails_at_random_hardly_anybody_is_blamed_for_bad_luck(
    rate: float,
) -> None:
    chance, luck, blamed = random.Random(1), Luck(), 0
    for _ in range(100_000):
        tries = Tries()
        while chance.random() < rate:
            tries = tries.after("Unavailable:500", Proofs(tries.total + 1))
            verdict = judge(Unavailable("x", status=500), tries, 0.5, luck.rate)
            if isinstance(verdict, GiveUp):
                blamed += 1
                break
        else:
            luck.succeeded(tries.total)
    assert blamed <= 1
    assert luck.rate == pytest.approx(rate, abs=0.15)


def test_poison_is_no_bad_luck_and_does_not_delay_its_own_end() -> None:
    luck = Luck()
    for _ in range(1_000):
        luck.succeeded(0)
    error = Unavailable("image is not supported", status=500)
    tries = failed_alike(error, SAME_FAULT_MAX, neighbours_succeed=True)
    assert isinstance(judge(error, tries, 0.5, luck.rate), GiveUp)


def test_the_control_question_speaks_against_one_that_fails_alone_not_against_a_crowd() -> None:
    alone = crowd = Tries()
    for controls in range(10):
        alone = alone.after("Spent:None", Proofs(0, controls))
        crowd = crowd.after("Spent:None", Proofs(0, controls), in_company=True)
    assert (alone.alike, crowd.alike) == (10, 1)
    assert crowd.after("Spent:None", Proofs(1, 10), in_company=True).alike == 2


@given(rate=st.floats(0, 1, exclude_max=True))
def test_a_few_equal_failures_are_enough_at_any_engine(rate: float) -> None:
    for error in (Unavailable("x", status=500), Unavailable("x", status=503), Spent("x")):
        tries = failed_alike(error, UNLUCKY_FAULT_MAX, neighbours_succeed=True)
        assert isinstance(judge(error, tries, 0.5, rate), GiveUp)
        tries = failed_alike(error, SAME_FAULT_MAX - 1, neighbours_succeed=True)
        assert isinstance(judge(error, tries, 0.5, rate), Again)


def test_an_engine_that_fails_everybody_never_fails_anybody() -> None:
    for error in (Unavailable("broken", status=500), Spent("no answer")):
        tries = failed_alike(error, 10_000, neighbours_succeed=False)
        assert isinstance(judge(error, tries, 0.5), Again)


def test_no_answer_again_and_again_while_neighbours_succeed_ends_the_request() -> None:
    error = Spent("closed before an answer")
    verdict = judge(error, failed_alike(error, SAME_FAULT_MAX, neighbours_succeed=True), 0.5)
    assert isinstance(verdict, GiveUp)
    assert verdict.type == "api_error"


def test_another_kind_of_failure_starts_the_count_anew() -> None:
    tries = failed_alike(Unavailable("x", status=500), 5, neighbours_succeed=True)
    tries = tries.after(fault_name(Unavailable("x", status=502)), Proofs(9))
    assert (tries.total, tries.alike) == (6, 1)


@given(tries=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_every_wait_is_above_the_floor_and_below_the_cap(tries: int, jitter: float) -> None:
    seconds = backoff(tries, jitter)
    assert BACKOFF_FLOOR_SECONDS <= seconds <= BACKOFF_FLOOR_SECONDS + BACKOFF_CAP_SECONDS
