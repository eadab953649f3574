"""Any endpoint that speaks the Messages API: params pass through untouched, messages come back so.

The hosted API, vLLM, SGLang, llama.cpp, Ollama and gateways in front of them. Facts about them
were taken from their answers on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

import msgspec

from batchyard import wire
from batchyard.clock import CALENDAR_ENDS, SECOND, Microseconds
from batchyard.engine import TOKENS_MAX, Ask, Forwarded, Model, Operation, Reply, Usage, tokens
from batchyard.engines.failures import classify
from batchyard.engines.forward import envelope_of, once, passed_through
from batchyard.engines.http import Answer, HttpClient, full_head
from batchyard.errors import Misconfigured, Rejected, Spent

_PATHS: dict[Operation, str] = {
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
}
MODELS_PATH = "/v1/models"
MODEL_PAGES_MAX = 100
"""Pages of a list of models that are read: one that never ends is no list."""

LIST_VERSION = "2023-06-01"
"""The API version under which models are listed; the shape is the same in all."""

_PRIORITY = {"low": "10", "high": "0"}
"""vLLM's `X-Vllm-Priority`: lower goes first; engines that do not know it ignore it."""

_OPENINGS_MAX = 64


class MessagesEngine:
    """An engine behind the Messages API at `base_url`.

    `hosted` means Anthropic's own API: the key goes in `x-api-key` alone, and the ask's version and
    betas are passed on. Elsewhere the key is offered in both headers, since servers look in one or
    the other. `close` also closes `http`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        http: HttpClient | None = None,
        hosted: bool = False,
        name: str = "",
    ) -> None:
        self.name = name or base_url
        self._http = http or HttpClient(base_url)
        self._hosted = hosted
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if api_key:
            self._headers["x-api-key"] = api_key
            if not hosted:
                self._headers["authorization"] = f"Bearer {api_key}"
        self._openings: dict[tuple[str, tuple[str, ...], str], bytes] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def create_message(self, ask: Ask) -> Reply:
        """As `Engine` says. A 200 without a Message in it is `Spent`, whatever it calls itself."""
        answer = await self._http.exchange(self._head_of(ask), ask.params)
        if answer.status // 100 != 2:
            raise classify(answer.status, answer.headers, answer.body)
        try:
            message, numbers = wire.checked_message(answer.body)
        except wire.NotAMessage as error:
            raise Spent(f"{self._http.base_url}: {error}", status=answer.status) from error
        return Reply(
            message,
            Usage(
                tokens(numbers.input_tokens),
                tokens(numbers.output_tokens),
                tokens(numbers.cache_read_input_tokens),
                tokens(numbers.cache_creation_input_tokens),
            ),
        )

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """As `Engine` says; the answer's bytes go through as they come, events included."""
        streamed = await self._http.stream(_PATHS[operation], self._headers_of(ask), ask.params)
        if streamed.status // 100 == 2:
            return passed_through(streamed)
        answer = Answer(streamed.status, streamed.headers, await once(streamed))
        error = classify(answer.status, answer.headers, answer.body)
        if isinstance(error, Misconfigured) and answer.status in (404, 405):
            raise Rejected(
                f"{self._http.base_url} has no {_PATHS[operation]}",
                type="not_found_error",
                status=answer.status,
            )
        return envelope_of(answer, error)

    async def models(self) -> Sequence[Model]:
        """What `/v1/models` lists, in either dialect's shape; empty where there is no such list.

        The hosted API lists dated names and takes others that stand for them, so all of `claude-*`
        is left to its own judgement.
        """
        found: list[Model] = []
        path: str | None = f"{MODELS_PATH}?limit=1000" if self._hosted else MODELS_PATH
        for _ in range(MODEL_PAGES_MAX):
            if path is None:
                break
            answer = await self._http.get(path, self._list_headers(), total_seconds=30)
            if answer.status in (404, 405, 501):
                return []
            if answer.status != 200:
                raise classify(answer.status, answer.headers, answer.body)
            found += listed_models(answer.body)
            path = _following(answer.body)
        return [*found, Model("claude-*")] if self._hosted else found

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _list_headers(self) -> dict[str, str]:
        """The hosted API wants a version on every call; others have never heard of it."""
        return (
            {**self._headers, "anthropic-version": LIST_VERSION} if self._hosted else self._headers
        )

    def _headers_of(self, ask: Ask) -> dict[str, str]:
        headers = dict(self._headers)
        headers["anthropic-version"] = ask.api_version
        if ask.betas:
            headers["anthropic-beta"] = ",".join(ask.betas)
        if not self._hosted:
            headers["x-vllm-priority"] = _PRIORITY[ask.priority]
            if ask.trace:
                headers["x-request-id"] = ask.trace
        return headers

    def _head_of(self, ask: Ask) -> bytes:
        """The head of a batch's request. All of a batch begin alike, and so do most batches."""
        alike = (ask.api_version, ask.betas, ask.priority)
        opening = self._openings.get(alike)
        if opening is None:
            if len(self._openings) >= _OPENINGS_MAX:
                self._openings.clear()
            headers = self._headers_of(msgspec.structs.replace(ask, trace=""))
            opening = self._openings[alike] = self._http.opening(_PATHS["messages"], headers)
        return full_head(opening, len(ask.params), "" if self._hosted else ask.trace)


def listed_models(body: bytes) -> list[Model]:
    """The models in a list answer of either dialect; entries without a string `id` are skipped.

    Limits are read where engines put them: `max_input_tokens`/`max_tokens` (Messages),
    `max_model_len` (vLLM, SGLang), `context_length` and `meta.n_ctx` (llama.cpp and others). vLLM
    refuses to be asked for more tokens than `max_model_len`; what does not fit beside a prompt it
    leaves out by itself.
    """
    try:
        page = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return []
    entries = page.get("data") if isinstance(page, dict) else page
    found = entries if isinstance(entries, list) else []
    return [
        Model(
            entry["id"],
            max_input_tokens=_context(entry),
            max_tokens=_count(entry.get("max_tokens")) or _count(entry.get("max_model_len")),
            created_at=_created(entry),
        )
        for entry in found
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]


def _following(body: bytes) -> str | None:
    """Where a list of models in pages goes on; None after its last page."""
    try:
        page = msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not page.has_more or not page.last_id:
        return None
    return f"{MODELS_PATH}?limit=1000&after_id={quote(page.last_id, safe='')}"


class _Page(msgspec.Struct):
    has_more: bool = False
    last_id: str | None = None


def _context(entry: dict[str, Any]) -> int | None:
    meta = entry.get("meta")
    inside = meta if isinstance(meta, dict) else {}
    places = (
        entry.get("max_input_tokens"),
        entry.get("max_model_len"),
        entry.get("context_length"),
        inside.get("n_ctx"),
        inside.get("n_ctx_train"),
    )
    return next((count for count in map(_count, places) if count), None)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 < value <= TOKENS_MAX else None


def _created(entry: dict[str, Any]) -> Microseconds:
    """`created_at` as RFC 3339 (Messages) or `created` as seconds (Chat Completions).

    0 for a moment that no calendar has: some servers count milliseconds. llama.cpp says it was
    created just now, every time it is asked; that is worse than nothing.
    """
    if entry.get("owned_by") == "llamacpp":
        return 0
    stamp = entry.get("created_at")
    seconds: float = _count(entry.get("created")) or 0
    if isinstance(stamp, str):
        try:
            seconds = datetime.fromisoformat(stamp).timestamp()
        except (ValueError, OverflowError):
            return 0
    return round(seconds * SECOND) if 0 < seconds < CALENDAR_ENDS else 0
