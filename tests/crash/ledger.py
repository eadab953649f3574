"""The ledger: what was promised, what was seen, what the upstream saw; and the audit of all three.

Every prompt names its request (`marker=TAG-N`) and the upstream answers with the prompt, so a
lost, doubled, swapped or foreign answer shows up as a difference in text, not only in a count.
Times are `time.monotonic` seconds, which all processes of a machine share.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.live.harness.calls import Calls, request
from tests.upstreams.connection import Exchange

COMMIT_WINDOW_SECONDS = 1.0
"""W of reliability I-10: the target is 0.25 s; a loaded two-core machine is given one second."""
AFTER_CANCEL_SECONDS = 2.0
NOTICED_LATE_SECONDS = 0.1
"""What a process sent just before its death is noticed by the upstream just after it."""

ORDER = {"in_progress": 0, "canceling": 1, "ended": 2}
CONSTANT = ("id", "created_at", "expires_at")
SET_ONCE = ("ended_at", "cancel_initiated_at", "results_url")


@dataclass
class Promised:
    """A create as we made it; `batch_id` is None as long as no answer came."""

    tag: str
    count: int
    batch_id: str | None = None
    cancel_asked: float | None = None
    cancel_acknowledged: float | None = None
    ended_seen: float | None = None
    delete_asked: bool = False
    deleted: bool = False
    last: dict[str, Any] | None = None

    def custom_ids(self) -> set[str]:
        return {f"{self.tag}-{number}" for number in range(self.count)}


@dataclass(frozen=True)
class Kill:
    """One `kill -9`: when the signal was about to be sent, and when the last victim was gone."""

    role: str
    started: float
    over: float


@dataclass
class Ledger:
    """Written by the threads that use and kill the server, audited when both are done."""

    model: str = "echo-1"
    promised: dict[str, Promised] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- writing ---------------------------------------------------------------------------------

    def entries(self, tag: str, count: int) -> list[dict[str, Any]]:
        """The entries of a new create called `tag`; written down as asked for."""
        with self._lock:
            assert tag not in self.promised
            self.promised[tag] = Promised(tag, count)
        return [
            request(f"{tag}-{number}", prompt(f"{tag}-{number}"), model=self.model)
            for number in range(count)
        ]

    def acknowledge(self, tag: str, batch: dict[str, Any]) -> Promised:
        """The create was answered: from now on it must be kept."""
        promise = self.promised[tag]
        promise.batch_id = batch["id"]
        self.saw(promise, batch)
        return promise

    def killed(self, role: str, started: float) -> None:
        """The victims of a kill that began at `started` are gone."""
        self.kills.append(Kill(role, started, time.monotonic()))

    def saw(self, promise: Promised, batch: dict[str, Any]) -> None:
        """One more look at a batch: everything only ever moves forward (I-14 to I-18)."""
        check_object(batch, promise.count)
        before, promise.last = promise.last, batch
        if batch["processing_status"] == "ended" and promise.ended_seen is None:
            promise.ended_seen = time.monotonic()
        if before is None:
            return
        for name in CONSTANT:
            assert batch[name] == before[name], (before, batch)
        for name in SET_ONCE:
            assert before[name] in (None, batch[name]), (before, batch)
        assert ORDER[batch["processing_status"]] >= ORDER[before["processing_status"]]
        old, new = before["request_counts"], batch["request_counts"]
        assert new["processing"] <= old["processing"], (before, batch)
        for name in ("succeeded", "errored", "canceled", "expired"):
            assert new[name] >= old[name], (before, batch)
        if before["processing_status"] == "ended":
            assert new == old, (before, batch)

    # -- auditing --------------------------------------------------------------------------------

    def acknowledged(self) -> list[Promised]:
        return [promise for promise in self.promised.values() if promise.batch_id]

    def audit(self, calls: Calls, exchanges: Sequence[Exchange], *, within: float = 60.0) -> None:
        """Wait for every batch to end, then check every promise against lines and calls."""
        for promise in self.acknowledged():
            self._settle_delete(calls, promise)
        living = [promise for promise in self.acknowledged() if not promise.deleted]
        for promise in living:
            assert promise.batch_id is not None
            self.saw(promise, calls.ended(promise.batch_id, within=within))
        outcomes = {promise.tag: self._lines(calls, promise) for promise in living}
        outcomes |= self._unanswered(calls, within)
        self._calls_made(exchanges)
        self._kept_answers(exchanges, outcomes)

    def _settle_delete(self, calls: Calls, promise: Promised) -> None:
        """What was deleted is nowhere; a delete without an answer happened or did not (I-24)."""
        path = f"/v1/messages/batches/{promise.batch_id}"
        status = calls.ask("GET", path).status
        promise.deleted = promise.deleted or (promise.delete_asked and status == 404)
        if promise.deleted:
            assert status == 404, f"{promise.tag} is back after its delete"
            assert calls.ask("GET", f"{path}/results").status == 404
            assert promise.batch_id not in {batch["id"] for batch in calls.batches()}

    def _lines(self, calls: Calls, promise: Promised) -> dict[str, str]:
        """custom_id -> outcome; one right line for each request (I-06, I-07, I-15)."""
        assert promise.batch_id is not None
        lines = calls.results(promise.batch_id)
        outcomes = check_lines(lines, promise.custom_ids(), self.model)
        assert promise.last is not None
        counts = promise.last["request_counts"]
        for kind in ("succeeded", "errored", "canceled", "expired"):
            assert counts[kind] == sum(found == kind for found in outcomes.values()), counts
        allowed = {"succeeded", "canceled"} if promise.cancel_asked else {"succeeded"}
        assert set(outcomes.values()) <= allowed, (promise.tag, set(outcomes.values()))
        again = calls.results(promise.batch_id)
        assert {line["custom_id"]: line for line in again} == {
            line["custom_id"]: line for line in lines
        }, "a second reading differs"
        return outcomes

    def _unanswered(self, calls: Calls, within: float) -> dict[str, dict[str, str]]:
        """What exists beyond the acknowledged is a whole create whose answer was lost (I-03)."""
        known = {promise.batch_id for promise in self.acknowledged()}
        open_tags = {tag for tag, promise in self.promised.items() if not promise.batch_id}
        found: dict[str, dict[str, str]] = {}
        for batch in calls.batches():
            if batch["id"] in known:
                continue
            calls.ended(batch["id"], within=within)
            lines = calls.results(batch["id"])
            tag = lines[0]["custom_id"].rpartition("-")[0]
            assert tag in open_tags, f"{batch['id']} was never asked for"
            assert tag not in found, f"{tag} was created twice"
            found[tag] = check_lines(lines, self.promised[tag].custom_ids(), self.model)
        return found

    def _calls_made(self, exchanges: Iterable[Exchange]) -> None:
        """Repeats only around a death, never two at once, nothing after the end (I-10 to I-13)."""
        calls: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in exchanges:
            assert exchange.marker, "a call for a request we never made"
            calls[exchange.marker].append(exchange)
        for marker, made in calls.items():
            tag = marker.rpartition("-")[0]
            assert marker in self.promised[tag].custom_ids(), marker
            for earlier, later in itertools.pairwise(made):
                assert self._excused(earlier, later), (marker, earlier, later, self.kills)
            self._not_late(self.promised[tag], made)

    def _excused(self, earlier: Exchange, later: Exchange) -> bool:
        """Whether a death fell between the start of a call and its answer plus one window."""
        end = later.started if earlier.ended is None or earlier.gone else earlier.ended
        return self._death_between(began(earlier), min(later.started, end + COMMIT_WINDOW_SECONDS))

    def _death_between(self, start: float, end: float) -> bool:
        return any(start <= kill.over and kill.started <= end for kill in self.kills)

    def _not_late(self, promise: Promised, made: list[Exchange]) -> None:
        last = max(exchange.started for exchange in made)
        if promise.ended_seen is not None:
            assert last <= promise.ended_seen, f"{promise.tag}: asked after the end"
        if promise.cancel_acknowledged is not None:
            allowed = promise.cancel_acknowledged + AFTER_CANCEL_SECONDS
            assert last <= allowed, f"{promise.tag}: asked {last - allowed + 2:.1f} s after cancel"

    def _kept_answers(
        self, exchanges: Iterable[Exchange], outcomes: dict[str, dict[str, str]]
    ) -> None:
        """No other outcome for a request whose answer was there a window before (I-09)."""
        for exchange in exchanges:
            tag = exchange.marker.rpartition("-")[0]
            outcome = outcomes.get(tag, {}).get(exchange.marker)
            if exchange.status != 200 or exchange.gone or outcome in (None, "succeeded"):
                continue
            assert exchange.ended is not None
            until = exchange.ended + COMMIT_WINDOW_SECONDS
            canceled = self.promised[tag].cancel_asked
            excused = self._death_between(exchange.started, until)
            excused = excused or (canceled is not None and canceled <= until)
            if not excused:
                kills = [(kill.role, kill.started - exchange.ended) for kill in self.kills]
                raise AssertionError(
                    f"{exchange.marker} was answered and is {outcome}; seconds from its answer to "
                    f"the cancel: {canceled and canceled - exchange.ended}, to kills: {kills}"
                )

    def repeats(self, exchanges: Iterable[Exchange]) -> int:
        """Calls beyond the first for each request."""
        made: dict[str, int] = defaultdict(int)
        for exchange in exchanges:
            made[exchange.marker] += 1
        return sum(count - 1 for count in made.values())


def began(call: Exchange) -> float:
    """When a call was sent, at the earliest: one whose caller was gone before it could be answered
    may be older than the moment it was noticed."""
    orphan = call.gone and call.status is None
    return call.started - NOTICED_LATE_SECONDS if orphan else call.started


def prompt(marker: str) -> str:
    """What is asked, and what the echo upstream therefore answers."""
    return f"marker={marker} Größe {sum(marker.encode())} ✓"


def check_object(batch: dict[str, Any], requests: int) -> None:
    """What holds of every MessageBatch object ever returned."""
    counts = batch["request_counts"]
    assert sum(counts.values()) == requests, batch
    assert min(counts.values()) >= 0, batch
    ended = batch["processing_status"] == "ended"
    assert (counts["processing"] == 0) == ended, batch
    assert (batch["ended_at"] is not None) == ended, batch
    assert (batch["results_url"] is not None) == ended, batch
    if batch["processing_status"] == "canceling":
        assert batch["cancel_initiated_at"] is not None, batch


def check_lines(lines: list[Any], custom_ids: set[str], model: str) -> dict[str, str]:
    """custom_id -> outcome of a whole set of lines; every text is the one asked for."""
    outcomes: dict[str, str] = {}
    for line in lines:
        custom_id, result = line["custom_id"], line["result"]
        assert custom_id not in outcomes, f"{custom_id} has two lines"
        outcomes[custom_id] = result["type"]
        if result["type"] == "succeeded":
            message = result["message"]
            assert message["content"] == [{"type": "text", "text": prompt(custom_id)}], line
            assert message["model"] == model, line
    assert outcomes.keys() == custom_ids, custom_ids ^ outcomes.keys()
    return outcomes
