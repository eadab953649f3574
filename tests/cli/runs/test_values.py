"""Options as people write them, and what is said of those that cannot be."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.cli.runs.options.values import Amount, FailOn, Parameter, Positive, Tolerance, Turn


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1), ("500k", 500_000), ("1.5M", 1_500_000), ("2G", 2_000_000_000), ("20 000", 20_000)],
)
def test_large_numbers_may_be_shortened(text: str, amount: int) -> None:
    assert Amount().convert(text, None, None) == amount


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "five", "", "1e6", "3 K"])
def test_what_is_no_whole_number_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(click.BadParameter, match="number") as caught:
        Amount().convert(text, None, None)
    assert repr(text) in str(caught.value)


@given(st.integers(1, 10**12))
def test_every_whole_number_is_itself(number: int) -> None:
    assert Amount().convert(str(number), None, None) == number


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "cheap"])
def test_a_cap_lies_above_nothing(text: str) -> None:
    with pytest.raises(click.BadParameter, match="above 0"):
        Positive().convert(text, None, None)
    assert Positive().convert("$3.45", None, None) == 3.45


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("temperature=0", ("temperature", 0)),
        ('stop_sequences=["a"]', ("stop_sequences", ["a"])),
        ("service_tier=auto", ("service_tier", "auto")),
        ("note=a=b", ("note", "a=b")),
        ("stream=false", ("stream", False)),
    ],
)
def test_a_parameter_is_json_where_it_can_be(text: str, pair: tuple[str, object]) -> None:
    assert Parameter().convert(text, None, None) == pair


@pytest.mark.parametrize("text", ["temperature", "=0"])
def test_a_parameter_without_a_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="temperature=0"):
        Parameter().convert(text, None, None)


def test_a_turn_has_a_role_that_exists() -> None:
    assert Turn().convert("assistant=Yes: {{ a }}=1", None, None) == ("assistant", "Yes: {{ a }}=1")
    with pytest.raises(click.BadParameter, match="user= or assistant="):
        Turn().convert("system=Be brief", None, None)


@pytest.mark.parametrize(
    ("text", "failed", "total", "forgiven"),
    [
        ("any", 0, 10, True),
        ("any", 1, 10, False),
        ("never", 10, 10, True),
        ("5%", 5, 100, True),
        ("5%", 6, 100, False),
        ("0.05", 5, 100, True),
    ],
)
def test_a_share_of_failed_rows_may_be_forgiven(
    text: str, failed: int, total: int, forgiven: bool
) -> None:
    assert FailOn().convert(text, None, None).forgives(failed, total) is forgiven


@pytest.mark.parametrize("text", ["5", "100%", "-1", "some", ""])
def test_a_share_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither any, never, nor a share"):
        FailOn().convert(text, None, None)
    assert Tolerance() == FailOn().convert(Tolerance(), None, None)
