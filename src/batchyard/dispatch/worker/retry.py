"""What to do after a failed attempt: wait, give up, or hold everything. Pure.

Full jitter after Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015). The rule
for poison (a request that fails alike while its neighbours succeed is at fault itself) follows
from real engines: llama.cpp answers 500 to an image it cannot read, vLLM 500 while it shuts down.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Tries:
    """What a request has been through. `fault` names the current run of equal failures."""

    total: int = 0
    fault: str = ""
    alike: int = 0
    successes_seen: int = 0  # the worker's count of answers when the last failure was judged

    def after(self, fault: str, successes: int, *, alone: bool = False) -> Tries:
        """One more failure. It counts towards poison only if a neighbour succeeded meanwhile, or
        when it is `alone`: every neighbour has succeeded before and none is left to do it again.
        """
        if fault != self.fault:
            return Tries(self.total + 1, fault, 1, successes)
        alike = self.alike + (alone or successes > self.successes_seen)
        return Tries(self.total + 1, fault, alike, successes)


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


def judge(error: EngineError, tries: Tries, jitter: float) -> Verdict:
    """The verdict on a request whose latest failure is `error`, already counted in `tries`.

    `jitter` is a random number in [0, 1). Only `Rejected` and poison give up; everything else is
    tried until it succeeds or the batch's deadline ends it.
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
        case Spent() if tries.alike >= SAME_FAULT_MAX:
            return GiveUp("api_error", f"No usable answer in {tries.total} tries: {error.message}")
        case Unavailable() if tries.alike >= _alike_max(error.status):
            return GiveUp(
                "api_error",
                f"The engine answered {error.status} to each of {tries.total} tries while it "
                f"answered other requests: {error.message}",
            )
        case Unavailable():
            return Again(max(error.retry_after or 0.0, backoff(tries.total, jitter)))
        case _:
            return Again(backoff(tries.total, jitter))


def fault_name(error: EngineError) -> str:
    """What makes two failures alike: the class and the status, not the wording."""
    return f"{type(error).__name__}:{error.status}"


def backoff(tries: int, jitter: float) -> float:
    """Seconds to wait before try number `tries` + 1."""
    ceiling = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0 ** min(tries - 1, 16))
    return BACKOFF_FLOOR_SECONDS + jitter * ceiling


def _alike_max(status: int | None) -> int:
    return SHEDDING_FAULT_MAX if status == 503 else SAME_FAULT_MAX
