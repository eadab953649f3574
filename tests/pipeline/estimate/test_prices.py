"""What models cost: figures worked out by hand from the published price lists."""

from __future__ import annotations

import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.errors import ConfigurationError
from batchyard.pipeline.estimate.prices.comparison import compare
from batchyard.pipeline.estimate.prices.price import Price, Rate, Rates, Tokens
from batchyard.pipeline.estimate.prices.prices import Prices
from batchyard.pipeline.estimate.prices.public import sells

LISTED = Prices({})


# -- the public lists -----------------------------------------------------------------------------

# 10,000 documents of 500 tokens in and 100 out are 5 M in and 1 M out. By the lists of November
# 2025, dollars per million in and out: Haiku 4.5 1 and 5, Sonnet 4.5 3 and 15, Opus 4.5 5 and 25,
# GPT-4o mini 0.15 and 0.60, GPT-5 1.25 and 10. Batches cost half.
BY_HAND = {
    "claude-haiku-4-5": ("10", "5"),  # 5 x 1 + 1 x 5
    "claude-sonnet-4-5": ("30", "15"),  # 5 x 3 + 1 x 15
    "claude-opus-4-5": ("50", "25"),  # 5 x 5 + 1 x 25
    "gpt-4o-mini": ("1.35", "0.675"),  # 5 x 0.15 + 1 x 0.60
    "gpt-5": ("16.25", "8.125"),  # 5 x 1.25 + 1 x 10
}


def test_ten_thousand_documents_cost_what_the_price_lists_say() -> None:
    found = compare(BY_HAND, 10_000, 500, 100, LISTED)
    assert {one.model: (one.standard, one.batch) for one in found} == {
        model: (Decimal(standard), Decimal(batch)) for model, (standard, batch) in BY_HAND.items()
    }


def test_a_comparison_keeps_the_order_and_says_who_gave_the_price() -> None:
    own = Prices({"qwen3:8b": {"input_per_mtok": 1, "output_per_mtok": 2}, "a": {"gpu_hour": 2}})
    found = compare(["nobody-sells-this", "claude-haiku-4-5", "qwen3:8b", "a"], 1, 1, 1, own)
    assert [one.source.split(" (")[0] for one in found] == [
        "no price known",
        "list price of Anthropic",
        "your prices",
        "your prices: by the hour",
    ]
    assert (found[0].standard, found[0].batch) == (None, None)
    assert (found[3].standard, found[3].batch) == (None, None)


def test_short_requests_do_not_pay_the_rate_of_long_ones_however_many_they_are() -> None:
    # Sonnet 4.5 costs $6 and $22.50 per million in requests of more than 200,000 tokens.
    many = LISTED.cost("claude-sonnet-4-5", 5_000_000, 1_000_000, requests=10_000, batch=False)
    assert many == 30
    one = LISTED.cost("claude-sonnet-4-5", 200_001, 1_000_000, batch=False)
    assert one == Decimal("1.200006") + Decimal("22.5")
    edge = LISTED.cost("claude-sonnet-4-5", 200_000, 0, batch=False)
    assert edge == Decimal("0.6")


def test_cached_tokens_have_their_own_rates_and_the_batch_discount_stacks_on_them() -> None:
    def cost(*, batch: bool) -> Decimal | None:
        return LISTED.cost(
            "claude-haiku-4-5", 0, 0, cache_read=1_000_000, cache_write=1_000_000,
            requests=1_000, batch=batch,
        )  # fmt: skip

    assert cost(batch=False) == Decimal("1.35")  # 0.10 read, 1.25 written
    assert cost(batch=True) == Decimal("0.675")


def test_a_model_without_a_batch_rate_is_compared_without_one_and_charged_in_full() -> None:
    (found,) = compare(["gpt-oss-20b"], 10_000, 500, 100, LISTED)
    assert found.standard is not None
    assert found.batch is None
    assert LISTED.cost("gpt-oss-20b", 5, 5, batch=True) == LISTED.cost(
        "gpt-oss-20b", 5, 5, batch=False
    )


def test_a_seller_can_be_named_before_the_model() -> None:
    with_seller = LISTED.of("anthropic/claude-opus-4-5")
    bare = LISTED.of("claude-opus-4-5")
    assert with_seller is not None
    assert bare is not None
    assert with_seller.standard == bare.standard


@pytest.mark.parametrize("model", ["qwen3:8b", "Qwen/Qwen3-8B", "", "/", "dall-e-3", "a/b/c"])
def test_a_model_that_nobody_sells_by_the_token_has_no_price(model: str) -> None:
    assert LISTED.of(model) is None
    assert LISTED.cost(model, 1, 1, batch=True) is None


def test_sellers_are_known_by_their_address() -> None:
    assert sells("https://api.anthropic.com")
    assert not sells("http://127.0.0.1:8484")


def test_prices_are_looked_up_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("went online")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert Prices({}).of("claude-haiku-4-5") is not None


def test_the_lists_are_read_when_a_price_is_asked_for_and_not_before() -> None:
    code = (
        "import sys; from batchyard.pipeline.estimate.prices.prices import Prices;"
        "p = Prices({'m': {'gpu_hour': 1}}); p.of('m'); print('genai_prices' in sys.modules);"
        "p.of('gpt-5'); print('genai_prices' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# -- the user's own -------------------------------------------------------------------------------


def test_own_prices_come_from_the_file_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batchyard.toml").write_text(
        'port = 9000\n[prices."qwen3:8b"]\ninput_per_mtok = 0.1\noutput_per_mtok = 0.4\n'
        'batch_discount = 0.5\n[prices."claude-haiku-4-5"]\ngpu_hour = 2.5\ngpus = 4\n'
    )
    monkeypatch.chdir(tmp_path)
    prices = Prices()
    assert prices.cost("qwen3:8b", 5_000_000, 1_000_000, batch=False) == Decimal("0.9")
    assert prices.cost("qwen3:8b", 5_000_000, 1_000_000, batch=True) == Decimal("0.45")
    haiku = prices.of("claude-haiku-4-5")
    assert haiku is not None
    assert haiku.standard is None, "an own price stands in the place of the list's"
    assert haiku.machine(0.5) == 5  # half an hour of four at $2.50
    assert haiku.source == "batchyard.toml"


def test_a_working_directory_without_prices_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Prices().own("qwen3:8b") is None
    (tmp_path / "batchyard.toml").write_text("port = 9000\n")
    assert Prices().own("qwen3:8b") is None


def test_without_a_discount_of_ones_own_a_batch_costs_the_same() -> None:
    prices = Prices({"m": {"input_per_mtok": 1, "output_per_mtok": "2.5"}})
    assert prices.cost("m", 1_000_000, 2_000_000, batch=True) == 6


WRONG = [
    ({"inptu_per_mtok": 1}, 'unknown key prices."m".inptu_per_mtok', "input_per_mtok?"),
    ({"zzz": 1}, 'unknown key prices."m".zzz', "known keys: batch_discount, "),
    ({"input_per_mtok": 1}, 'prices."m".input_per_mtok', "add output_per_mtok"),
    ({"cache_read_per_mtok": 1}, 'prices."m".cache_read_per_mtok', "add input_per_mtok"),
    ({"gpus": 2}, "has no price in it", "gpu_hour in dollars"),
    ({}, "has no price in it", "gpu_hour in dollars"),
    ({"gpu_hour": 1, "batch_discount": 0.5}, 'prices."m".batch_discount', "add input_per_mtok"),
    ({"gpu_hour": -1}, 'prices."m".gpu_hour = -1', "dollars"),
    ({"gpu_hour": float("nan")}, 'prices."m".gpu_hour = nan', "dollars"),
    ({"gpu_hour": "two"}, "prices.\"m\".gpu_hour = 'two'", "dollars"),
    ({"gpu_hour": True}, 'prices."m".gpu_hour = True', "dollars"),
    ({"gpu_hour": 1, "gpus": 1.5}, 'prices."m".gpus = 1.5', "dollars"),
    ({"gpu_hour": 1, "gpus": 0}, 'prices."m".gpus = 0', "dollars"),
    (
        {"input_per_mtok": 1, "output_per_mtok": 1, "batch_discount": 50},
        'prices."m".batch_discount = 50 (your prices): must be a number from 0 to 1',
        "dollars",
    ),
    (3, 'prices."m" = 3 (your prices): must be a table', "dollars"),
]


@pytest.mark.parametrize(("entry", "message", "fix"), WRONG)
def test_a_price_that_cannot_be_is_named_with_its_key_and_its_rule(
    entry: object, message: str, fix: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Prices({"m": entry})
    assert message in raised.value.message
    assert raised.value.fix is not None
    assert fix in raised.value.fix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[prices.qwen2.5]\ninput_per_mtok = 1\n", "[prices.qwen2.5] "),
        ("prices = 3\n", "is not a table of models"),
        ("[prices\n", "is not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_read_as_prices_is_named(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "batchyard.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        Prices(file)
    assert message in raised.value.message
    assert "batchyard.toml" in raised.value.message


def test_the_server_takes_a_file_that_has_prices_in_it(tmp_path: Path) -> None:
    from batchyard.config import Settings

    file = tmp_path / "batchyard.toml"
    file.write_text("port = 9000\n[prices.m]\ngpu_hour = 1\n")
    assert Settings.load(file).port == 9000


# -- laws -----------------------------------------------------------------------------------------

dollars = st.decimals(0, 1000, places=4)
rates = st.builds(
    Rate,
    dollars,
    st.lists(st.tuples(st.integers(1, 10**6), dollars), max_size=2).map(sorted).map(tuple),
)
counts = st.integers(0, 10**7)


@given(
    st.builds(Rates, rates, rates, st.none() | rates, st.none() | rates),
    counts, counts, counts, st.integers(1, 1000),
)  # fmt: skip
def test_no_request_costs_more_than_the_most(
    found: Rates, taken: int, written: int, given: int, requests: int
) -> None:
    price = Price("m", "x", found)
    tokens = Tokens(taken, given, cache_write=written, requests=requests)
    assert price.cost(tokens, batch=True) <= price.most(taken + written, given, batch=True)
