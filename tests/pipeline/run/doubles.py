"""Rows from a list, a fixed prompt, and a server in memory that forgets, doubles and goes away."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from batchyard.client import Lost, WrongCount
from batchyard.client.readiness import EngineState, Liveness, Readiness
from batchyard.client.results import Arrival, Receipt, Sink
from batchyard.client.verbs import Sendable
from batchyard.clock import Clock, rfc3339
from batchyard.errors import BadInput, BatchyardError, NotFound
from batchyard.pipeline.prompt import Misfit
from batchyard.pipeline.row import Fields
from batchyard.wire import MessageBatch, RequestCounts


class Rows:
    """A list as a source."""

    name = "rows"

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def rows(self, first: int = 0) -> Iterator[dict[str, object]]:
        for text in self.texts[first:]:
            yield {"text": text}

    def fingerprint(self) -> str:
        return "sha256:" + hashlib.sha256("\n".join(self.texts).encode()).hexdigest()


@dataclass(frozen=True)
class Reading:
    answer: dict[str, object]
    raw: str


class Ask:
    """A fixed prompt. Text that begins with `bad` does not fit."""

    def __init__(self, prompt: str = "Say") -> None:
        self.prompt = prompt

    def params_of(self, fields: Fields, *, position: int) -> bytes:
        if fields["text"] is None:
            raise BadInput(f"row {position + 1} has no text; nothing was sent")
        return json.dumps({"prompt": self.prompt, "text": fields["text"]}).encode()

    def key(self, fields: Fields) -> bytes:
        said = f"{self.prompt} {fields['text']}"
        return hashlib.blake2b(said.encode(), digest_size=16).digest()

    def read(self, message: bytes) -> Reading:
        text = json.loads(message)["content"][0]["text"]
        if text.startswith("bad"):
            raise Misfit("schema", "it is bad", text)
        return Reading({"output": text}, text)

    def repaired(self, params: bytes, raw: str, why: str) -> bytes:
        return json.dumps({**json.loads(params), "again": [raw, why]}).encode()

    def as_manifest(self) -> dict[str, Any]:
        return {"prompt": self.prompt}

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        return cls(manifest["prompt"])

    def difference(self, other: Ask) -> list[str]:
        return [] if self.prompt == other.prompt else [f"- {self.prompt}", f"+ {other.prompt}"]


Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


def said(text: str, input_tokens: int = 3, output_tokens: int = 2) -> dict[str, Any]:
    """The result of a request that was answered with `text`."""
    message = {
        "type": "message",
        "model": "tiny",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens},
    }
    return {"type": "succeeded", "message": message}


def failed(type: str, message: str) -> dict[str, Any]:
    """The result of a request that failed."""
    error = {"type": "error", "error": {"type": type, "message": message}, "request_id": None}
    return {"type": "errored", "error": error}


def echo(_: str, params: dict[str, Any]) -> dict[str, Any]:
    """Answers with the row's own text, in capitals."""
    return said(str(params["text"]).upper())


@dataclass
class Held:
    """A batch on the server."""

    id: str
    created_at: int
    requests: list[dict[str, Any]]
    key: str | None = None
    looks: int = 0
    lines: list[str] = field(default_factory=list)


class Server:
    """A server in memory. `ours`: it remembers idempotency keys and tells of its engines.

    `faults` maps the name of a call to what its next calls do: an exception is raised, instead of
    acting for `create`, `after` it has acted for `create answered`; `None` is no fault.
    """

    server = "http://server"

    def __init__(self, clock: Clock, *, ours: bool = True, answer: Answer = echo) -> None:
        self.clock = clock
        self.ours = ours
        self.answer = answer
        self.looks_to_end = 2
        self.late = 0
        """So many lists do not show the newest batches yet."""
        self.batches: dict[str, Held] = {}
        self.asked: Counter[int] = Counter()
        self.faults: dict[str, list[BaseException | None]] = {}
        self.engines: list[EngineState] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        self.mend: Callable[[list[str]], list[str]] = list

    def fail(self, call: str, *faults: BaseException | None) -> None:
        """The next calls go wrong like that."""
        self.faults[call] = list(faults)

    def _may_fail(self, call: str) -> None:
        faults = self.faults.get(call)
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault

    async def create(
        self, requests: Sendable, *, idempotency_key: str | None = None
    ) -> MessageBatch:
        body = b"".join([chunk async for chunk in requests.body().chunks()])
        assert len(body) == requests.body().size
        self._may_fail("create")
        self.keys.append(idempotency_key)
        held = self._known(idempotency_key) if self.ours else None
        if held is None:
            entries = json.loads(body)["requests"]
            held = self.put(entries, idempotency_key)
            self.asked.update(int(one["custom_id"].rpartition("-")[2]) for one in entries)
        self.most_at_once = max(self.most_at_once, sum(not self._ended(x) for x in self.held()))
        self._may_fail("create answered")
        return self._shown(held)

    def put(self, requests: list[dict[str, Any]], key: str | None = None) -> Held:
        """Have a batch."""
        number = len(self.batches) + 1
        held = Held(f"msgbatch_{number}", self.clock.now(), requests, key)
        held.lines = [
            json.dumps(
                {"custom_id": one["custom_id"],
                 "result": self.answer(one["custom_id"], one["params"])}
            )
            for one in reversed(requests)
        ]  # fmt: skip
        self.batches[held.id] = held
        return held

    def held(self) -> list[Held]:
        return list(self.batches.values())

    def _known(self, key: str | None) -> Held | None:
        return next((one for one in self.held() if one.key == key), None)

    def _ended(self, held: Held) -> bool:
        return held.looks >= self.looks_to_end

    def _shown(self, held: Held) -> MessageBatch:
        ended = self._ended(held)
        kinds = Counter(json.loads(line)["result"]["type"] for line in held.lines)
        total = len(held.requests)
        return MessageBatch(
            id=held.id,
            type="message_batch",
            processing_status="ended" if ended else "in_progress",
            request_counts=RequestCounts(
                0, kinds["succeeded"], kinds["errored"], kinds["canceled"], kinds["expired"]
            )
            if ended
            else RequestCounts(total, 0, 0, 0, 0),
            ended_at=rfc3339(self.clock.now()) if ended else None,
            created_at=rfc3339(held.created_at),
            expires_at=rfc3339(held.created_at),
            archived_at=None,
            cancel_initiated_at=None,
            results_url=None,
        )

    async def retrieve(self, batch_id: str) -> MessageBatch:
        self._may_fail("retrieve")
        if batch_id not in self.batches:
            raise NotFound(f"no {batch_id}")
        held = self.batches[batch_id]
        held.looks += 1
        return self._shown(held)

    async def list(self, *, page: int = 100) -> AsyncIterator[MessageBatch]:
        self._may_fail("list")
        if self.late:
            self.late -= 1
            return
        for held in reversed(self.held()):
            yield self._shown(held)

    async def results(
        self, batch: MessageBatch, sink: Sink, *, arrival: Arrival | None = None
    ) -> Receipt:
        self._may_fail("results")
        arrival = arrival or Arrival()
        lines = self.mend(self.batches[batch.id].lines)
        data = "".join(line + "\n" for line in lines).encode()[arrival.bytes :]
        for start in range(0, len(data), 40):
            piece = data[start : start + 40]
            arrival.add(piece)
            sink.write(piece)
            self._may_fail("results piece")
        if len(lines) != len(self.batches[batch.id].requests):
            raise WrongCount(f"{len(lines)} lines")
        return Receipt(arrival.whole_lines, arrival.bytes)

    async def liveness(self) -> Liveness | None:
        self._may_fail("liveness")
        return Liveness("1") if self.ours else None

    async def readiness(self) -> Readiness | None:
        return Readiness("ok", "1", engines=self.engines) if self.ours else None


def lost() -> BatchyardError:
    """What a broken connection raises."""
    return Lost("the connection broke")
