"""What may go wrong at the other server, chosen by a seed so that a test knows it beforehand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Fate = Literal["succeeded", "transient", "permanent", "expired", "misfit"]


@dataclass
class Faults:
    """Switches of a server; they may be turned while it runs.

    Shares are from 0 to 1 of all rows. A row that is `transient`, `expired` or a `misfit` (an
    answer that is no JSON) is so the first time it is asked only; a `permanent` one each time,
    until the server is `healed`. Counters say how many of the next calls are meant.
    """

    seed: int = 0
    transient: float = 0.0
    permanent: float = 0.0
    expired: float = 0.0
    misfit: float = 0.0
    healed: bool = False
    lose_creates: int = 0
    """Creates that are acted upon and never answered: the connection is closed."""
    refuse_creates: int = 0
    """Creates that are answered 429, with `retry_after`."""
    refuse_calls: int = 0
    """Calls of any kind that are answered 429, with `retry_after`."""
    retry_after: int = 1
    seconds: float = 0.0
    """How long the requests of a batch take altogether."""
    ending_seconds: float = 0.0
    """How long a batch whose requests are done still says that it runs."""
    held: bool = False
    """No batch goes on while this is set."""

    def fate(self, custom_id: str, ask: int) -> Fate:
        """What becomes of a row that is asked for the `ask`-th time, counted from 1."""
        place = share(self.seed, tail(custom_id))
        for kind, part in (
            ("permanent", self.permanent),
            ("transient", self.transient),
            ("expired", self.expired),
            ("misfit", self.misfit),
        ):
            if 0 <= place < part:
                if kind == "permanent":
                    return "succeeded" if self.healed else "permanent"
                return "succeeded" if ask > 1 or self.healed else kind  # type: ignore[return-value] # the words of the table
            place -= part
        return "succeeded"


def tail(custom_id: str) -> str:
    """What tells the rows of one run apart: the text behind the last dash."""
    return custom_id.rpartition("-")[2]


def row_of(custom_id: str) -> str:
    """The row that a custom_id stands for, in whatever batch: its first and its last part."""
    head, dash, _ = custom_id.partition("-")
    return f"{head}-{tail(custom_id)}" if dash else custom_id


def share(seed: int, text: str) -> float:
    """A number in [0, 1) that belongs to `text`."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(8, "big")).digest()
    return int.from_bytes(digest, "big") / (1 << 64)
