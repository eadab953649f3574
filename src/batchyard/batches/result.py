"""The four outcomes a request can have, and how many of each a batch has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["succeeded", "errored", "canceled", "expired"]
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "errored", "canceled", "expired")


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests by outcome. Only grows while a batch runs."""

    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def settled(self) -> int:
        """Requests that have their one result."""
        return self.succeeded + self.errored + self.canceled + self.expired

    def plus(self, outcome: Outcome, count: int = 1) -> Tally:
        """This tally with `count` more of `outcome`."""
        return Tally(
            self.succeeded + count * (outcome == "succeeded"),
            self.errored + count * (outcome == "errored"),
            self.canceled + count * (outcome == "canceled"),
            self.expired + count * (outcome == "expired"),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.succeeded + other.succeeded,
            self.errored + other.errored,
            self.canceled + other.canceled,
            self.expired + other.expired,
        )
