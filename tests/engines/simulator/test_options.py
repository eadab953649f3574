"""How a simulator is told to behave, and what it says to words it does not know."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.engines.simulator.options import _READERS, Options, parse, seconds
from batchyard.errors import ConfigurationError


def test_every_option_has_a_text_form() -> None:
    told = parse(
        {
            "latency": "50ms", "jitter": "5ms", "prefill": "0.02ms", "decode": "0.001", "seed": "7",
            "slots": "8", "kv_blocks": "0", "context": "4096", "length": "100", "limit": "4",
            "model": "a+b", "faults": "0.02", "permanent": "0.01", "overload": "1",
            "retry_after": "2s", "down": "1m-2m",
        }
    )  # fmt: skip
    assert told == Options(
        models=("a", "b"), seed=7, slots=8, kv_blocks=0, context=4096, length=100, limit=4,
        latency=0.05, jitter=0.005, prefill=2e-5, decode=0.001, faults=0.02,
        permanent=0.01, overload=1.0, retry_after=2.0, down=(60.0, 120.0),
    )  # fmt: skip


def test_every_option_is_in_the_reference() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "simulator.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in _READERS if f"| `{name}` |" not in text] == []


def test_nothing_told_is_the_default() -> None:
    assert parse({}) == Options()


def test_down_without_a_beginning_is_down_from_the_start() -> None:
    assert parse({"down": "30s"}).down == (0.0, 30.0)


@pytest.mark.parametrize(
    ("name", "nearest"), [("latencey", "latency=5"), ("slot", "slots=5"), ("models", "model=5")]
)
def test_a_misspelt_option_is_told_with_its_neighbour(name: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=f'no option "{name}"') as caught:
        parse({name: "5"})
    assert caught.value.fix == nearest


def test_a_word_unlike_any_is_told_with_all() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse({"zzz": "5"})
    assert "latency" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("latency", "fast", "not a time"),
        ("latency", "-1s", "not a time"),
        ("slots", "0", "at least 1"),
        ("slots", "two", "whole number"),
        ("faults", "2", "between 0 and 1"),
        ("faults", "nan", "between 0 and 1"),
        ("model", "a++b", "joined by +"),
        ("down", "later", "not a time"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_rule(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse({name: value})
    assert caught.value.message.startswith(f"engine simulator: {name}={value}: ")
    assert words in caught.value.message


@given(st.text(max_size=12))
def test_any_text_is_a_time_or_an_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert seconds(text) >= 0
