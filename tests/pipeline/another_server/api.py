"""The calls that the other server answers, each as the documentation describes it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.pipeline.another_server import answers, params
from tests.pipeline.another_server.batch import KEPT_SECONDS, Batch
from tests.pipeline.another_server.connection import Answer, Call
from tests.pipeline.another_server.envelope import decoded, entries
from tests.pipeline.another_server.errors import Refusal, Unfit

if TYPE_CHECKING:
    from tests.pipeline.another_server.server import AnotherServer

ROOT = "/v1/messages/batches"
VERSIONS = ("2023-06-01", "2026-10-21")
LIMIT, LIMIT_MAX = 20, 1000
_LETTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ORGANIZATION = "6f1b6d36-8c43-4a2e-9a4b-2f1a5d0c7e11"


class Api:
    """Answers calls on behalf of a server."""

    def __init__(self, server: AnotherServer) -> None:
        self._server = server

    def answer(self, call: Call) -> Answer | None:
        """The answer; None where it is to be lost. Raises `Refusal`."""
        self._admit(call)
        answer = self._routed(call)
        if answer is not None:
            answer.headers.setdefault("content-type", "application/json")
            answer.headers["anthropic-organization-id"] = _ORGANIZATION
        return answer

    def _admit(self, call: Call) -> None:
        headers, server = call.headers, self._server
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), token.strip() if scheme.lower() == "bearer" else ""]
        if not any(given):
            raise Refusal(401, "x-api-key header is required")
        if server.keys and not set(given) & set(server.keys):
            raise Refusal(401, "API key is invalid.")
        if "anthropic-version" not in headers:
            raise Refusal(400, "anthropic-version: header is required")
        if headers["anthropic-version"] not in VERSIONS:
            raise Refusal(
                400, f"anthropic-version: {headers['anthropic-version']!r} is not a valid version"
            )
        if call.body is None:
            raise Refusal(413, "Request exceeds the maximum allowed number of bytes.")
        if headers.get("content-encoding", "identity") != "identity":
            raise Refusal(
                400, "The encoding of the request body is not supported.",
                code="request_body_encoding_unsupported",
            )  # fmt: skip
        if server.faults.refuse_calls > 0:
            server.faults.refuse_calls -= 1
            raise self._too_many()

    def _too_many(self) -> Refusal:
        wait = str(self._server.faults.retry_after)
        return Refusal(
            429, "This request would exceed your rate limit.", headers={"retry-after": wait}
        )

    def _routed(self, call: Call) -> Answer | None:
        match call.method, call.path.removeprefix(ROOT).split("/"):
            case "POST", [""] if call.path == ROOT:
                return self._create(call)
            case "GET", [""] if call.path == ROOT:
                return self._list(call)
            case "GET", ["", batch_id]:
                return self._shown(call, self._batch(batch_id))
            case "DELETE", ["", batch_id]:
                return self._delete(self._batch(batch_id))
            case "POST", ["", batch_id, "cancel"]:
                return self._cancel(call, self._batch(batch_id))
            case "GET", ["", batch_id, "results"]:
                return self._results(self._batch(batch_id))
        if call.method == "POST" and call.path == "/v1/messages" and self._server.live:
            return self._message(call)
        if call.path == "/v1/messages/count_tokens" and self._server.count_tokens:
            return self._count_tokens(call)
        if call.method == "GET" and call.path == "/v1/models":
            return self._models()
        raise Refusal(404, f"{call.method} {call.path}: Not found")

    def _create(self, call: Call) -> Answer | None:
        assert call.body is not None
        server = self._server
        if server.faults.refuse_creates > 0:
            server.faults.refuse_creates -= 1
            raise self._too_many()
        found = entries(call.body)
        batch = Batch(
            id="msgbatch_01" + "".join(random.SystemRandom().choices(_LETTERS, k=22)),
            number=len(server.batches),
            total=len(found),
            version=call.headers["anthropic-version"],
            created_at=server.now(),
        )
        asks = server.ledger.enter(batch.id, found)
        kept = [{**entry, "ask": ask} for entry, ask in zip(found, asks, strict=True)]
        server.shelf.keep_requests(batch.id, kept)
        server.shelf.keep(batch)
        server.batches[batch.id] = batch
        shown = self._shown(call, batch)
        server.start(batch)
        if server.faults.lose_creates > 0:
            server.faults.lose_creates -= 1
            return None
        return shown

    def _list(self, call: Call) -> Answer:
        query = {name: value for name, value in call.query if name != "beta"}
        for name in query:
            if name not in ("limit", "after_id", "before_id"):
                raise Refusal(400, f"{name}: Extra inputs are not permitted")
        limit = _limit(query.get("limit", str(LIMIT)))
        if "after_id" in query and "before_id" in query:
            raise Refusal(400, "Only one of after_id and before_id may be given")
        newest_first = sorted(self._server.batches.values(), key=lambda one: -one.number)
        there = [batch for batch in newest_first if not batch.deleted]
        if "before_id" in query:
            least = self._cursor("before_id", query["before_id"])
            newer = [batch for batch in there if batch.number > least]
            page, more = newer[-limit:], len(newer) > limit
        else:
            if "after_id" in query:
                most = self._cursor("after_id", query["after_id"])
                there = [batch for batch in there if batch.number < most]
            page, more = there[:limit], len(there) > limit
        data = [self._aged(batch).shown(_origin(call)) for batch in page]
        return _json(_page(data, more=more))

    def _shown(self, call: Call, batch: Batch) -> Answer:
        answer = _json(self._aged(batch).shown(_origin(call)))
        if batch.ended_at is None:
            answer.headers["retry-after"] = "10"
        return answer

    def _delete(self, batch: Batch) -> Answer:
        if batch.ended_at is None:
            raise Refusal(
                400,
                "In progress batches cannot be deleted. Consider canceling the batch instead.",
            )
        batch.deleted = True
        self._server.shelf.keep(batch)
        self._server.shelf.drop(batch.id)
        return _json({"id": batch.id, "type": "message_batch_deleted"})

    def _cancel(self, call: Call, batch: Batch) -> Answer:
        if call.body and decoded(call.body):
            raise Refusal(400, "Extra inputs are not permitted")
        if batch.ended_at is None and batch.cancel_initiated_at is None:
            batch.cancel_initiated_at = self._server.now()
            self._server.shelf.keep(batch)
            self._server.bell.ring()
        return self._shown(call, batch)

    def _results(self, batch: Batch) -> Answer:
        if batch.ended_at is None or self._aged(batch).archived_at is not None:
            raise Refusal(404, f"Message Batch {batch.id} has no available results.")
        headers = {"content-type": "application/x-jsonl"}
        return Answer(200, headers=headers, file=self._server.shelf.results(batch.id))

    def _message(self, call: Call) -> Answer:
        asked = self._checked(call)
        self._server.ledger.enter("", [{"custom_id": "live", "params": asked}])
        return _json(answers.message(asked, tier="standard"))

    def _count_tokens(self, call: Call) -> Answer:
        asked = self._checked(call, max_tokens=1)
        return _json({"input_tokens": answers.input_tokens(asked)})

    def _checked(self, call: Call, **defaults: object) -> dict[str, Any]:
        asked = {**defaults, **decoded(call.body or b"")}
        version = call.headers["anthropic-version"]
        try:
            params.check(asked, version=version, models=self._server.models, batch=False)
        except Unfit as error:
            raise Refusal(404 if error.type == "not_found_error" else 400, error.message) from None
        if asked.get("stream"):
            raise Refusal(400, "stream: this server does not stream")
        return asked

    def _models(self) -> Answer:
        data = [
            {
                "id": name, "type": "model", "display_name": name, "lifecycle": "active",
                "created_at": "1970-01-01T00:00:00Z", "max_input_tokens": 200_000,
                "max_tokens": params.OUTPUT_TOKENS_MAX, "capabilities": None, "line": None,
                "deprecated_at": None, "retires_at": None,
            }
            for name in self._server.models
        ]  # fmt: skip
        return _json(_page(data, more=False))

    def _batch(self, batch_id: str) -> Batch:
        batch = self._server.batches.get(batch_id)
        if batch is None or batch.deleted:
            raise Refusal(404, f"Message Batch {batch_id} not found.")
        return batch

    def _cursor(self, name: str, batch_id: str) -> int:
        if batch_id not in self._server.batches:
            raise Refusal(400, f"{name}: Message Batch {batch_id} not found.")
        return self._server.batches[batch_id].number

    def _aged(self, batch: Batch) -> Batch:
        """The batch, its results gone if it is old enough."""
        gone = batch.created_at + KEPT_SECONDS
        if batch.ended_at is not None and batch.archived_at is None and self._server.now() >= gone:
            batch.archived_at = gone
            self._server.shelf.keep(batch)
        return batch


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise Refusal(400, "limit: Input should be a valid integer")
    if int(text) < 1:
        raise Refusal(400, "limit: Input should be greater than or equal to 1")
    if int(text) > LIMIT_MAX:
        raise Refusal(400, f"limit: Input should be less than or equal to {LIMIT_MAX}")
    return int(text)


def _page(data: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    ids = [one["id"] for one in data] or [None]
    return {"data": data, "has_more": more, "first_id": ids[0], "last_id": ids[-1]}


def _origin(call: Call) -> str:
    return f"http://{call.headers['host']}"


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())
