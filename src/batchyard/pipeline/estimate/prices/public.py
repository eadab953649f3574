"""The public price lists, as `genai-prices` knows them; nothing here goes online."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from batchyard.pipeline.estimate.prices.price import Price, Rate, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

_BATCH = {"processing": "batch"}


def listed(model: str) -> Price | None:
    """The list price of a model, also as `provider/model`; None where nobody sells its tokens."""
    from genai_prices import __version__

    standard = _resolved(model, None)
    if standard is None:
        return None
    batch = _resolved(model, _BATCH)
    assert batch is not None
    rates = _rates(standard.model_price)
    if rates is None:
        return None
    return Price(
        model,
        f"list price of {standard.provider.name} (genai-prices {__version__})",
        rates,
        # Where the lists know of no batch rate they give the standard one.
        _rates(batch.model_price) if batch.model_price != standard.model_price else None,
    )


def sells(url: str) -> bool:
    """Whether `url` is the API of somebody who has a price list."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        get_snapshot().find_provider(None, None, url)
    except LookupError:
        return False
    return True


def _resolved(model: str, context: dict[str, str] | None) -> PriceCalculation | None:
    from genai_prices import Usage, calc_price

    provider, _, rest = model.partition("/")
    for name, seller in ((model, None), (rest, provider)):
        try:
            return calc_price(Usage(), name, provider_id=seller, price_context=context)
        except LookupError:
            continue
    return None


def _rates(found: ModelPrice) -> Rates | None:
    """Rates of tokens; None for a model that is sold by something else, such as pictures."""
    each = [_rate(getattr(found, f"{kind}_mtok")) for kind in _KINDS]
    if each[0] is None or each[1] is None:
        return None
    return Rates(each[0], each[1], *each[2:])


_KINDS = ("input", "output", "cache_read", "cache_write")


def _rate(value: object) -> Rate | None:
    from genai_prices.types import TieredPrices

    if isinstance(value, TieredPrices):
        return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))
    return Rate(value) if isinstance(value, Decimal) else None
