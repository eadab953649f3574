"""Caps are never passed, whatever comes back, and what is said when one is reached."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.errors import CapReached, ConfigurationError
from batchyard.pipeline.estimate.budget import NOTHING, Budget, Spent
from batchyard.pipeline.estimate.caps import Caps
from batchyard.pipeline.estimate.prices.price import Price
from batchyard.pipeline.estimate.prices.prices import Prices

HAIKU = Prices({}).of("claude-haiku-4-5")  # as a batch $0.50 in (0.625 to cache) and $2.50 out
OWN = Price("qwen3:8b", "your own machine")


def budget(
    caps: Caps, *, price: Price | None = HAIKU, hours: float = 0, spent: Spent = NOTHING
) -> Budget:
    return Budget(
        caps,
        rows=1000,
        max_tokens=100,
        price=price,
        model="qwen3:8b",
        hours=lambda: hours,
        spent=spent,
    )


def settle(one: Budget, batch: int, rows: int, taken: int, given: int) -> None:
    one.settle(batch, rows=rows, answers=rows, input_tokens=taken, output_tokens=given)


# -- the law --------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.data())
def test_no_cap_is_passed_whatever_the_rows_really_take(data: st.DataObject) -> None:
    draw = data.draw
    cap = draw(st.integers(1, 30_000))
    dollars = draw(st.decimals("0.00001", "0.02", places=5))
    one = budget(Caps(max_tokens_total=cap, max_cost=dollars))
    flying: dict[int, tuple[int, int]] = {}

    def end(batch: int) -> None:
        """Any usage that prompts of that length and answers of at most 100 tokens can have."""
        rows, size = flying.pop(batch)
        settle(one, batch, rows, draw(st.integers(0, size)), draw(st.integers(0, rows * 100)))
        assert one.spent.tokens <= cap
        assert one.cost() <= dollars

    for batch in range(draw(st.integers(1, 12))):
        sizes = draw(st.lists(st.integers(2, 600), max_size=12))
        rows = one.fitting(sizes)
        if rows:
            flying[batch] = rows, sum(sizes[:rows])
            one.reserve(batch, *flying[batch])
        if rows < len(sizes):
            with pytest.raises(CapReached):
                one.reserve(99, rows + 1, sum(sizes[: rows + 1]))
        while flying and draw(st.booleans()):
            end(draw(st.sampled_from(sorted(flying))))
    while flying:
        end(next(iter(flying)))


def test_a_run_ends_under_a_cap_that_is_a_little_above_what_it_takes() -> None:
    """The bound of a row here is ten times what it takes: batches shrink, and all rows fit."""
    one, left, batches = budget(Caps(max_tokens_total=72_000)), 1000, 0
    while left:
        rows = one.fitting([500] * left)
        assert rows
        one.reserve(batches, rows, 500 * rows)
        settle(one, batches, rows, 50 * rows, 20 * rows)
        left, batches = left - rows, batches + 1
    assert one.spent.tokens == 70_000
    assert batches < 40


def test_all_rows_fit_where_there_is_no_cap() -> None:
    assert budget(Caps(), price=None, hours=1e9).fitting([500] * 9) == 9
    assert not Caps()
    assert Caps(max_hours=1)


def test_rows_on_their_way_keep_their_share_until_they_have_ended() -> None:
    one = budget(Caps(max_tokens_total=1000))
    one.reserve(1, 4, 400)
    assert one.fitting([100] * 9) == 1
    settle(one, 1, 4, 80, 20)
    assert one.fitting([100] * 9) == 4


def test_a_batch_that_does_not_fit_sets_nothing_aside() -> None:
    one = budget(Caps(max_tokens_total=1000))
    with pytest.raises(CapReached):
        one.reserve(1, 9, 900)
    assert one.fitting([100] * 9) == 5


def test_a_batch_of_an_earlier_session_is_held_even_where_it_does_not_fit() -> None:
    one = budget(Caps(max_tokens_total=100))
    one.hold(7, 4, 400)
    assert one.fitting([1]) == 0
    settle(one, 7, 4, 10, 10)
    assert one.fitting([1] * 3) == 0
    # 10 tokens at 0.5 and 10 at 2.5 dollars per million.
    assert one.spent == Spent(4, 4, 10, 10, Decimal("0.00003"))


def test_a_batch_that_nothing_was_set_aside_for_is_paid_all_the_same() -> None:
    one = budget(Caps(max_tokens_total=100))
    settle(one, 7, 4, 10, 10)
    assert one.spent.tokens == 20


def test_a_server_that_counts_more_than_bytes_makes_later_bounds_wider() -> None:
    one = budget(Caps(max_tokens_total=3_400))
    assert one.fitting([100] * 20) == 17
    one.reserve(1, 1, 100)
    settle(one, 1, 1, 1600, 0)
    assert one.fitting([100] * 20) == 1  # of 1,800 tokens left, a row may take 1,600 + 100


def test_a_sample_is_paid_at_the_price_of_single_calls() -> None:
    one = budget(Caps(max_cost=Decimal(8)))
    one.sampled(Spent(5, 5, 1_000_000, 1_000_000))
    assert one.cost() == 6


def test_what_earlier_sessions_spent_counts() -> None:
    earlier = Spent(500, 490, 900, 90, Decimal("0.5"))
    assert budget(Caps(max_tokens_total=1000), spent=earlier).fitting([1]) == 0


# -- hours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "rows"), [(1.0, 100), (1.5, 33), (2.0, 0), (3.0, 0)])
def test_rows_are_sent_for_as_many_hours_as_are_left(hours: float, rows: int) -> None:
    ended = Spent(100, 100, 1, 1)
    one = budget(Caps(max_hours=2), price=OWN, hours=hours, spent=ended)
    assert one.fitting([9] * 500) == rows


def test_before_a_row_has_ended_nobody_knows_how_long_one_takes() -> None:
    assert budget(Caps(max_hours=2), price=OWN, hours=1).fitting([9] * 500) == 500


def test_hours_of_a_machine_count_as_cost() -> None:
    rented = Price("qwen3:8b", "x", gpu_hour=Decimal(3), gpus=2)
    ended = Spent(100, 100, 1, 1)
    one = budget(Caps(max_cost=Decimal(12)), price=rented, hours=1, spent=ended)
    assert one.cost() == 6
    assert one.fitting([9] * 500) == 100


# -- words ----------------------------------------------------------------------------------------


def test_a_reached_cap_says_what_is_spent_what_is_kept_and_how_to_go_on() -> None:
    spent = Spent(420, 412, 0, 0, Decimal("4.71"))
    one = budget(Caps(max_cost=Decimal(5)), spent=spent)
    with pytest.raises(CapReached) as raised:
        one.reserve(1, 2000, 200_000)
    assert raised.value.message == (
        "--max-cost allows $5.00: $4.71 spent so far, and 2 000 more rows can take up to $0.63; "
        "nothing more was sent, 412 answers are kept"
    )
    # 4.71 for 420 rows are 11.21 for 1,000; a tenth more, and room for that batch: 12.97.
    assert raised.value.fix == "continue with: batchyard resume --max-cost 13"


@pytest.mark.parametrize(
    ("caps", "spent", "hours", "seen", "fix"),
    [
        (
            Caps(max_tokens_total=150),
            Spent(),
            0,
            "allows 150 tokens: 0 tokens spent so far, and one more row can take up to 200 tokens",
            "--max-tokens-total 500",
        ),
        (
            Caps(max_hours=2),
            Spent(500, 1),
            2.5,
            "allows 2 h: 2 h 30 min spent so far, and one more row can take up to 18 s",
            "--max-hours 5.6",
        ),
    ],
)
def test_each_cap_is_told_in_its_own_unit(
    caps: Caps, spent: Spent, hours: float, seen: str, fix: str
) -> None:
    with pytest.raises(CapReached) as raised:
        budget(caps, price=OWN, spent=spent, hours=hours).reserve(1, 1, 100)
    assert seen in raised.value.message
    assert raised.value.fix == f"continue with: batchyard resume {fix}"


def test_the_cap_it_advises_lets_the_run_go_on() -> None:
    with pytest.raises(CapReached) as raised:
        budget(Caps(max_tokens_total=150)).reserve(1, 1, 100)
    assert raised.value.fix is not None
    advised = int(raised.value.fix.rsplit(" ", 1)[1])
    assert budget(Caps(max_tokens_total=advised)).fitting([100]) == 1


def test_a_cap_on_cost_needs_a_price() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no price for qwen3:8b") as raised:
        budget(Caps(max_cost=Decimal(5)), price=None)
    assert raised.value.fix is not None
    assert '[prices."qwen3:8b"]' in raised.value.fix


@pytest.mark.parametrize(
    "values",
    [{"max_cost": Decimal(0)}, {"max_tokens_total": -1}, {"max_hours": float("nan")},
     {"max_cost": Decimal("Infinity")}],
)  # fmt: skip
def test_a_cap_that_is_not_above_zero_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        Caps(**values)
