"""Caps are never passed, whatever comes back, and what is said when one is reached."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard.errors import CapReached, ConfigurationError
from batchyard.pipeline.estimate.budget import Budget, Reservation, Spent
from batchyard.pipeline.estimate.caps import Caps
from batchyard.pipeline.estimate.prices.price import Price
from batchyard.pipeline.estimate.prices.prices import Prices

HAIKU = Prices({}).of("claude-haiku-4-5")  # as a batch $0.50 in (0.625 to cache) and $2.50 out
OWN = Price("qwen3:8b", "your own machine")


def budget(caps: Caps, *, price: Price | None = HAIKU, rows: int = 1000, **more: Any) -> Budget:
    return Budget(caps, rows=rows, max_tokens=100, price=price, model="qwen3:8b", **more)


# -- the law --------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.data())
def test_no_cap_is_passed_whatever_the_rows_really_take(data: st.DataObject) -> None:
    draw = data.draw
    cap = draw(st.integers(1, 30_000))
    dollars = draw(st.decimals("0.00001", "0.02", places=5))
    one = budget(Caps(max_tokens_total=cap, max_cost=dollars))
    flying: list[Reservation] = []
    for _ in range(draw(st.integers(1, 12))):
        sizes = draw(st.lists(st.integers(2, 600), max_size=12))
        rows = one.affordable_rows(sizes, 0)
        if rows:
            flying.append(one.reserve(rows, sum(sizes[:rows]), 0))
        if rows < len(sizes):
            with pytest.raises(CapReached):
                one.reserve(rows + 1, sum(sizes[: rows + 1]), 0)
        while flying and draw(st.booleans()):
            settle(one, flying.pop(draw(st.integers(0, len(flying) - 1))), draw)
        assert one.spent.tokens <= cap
        assert one.cost(0) <= dollars
    while flying:
        settle(one, flying.pop(), draw)
    assert one.spent.tokens <= cap
    assert one.cost(0) <= dollars
    assert not one.holds


def settle(one: Budget, batch: Reservation, draw: Any) -> None:
    """Any usage that prompts of that length and answers of at most 100 tokens can have."""
    taken = draw(st.integers(0, batch.body_bytes))
    given = draw(st.integers(0, batch.rows * 100))
    one.settle(batch, Spent(batch.rows, batch.rows, taken, given))


def test_a_run_ends_under_a_cap_that_is_a_little_above_what_it_takes() -> None:
    """The bound of a row here is ten times what it takes: batches shrink, and all rows fit."""
    one, left, batches = budget(Caps(max_tokens_total=72_000)), 1000, 0
    while left:
        rows = one.affordable_rows([500] * left, 0)
        assert rows
        batch = one.reserve(rows, 500 * rows, 0)
        one.settle(batch, Spent(rows, rows, 50 * rows, 20 * rows))
        left, batches = left - rows, batches + 1
    assert one.spent.tokens == 70_000
    assert batches < 40


def test_all_rows_fit_where_there_is_no_cap() -> None:
    assert budget(Caps(), price=None).affordable_rows([500] * 9, 1e9) == 9
    assert not Caps()
    assert Caps(max_hours=1)


def test_rows_on_their_way_keep_their_share_until_they_have_ended() -> None:
    one = budget(Caps(max_tokens_total=1000))
    first = one.reserve(4, 400, 0)
    assert one.holds
    assert one.affordable_rows([100] * 9, 0) == 1
    one.settle(first, Spent(4, 4, 80, 20))
    assert not one.holds
    assert one.affordable_rows([100] * 9, 0) == 4


def test_a_batch_of_an_earlier_session_is_held_even_where_it_does_not_fit() -> None:
    one = budget(Caps(max_tokens_total=100))
    held = one.hold(4, 400)
    assert one.affordable_rows([1], 0) == 0
    one.settle(held, Spent(4, 4, 10, 10))
    assert one.affordable_rows([1] * 3, 0) == 0
    assert one.spent == Spent(4, 4, 10, 10, Decimal("0.00003"))  # 10 x 0.5 and 10 x 2.5 per million


def test_a_server_that_counts_more_than_bytes_makes_later_bounds_wider() -> None:
    one = budget(Caps(max_tokens_total=10_000))
    one.settle(one.reserve(1, 100, 0), Spent(1, 1, 1600, 0))
    assert one.reserve(1, 100, 0).tokens == 1600 + 100


def test_a_sample_is_paid_at_the_price_of_single_calls() -> None:
    one = budget(Caps(max_cost=Decimal(8)))
    one.sampled(Spent(5, 5, 1_000_000, 1_000_000))
    assert one.cost(0) == 6


def test_what_earlier_sessions_spent_counts() -> None:
    earlier = Spent(500, 490, 900, 90, Decimal("0.5"))
    one = budget(Caps(max_tokens_total=1000), spent=earlier)
    assert one.affordable_rows([1], 0) == 0


# -- hours ----------------------------------------------------------------------------------------


def test_rows_are_sent_for_as_many_hours_as_are_left() -> None:
    one = budget(Caps(max_hours=2), price=OWN)
    assert one.affordable_rows([9] * 500, 0) == 500, "nothing is known before a row has ended"
    one.settle(one.reserve(100, 900, 0), Spent(100, 100, 1, 1))
    assert one.affordable_rows([9] * 500, 1.0) == 100
    assert one.affordable_rows([9] * 500, 2.0) == 0


def test_hours_of_a_machine_count_as_cost() -> None:
    rented = Price("qwen3:8b", "x", gpu_hour=Decimal(3), gpus=2)
    one = budget(Caps(max_cost=Decimal(12)), price=rented)
    one.settle(one.reserve(100, 900, 0), Spent(100, 100, 1, 1))
    assert one.cost(1.0) == 6
    assert one.affordable_rows([9] * 500, 1.0) == 100


# -- words ----------------------------------------------------------------------------------------


def test_a_reached_cap_says_what_is_spent_what_is_kept_and_how_to_go_on() -> None:
    spent = Spent(420, 412, 0, 0, Decimal("4.71"))
    one = budget(Caps(max_cost=Decimal(5)), spent=spent)
    with pytest.raises(CapReached) as raised:
        one.reserve(2000, 200_000, 0)
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
        budget(caps, price=OWN, spent=spent).reserve(1, 100, hours)
    assert seen in raised.value.message
    assert raised.value.fix == f"continue with: batchyard resume {fix}"


def test_the_cap_it_advises_lets_the_run_go_on() -> None:
    spent, cap = Spent(), 150
    with pytest.raises(CapReached) as raised:
        budget(Caps(max_tokens_total=cap), spent=spent).reserve(1, 100, 0)
    assert raised.value.fix is not None
    advised = int(raised.value.fix.rsplit(" ", 1)[1])
    assert budget(Caps(max_tokens_total=advised), spent=spent).affordable_rows([100], 0) == 1


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
