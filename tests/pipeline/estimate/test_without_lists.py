"""Without the extra that holds the price lists: prices are not known, and nothing else is lost."""

from __future__ import annotations

import sys

import pytest

from batchyard.pipeline.estimate.prices.prices import Prices


def test_without_the_lists_only_the_users_own_prices_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = ModuleNotFoundError("No module named 'genai_prices'", name="genai_prices")

    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "genai_prices":
                raise missing

    for name in [one for one in sys.modules if one.partition(".")[0] == "genai_prices"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    prices = Prices({"mine": {"input_per_mtok": 1, "output_per_mtok": 2}})
    assert prices.of("claude-haiku-4-5") is None
    assert prices.of("mine") is not None
