"""The audit of a simulated history: each line against its request, each call for its reason."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from batchyard.batches.result import OUTCOMES
from tests.simulation.world.engine import Call, Fortune
from tests.simulation.world.server import Death, Server
from tests.simulation.world.users import Request, Users, Wish

CANCEL_SECONDS = 2.0
"""How long after the answer to a cancel something may still be asked."""

EXPIRY_SECONDS = 2.0
FLOOR_SECONDS = 0.01
"""Nothing is asked again sooner after a failure."""


class Audit:
    """Judges what is there when the trouble is over."""

    def __init__(
        self, server: Server, users: Users, fortune: Fortune, calls: list[Call], served: set[str]
    ) -> None:
        self.server, self.users, self.fortune, self.served = server, users, fortune, served
        self.calls: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            self.calls[call.text].append(call)
        self.wrong: list[str] = []

    async def run(self) -> list[str]:
        """What is wrong. Raises Crashed."""
        self.users.look()
        for wish in self.users.wishes:
            if wish.batch is not None and not wish.deleted:
                await self._results(wish)
            for request in wish.requests.values():
                self._history(wish, request)
        await self._all_are_known()
        return self.wrong

    # -- lines -------------------------------------------------------------------------------------

    async def _results(self, wish: Wish) -> None:
        assert wish.seen is not None
        if wish.seen.archived_at is not None:
            return
        await self.users.download(wish)
        if wish.seen.archived_at is not None:  # while they were read
            return
        lines: dict[str, dict[str, Any]] = {}
        for line in (wish.bytes or b"").splitlines():
            value = msgspec.json.decode(line)
            if value["custom_id"] in lines:
                self.wrong.append(f"{wish.name}: two lines for {value['custom_id']}")
            lines[value["custom_id"]] = value["result"]
        if lines.keys() != wish.requests.keys():
            self.wrong.append(f"{wish.name}: lines {sorted(lines.keys() ^ wish.requests.keys())}")
            return
        found = Counter(line["type"] for line in lines.values())
        if [found[name] for name in OUTCOMES] != [getattr(wish.seen.tally, n) for n in OUTCOMES]:
            self.wrong.append(f"{wish.name}: counts {wish.seen.tally} but lines {found}")
        for custom_id, line in lines.items():
            self.wrong += self._line(wish, wish.requests[custom_id], line)

    def _line(self, wish: Wish, request: Request, line: dict[str, Any]) -> Iterator[str]:
        kind, text = line["type"], request.text
        answered = [call for call in self.calls[text] if call.fate == "answered"]
        if kind == "succeeded":
            if line["message"]["content"][0]["text"] != f"echo: {text}" or not answered:
                yield f"{text}: not an answer to it: {line}"
            return
        if kind == "errored" and not self._may_fail(request, line["error"]["error"]["type"]):
            yield f"{text}: blamed for what is not its fault: {line}"
        if kind == "expired" and not wish.was_late:
            yield f"{text}: expired before its time"
        if kind == "canceled" and (wish.seen is None or wish.seen.cancel_initiated_at is None):
            yield f"{text}: canceled by nobody"
        if not all(map(self._is_lost, answered)):
            yield f"{text}: an answer was thrown away: {line}, {answered}"

    def _may_fail(self, request: Request, kind: str) -> bool:
        if request.faulty:
            return kind == "invalid_request_error"
        if request.model not in self.served:
            return kind == "not_found_error"
        if self.fortune.is_refused(request.text):
            return kind == "invalid_request_error"
        return self.fortune.is_poison(request.text) and kind == "api_error"

    # -- calls -------------------------------------------------------------------------------------

    def _history(self, wish: Wish, request: Request) -> None:
        calls, text = self.calls[request.text], request.text
        if calls and (wish.refused or request.faulty or request.model not in self.served):
            self.wrong.append(f"{text}: was asked, but never should be")
        stops = (
            ("cancel", wish.canceled, CANCEL_SECONDS),
            ("deadline", wish.late, EXPIRY_SECONDS),
        )
        for call in calls:
            if wish.ended_at is not None and call.began > wish.ended_at:
                self.wrong.append(f"{text}: asked after the end: {call}")
            for name, stop, grace in stops:
                if stop is not None and (call.began > stop[0] + grace or call.life > stop[1]):
                    self.wrong.append(f"{text}: asked after its {name} at {stop}: {call}")
        for call, again in pairwise(calls):
            for fault in self._again(call, again):
                self.wrong.append(f"{text}: {fault}: {call}, {again}")

    def _again(self, call: Call, again: Call) -> Iterable[str]:
        if again.began < call.ended:
            yield "asked twice at once"
        if call.fate == "answered" and not self._is_lost(call):
            yield "asked again although the answer was durable"
        if call.fate == "failed" and call.life == again.life:
            floor = 0.0 if call.outage else FLOOR_SECONDS  # an engine that is back may be asked
            if again.began < call.ended + max(call.wait, floor) - 1e-9:
                yield f"asked again too soon ({again.began - call.ended} s)"

    def _is_lost(self, call: Call) -> bool:
        """Whether an answer may have been lost by the death of the server that got it."""
        death = self._death_of(call)
        return death is not None and (call.text in death.lost or call.ended >= death.at)

    def _death_of(self, call: Call) -> Death | None:
        deaths = self.server.deaths
        at = bisect_left(deaths, call.life, key=lambda death: death.life)
        return deaths[at] if at < len(deaths) and deaths[at].life == call.life else None

    # -- leftovers ---------------------------------------------------------------------------------

    async def _all_are_known(self) -> None:
        """No batch that nobody wished for, and no bytes of one that is gone."""
        await self.server.while_alive(self.server.store.prune())
        self.users.look()
        known = {w.batch.id for w in self.users.wishes if w.batch is not None}
        kept = {
            w.batch.id
            for w in self.users.wishes
            if w.batch is not None and not w.deleted and not (w.seen and w.seen.archived_at)
        }
        for folder in (self.server.root / "batches").iterdir():
            if folder.name not in known:
                self.wrong.append(f"a batch nobody knows: {folder.name}")
            elif folder.name not in kept:
                self.wrong.append(f"bytes of a batch that is gone: {folder.name}")
        for batch_id in kept:
            if (self.server.root / "batches" / batch_id / "body").exists():
                self.wrong.append(f"the body of {batch_id} was never removed")
        if list((self.server.root / "spool").iterdir()):
            self.wrong.append("a spool was left behind")
