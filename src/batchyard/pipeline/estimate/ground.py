"""Where the rows would be answered: on machines of one's own or at a seller, how many at once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchyard.pipeline.estimate.prices.price import Price
from batchyard.pipeline.estimate.prices.prices import Prices

if TYPE_CHECKING:
    from batchyard.client.readiness import EngineState, Readiness


@dataclass(frozen=True, slots=True)
class Ground:
    """`own`: the engines run on machines of one's own, so tokens have no price by themselves.

    `at_once` is how many requests the server has in flight at most, None where it does not say.
    `engines` is how many of them serve the model, 0 for a server of another make.
    """

    own: bool = False
    at_once: int | None = None
    engines: int = 0

    def price(self, model: str, prices: Prices) -> Price | None:
        """What is paid for `model` here; None when that is not known.

        The user's own price comes first, list prices hold only where somebody sells.
        """
        if found := prices.own(model):
            return found
        if self.own:
            return Price(model, "your own machine")
        return prices.of(model)


def ground(readiness: Readiness | None, model: str) -> Ground:
    """What a server tells about its engines; `readiness` is None for a server of another make."""
    if readiness is None:
        return Ground()
    engines = [engine for engine in readiness.engines if engine.state == "up"]
    engines = engines or list(readiness.engines)
    engines = [engine for engine in engines if model in engine.models] or engines
    slots = sum(engine.limit for engine in engines)
    sold = any(_is_sold(engine) for engine in engines)
    return Ground(own=not sold, at_once=slots or None, engines=len(engines))


def _is_sold(engine: EngineState) -> bool:
    """Whether answers of an engine are paid by the token.

    An address on the open internet counts as a seller's: an estimate that is too high is noticed
    before the bill.
    """
    host = urlsplit(engine.url).hostname
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".internal", ".lan", ".localhost"))
