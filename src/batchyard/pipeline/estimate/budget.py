"""The budget of a run: each batch reserves the most it can take before it is sent."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from batchyard.errors import ConfigurationError
from batchyard.pipeline.estimate.caps import Caps, Name, Reach, reached
from batchyard.pipeline.estimate.prices.price import Price, Tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """What rows have really taken: `rows` that have ended, `answers` of them good."""

    rows: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.rows + other.rows,
            self.answers + other.answers,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
        )

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Reservation:
    """The most that one batch can take. Compared by identity: two batches may reserve the same."""

    rows: int
    body_bytes: int
    tokens: int
    cost: Decimal


class Budget:
    """Keeps a run under its caps. Not a row is sent for which there might not be enough.

    A prompt never has more tokens than its JSON has bytes, an answer never more than `max_tokens`:
    with these bounds the sum of what is spent and what is reserved stays under the caps on cost
    and tokens whatever comes back. They are wide, so batches get smaller as a cap comes near; what
    a batch did not need is free again when it has settled. Should a server count more tokens than
    bytes, as for a picture by its address, later bounds grow by what was seen. Hours, and a price
    by the hour, go by how long rows have taken so far: that is an expectation.

    `rows` is how many the run has in all, `hours` in every method how long it has run, all
    sessions together. Raises `ConfigurationError` for a cap on cost where no price is known.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        rows: int,
        max_tokens: int,
        price: Price | None,
        model: str,
        spent: Spent = Spent(),
    ) -> None:
        if caps.max_cost is not None and price is None:
            raise ConfigurationError(
                f"--max-cost {caps.max_cost}: there is no price for {model}, so cost is not known",
                fix=f'write [prices."{model}"] into batchyard.toml, or cap tokens with '
                "--max-tokens-total",
            )
        self._caps, self._rows, self._max_tokens = caps, rows, max_tokens
        self._price = price or Price(model, "no price known")
        self._spent = spent
        self._held: set[Reservation] = set()
        self._tokens_per_byte = 1.0

    @property
    def spent(self) -> Spent:
        """What has been spent on tokens so far."""
        return self._spent

    @property
    def holds(self) -> bool:
        """Whether batches are on their way: there may be more room when one has ended."""
        return bool(self._held)

    def cost(self, hours: float) -> Decimal:
        """Dollars so far, for tokens and for hours of the machine."""
        return self._spent.cost + self._price.machine(hours)

    def affordable_rows(self, sizes: Iterable[int], hours: float) -> int:
        """How many of the next rows fit under the caps, given the bytes of each one's params."""
        upto = list(itertools.accumulate(sizes))

        def too_much(rows: int) -> bool:
            bound = self._bound(rows, upto[rows - 1])
            return any(_over(reach) for reach in self._reaches(bound, hours))

        return bisect.bisect_left(range(1, len(upto) + 1), True, key=too_much)

    def reserve(self, rows: int, body_bytes: int, hours: float) -> Reservation:
        """Set aside what a batch can take at most, before it is sent.

        Raises `CapReached`, having set nothing aside, when it does not fit.
        """
        bound = self._bound(rows, body_bytes)
        for reach in self._reaches(bound, hours):
            if _over(reach):
                raise reached(reach, self._spent.answers)
        return self._hold(bound)

    def hold(self, rows: int, body_bytes: int) -> Reservation:
        """Set aside for a batch that was sent by an earlier session, whether it fits or not."""
        return self._hold(self._bound(rows, body_bytes))

    def settle(self, reservation: Reservation, used: Spent) -> None:
        """A batch has ended and took `used`, whose cost is found here; the rest is free again."""
        self._held.remove(reservation)
        if reservation.body_bytes:
            seen = used.input_tokens / reservation.body_bytes
            self._tokens_per_byte = max(self._tokens_per_byte, seen)
        self._spend(used, batch=True)

    def sampled(self, used: Spent) -> None:
        """Rows of a sample took `used`, at the price of single calls."""
        self._spend(used, batch=False)

    def _spend(self, used: Spent, *, batch: bool) -> None:
        tokens = Tokens(used.input_tokens, used.output_tokens, requests=used.rows)
        cost = self._price.cost(tokens, batch=batch)
        self._spent += Spent(
            used.rows, used.answers, used.input_tokens, used.output_tokens, used.cost + cost
        )

    def _bound(self, rows: int, body_bytes: int) -> Reservation:
        taken, given = math.ceil(body_bytes * self._tokens_per_byte), rows * self._max_tokens
        cost = self._price.most(taken, given, batch=True)
        return Reservation(rows, body_bytes, taken + given, cost)

    def _hold(self, bound: Reservation) -> Reservation:
        self._held.add(bound)
        return bound

    def _reaches(self, bound: Reservation, hours: float) -> Iterator[Reach]:
        """How each cap stands if `bound` were reserved too."""
        spent, caps = self._spent, self._caps
        each = hours / spent.rows if spent.rows else 0.0
        if caps.max_tokens_total is not None:
            held = sum(one.tokens for one in self._held)
            stand = _Standing(caps.max_tokens_total, spent.tokens, held, bound.tokens)
            yield self._reach("max_tokens_total", stand, bound.rows)
        if caps.max_cost is not None:
            paid = sum((one.cost for one in self._held), Decimal(0))
            more = bound.cost + self._price.machine(each * bound.rows)
            stand = _Standing(caps.max_cost, self.cost(hours), paid, more)
            yield self._reach("max_cost", stand, bound.rows)
        if caps.max_hours is not None:
            # Batches on their way end while the next one runs: their time is not added.
            stand = _Standing(caps.max_hours, hours, 0, each * bound.rows)
            yield self._reach("max_hours", stand, bound.rows)

    def _reach(self, name: Name, stand: _Standing, rows: int) -> Reach:
        cap, spent, held, more = (Decimal(str(amount)) for amount in stand)
        ended = self._spent.rows
        wanted = spent / ended * self._rows if ended else None
        return Reach(name, cap, spent, held, more, rows, wanted)


class _Standing(NamedTuple):
    """Amounts of a cap as they come, floats among them."""

    cap: float | Decimal
    spent: float | Decimal
    held: float | Decimal
    more: float | Decimal


def _over(reach: Reach) -> bool:
    # A machine whose hours are used up has no room even for a row that takes no time.
    used_up = reach.spent >= reach.cap
    return used_up or reach.spent + reach.held + reach.next > reach.cap
