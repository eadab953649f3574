"""A price: what tokens or hours of one model cost, in dollars, standard and as a batch."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per million tokens; `steps` holds those of long requests.

    A step `(tokens, dollars)` is what every token of a request costs whose input has more than
    that many tokens; the steps ascend.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, request_tokens: float) -> Decimal:
        """The rate in a request with that many input tokens."""
        found = self.base
        for start, dollars in self.steps:
            if request_tokens > start:
                found = dollars
        return found

    @property
    def most(self) -> Decimal:
        """The highest rate of a request of any length."""
        return max([self.base, *(dollars for _, dollars in self.steps)])


@dataclass(frozen=True, slots=True)
class Rates:
    """What the kinds of tokens cost. A kind without a rate of its own costs what input costs."""

    input: Rate
    output: Rate
    cache_read: Rate | None = None
    cache_write: Rate | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as the API reports them: `input` is without what a cache was read or written for.

    `requests` is over how many they are spread: the length of each decides about long-request
    rates.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    requests: int = 1


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs, and who says so.

    `standard` is None for a model whose tokens cost nothing by themselves; `batch` is None where
    no batch rate is known. A machine that is paid by the hour costs `gpu_hour` dollars for each of
    its `gpus`.
    """

    model: str
    source: str
    standard: Rates | None = None
    batch: Rates | None = None
    gpu_hour: Decimal | None = None
    gpus: int = 1

    def rates(self, *, batch: bool) -> Rates | None:
        """The rates that are paid; without a known batch rate a batch costs no less."""
        return (self.batch or self.standard) if batch else self.standard

    def cost(self, tokens: Tokens, *, batch: bool) -> Decimal:
        """Dollars for the tokens alone."""
        rates = self.rates(batch=batch)
        if rates is None:
            return Decimal(0)
        whole_input = tokens.input + tokens.cache_read + tokens.cache_write
        each = whole_input / max(1, tokens.requests)
        parts = (
            (tokens.input, rates.input),
            (tokens.output, rates.output),
            (tokens.cache_read, rates.cache_read or rates.input),
            (tokens.cache_write, rates.cache_write or rates.input),
        )
        return sum((count * rate.at(each) for count, rate in parts), Decimal(0)) / MTOK

    def most(self, input_tokens: int, output_tokens: int, *, batch: bool) -> Decimal:
        """The most dollars that so many tokens can cost, however long each request is."""
        rates = self.rates(batch=batch)
        if rates is None:
            return Decimal(0)
        dearest = max(rates.input.most, rates.cache_write.most if rates.cache_write else Decimal(0))
        return (input_tokens * dearest + output_tokens * rates.output.most) / MTOK

    def machine(self, hours: float) -> Decimal:
        """Dollars for hours of the machine, nothing where it has no price."""
        if self.gpu_hour is None:
            return Decimal(0)
        return self.gpu_hour * self.gpus * Decimal(repr(hours))
