"""What to do after a failed attempt: wait, give up, or hold everything. Pure.

Full jitter after Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015). The rule
for poison (a request that fails alike while its neighbours succeed is at fault itself) follows
from real engines: llama.cpp answers 500 to an image it cannot read, vLLM 500 while it shuts down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from batchyard.dispatch.fleet import WorkerState
from batchyard.errors import (
    EngineError,
    ErrorType,
    Misconfigured,
    Overloaded,
    Rejected,
    Spent,
    Unavailable,
)

BACKOFF_FLOOR_SECONDS = 0.05
BACKOFF_BASE_SECONDS = 0.5
BACKOFF_CAP_SECONDS = 60.0
SAME_FAULT_MAX = 6
"""Tries that may end in the same 5xx, or in no answer, while neighbours succeed."""
SHEDDING_FAULT_MAX = 12
"""The same for 503: engines also say it when they only want to be left alone for a while."""
UNLUCKY_FAULT_MAX = 16
"""The same at an engine that fails at random, however often it does."""
CHANCE_MAX = 1e-8
"""How likely a run of failures may be at such an engine before it can be mere bad luck no more."""


class Proofs(NamedTuple):
    """What speaks for an engine: requests it answered, and control questions."""

    answers: int = 0
    controls: int = 0


NO_PROOFS = Proofs()


@dataclass(frozen=True, slots=True)
class Tries:
    """What a request has been through. `fault` names the current run of equal failures."""

    total: int = 0
    fault: str = ""
    alike: int = 0
    seen: Proofs = NO_PROOFS  # as they stood when the last failure was judged

    def after(self, fault: str, proofs: Proofs, *, in_company: bool = False) -> Tries:
        """One more failure. It counts towards poison only if the engine did well meanwhile.

        Of requests that went down `in_company` one may have pulled down the others: then it takes
        a neighbour's answer, not just the control question's, to speak against one of them.
        """
        if fault != self.fault:
            return Tries(self.total + 1, fault, 1, proofs)
        did_well = proofs.answers > self.seen.answers or (
            not in_company and proofs.controls > self.seen.controls
        )
        return Tries(self.total + 1, fault, self.alike + did_well, proofs)


UNTRIED = Tries()


@dataclass(slots=True)
class Luck:
    """How often an engine fails a try at random: the share of failed tries among those of requests
    that succeeded in the end. Poison never succeeds, so it does not disturb the measure."""

    rate: float = 0.0

    def succeeded(self, failures: int) -> None:
        """A request was answered after so many tries that its engine had failed."""
        for _ in range(failures):
            self.rate += (1.0 - self.rate) / 100
        self.rate -= self.rate / 100


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again after `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the request as errored, with the engine's words."""

    type: ErrorType
    message: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not this request's fault: keep it first in line until the engine is well again."""

    state: WorkerState
    reason: str


Verdict = Again | GiveUp | Hold


def judge(error: EngineError, tries: Tries, jitter: float, bad_luck: float = 0.0) -> Verdict:
    """The verdict on a request whose latest failure is `error`, already counted in `tries`.

    `jitter` is a random number in [0, 1), `bad_luck` the engine's `Luck.rate`. Only `Rejected` and
    poison give up; everything else is tried until it succeeds or the batch's deadline ends it.
    """
    match error:
        case Rejected():
            return GiveUp(error.type, error.message)
        case Misconfigured():
            return Hold("paused", error.message)
        case Unavailable(status=None):
            return Hold("waiting", error.message)
        case Overloaded():
            return Again(max(error.retry_after or 0.0, backoff(tries.total, jitter)))
        case Spent() if tries.alike >= _alike_max(None, bad_luck):
            return GiveUp("api_error", f"No usable answer in {tries.total} tries: {error.message}")
        case Unavailable() if tries.alike >= _alike_max(error.status, bad_luck):
            return GiveUp(
                "api_error",
                f"The engine answered {error.status} to each of {tries.total} tries while it "
                f"answered other requests: {error.message}",
            )
        case Unavailable():
            return Again(max(error.retry_after or 0.0, backoff(tries.total, jitter)))
        case _:
            return Again(backoff(tries.total, jitter))


def may_be_its_own(error: EngineError) -> bool:
    """Whether the engine, though reached, failed in a way that the request may be to blame for."""
    return isinstance(error, Spent) or (isinstance(error, Unavailable) and error.status is not None)


def is_nobodys(error: EngineError) -> bool:
    """Whether a failure says nothing of the request: no engine there, or not for us."""
    return isinstance(error, Misconfigured) or (
        isinstance(error, Unavailable) and error.status is None
    )


def fault_name(error: EngineError) -> str:
    """What makes two failures alike: the class and the status, not the wording."""
    return f"{type(error).__name__}:{error.status}"


def backoff(tries: int, jitter: float) -> float:
    """Seconds to wait before try number `tries` + 1."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(tries - 1, 16))
    return BACKOFF_FLOOR_SECONDS + jitter * ceiling


def _alike_max(status: int | None, bad_luck: float) -> int:
    """Equal failures in a row of one request after which bad luck explains them no more."""
    fewest = SHEDDING_FAULT_MAX if status == 503 else SAME_FAULT_MAX
    if bad_luck <= 0:
        return fewest
    unlikely = math.ceil(math.log(CHANCE_MAX) / math.log(bad_luck))
    return max(fewest, min(unlikely, UNLUCKY_FAULT_MAX))
