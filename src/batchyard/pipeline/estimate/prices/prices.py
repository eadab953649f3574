"""Prices of all models: the user's own first, then the public lists, read when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from batchyard.pipeline.estimate.prices.own import FILE_NAME, prices_of, read_prices
from batchyard.pipeline.estimate.prices.price import Price, Tokens


class Prices:
    """What models cost. `own` is the user's table: a mapping, a TOML file, or None for the
    `batchyard.toml` of the working directory, if there is one.

    Raises `ConfigurationError` for a table that cannot be.
    """

    def __init__(self, own: Mapping[str, object] | Path | None = None) -> None:
        if isinstance(own, Mapping):
            self._own = prices_of(own)
        else:
            self._own = read_prices(own or Path(FILE_NAME))
        self._listed: dict[str, Price | None] = {}

    def of(self, model: str) -> Price | None:
        """The price of a model, None for one that has none."""
        return self.own(model) or self._from_list(model)

    def own(self, model: str) -> Price | None:
        """The user's own price of a model, None where the table does not name it."""
        return self._own.get(model)

    def cost(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        *,
        cache_read: int = 0,
        cache_write: int = 0,
        requests: int = 1,
        batch: bool,
    ) -> Decimal | None:
        """Dollars for tokens that are spread evenly over `requests`; None without a price.

        `input_tokens` are, as the API reports them, without those of a cache. Where no batch rate
        is known a batch costs what single calls cost. Hours of a machine are not in it.
        """
        price = self.of(model)
        if price is None:
            return None
        tokens = Tokens(input_tokens, output_tokens, cache_read, cache_write, requests)
        return price.cost(tokens, batch=batch)

    def _from_list(self, model: str) -> Price | None:
        if model not in self._listed:
            from batchyard.pipeline.estimate.prices.public import listed

            try:
                self._listed[model] = listed(model)
            except ModuleNotFoundError as error:
                if error.name != "genai_prices":
                    raise
                # The lists are an extra: without them a price is not known, which stops nobody.
                self._listed[model] = None
        return self._listed[model]
