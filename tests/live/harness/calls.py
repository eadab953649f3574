"""Plain HTTP calls to a server under test: nothing between the test and the bytes."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.live.harness.waiting import eventually

KEY = "sk-test"
IDLE_SECONDS = 30.0
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """(status, error type, message); fails when the body is no error envelope."""
        value = self.json
        assert value["type"] == "error", value
        assert value["request_id"] == self.headers["request-id"], (value, self.headers)
        return self.status, value["error"]["type"], value["error"]["message"]


class Calls:
    """The API's verbs over one keep-alive connection. Not thread-safe: one per thread."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.url = url
        self.timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One exchange. A connection that turns out dead is an OSError, never repeated; one that
        was idle for long is not used again, since the server may close it at any moment."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            self.close()
        connection = self._connection or self.connect()
        self._connection = None
        try:
            connection.request(method, path, body, {**HEADERS, **(headers or {})})
            response = connection.getresponse()
            content = response.read()
        except http.client.HTTPException as error:
            connection.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        except OSError:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._connection = connection
            self._used = time.monotonic()
        return Answer(response.status, _headers(response), content)

    def connect(self) -> http.client.HTTPConnection:
        """A fresh connection to the server, the caller's to close."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)

    def create(
        self, requests: Sequence[dict[str, Any]] | bytes, headers: dict[str, str] | None = None
    ) -> Any:
        """The object of a new batch; `requests` as entries or as a whole body."""
        body = requests if isinstance(requests, bytes) else body_of(requests)
        answer = self.ask(
            "POST",
            "/v1/messages/batches",
            body,
            {"content-type": "application/json", **(headers or {})},
        )
        assert answer.status == 200, answer
        return answer.json

    def batch(self, batch_id: str) -> Any:
        answer = self.ask("GET", f"/v1/messages/batches/{batch_id}")
        assert answer.status == 200, answer
        return answer.json

    def batches(self, limit: int = 1000) -> list[Any]:
        answer = self.ask("GET", f"/v1/messages/batches?limit={limit}")
        assert answer.status == 200, answer
        data: list[Any] = answer.json["data"]
        return data

    def cancel(self, batch_id: str) -> Any:
        answer = self.ask("POST", f"/v1/messages/batches/{batch_id}/cancel")
        assert answer.status == 200, answer
        return answer.json

    def ended(self, batch_id: str, *, within: float = 60.0) -> Any:
        """The object of the batch once it has ended."""

        def look() -> Any:
            batch = self.batch(batch_id)
            assert batch["processing_status"] == "ended", batch
            return batch

        return eventually(look, within=within, what=f"{batch_id} to end")

    def results(self, batch_id: str) -> list[Any]:
        """Every result line of an ended batch, decoded, in file order."""
        return [json.loads(line) for line in self.result_lines(batch_id)]

    def result_lines(self, batch_id: str) -> list[bytes]:
        """Every result line as bytes without its line end; checks the framing on the way."""
        answer = self.ask("GET", f"/v1/messages/batches/{batch_id}/results")
        assert answer.status == 200, answer
        assert answer.headers["content-type"] == "application/x-jsonl"
        assert b"\r" not in answer.body
        assert answer.body.endswith(b"\n")
        return answer.body[:-1].split(b"\n")

    def run(self, requests: Sequence[dict[str, Any]], *, within: float = 60.0) -> dict[str, Any]:
        """Create, wait, read: custom_id -> result, every custom_id exactly once."""
        batch = self.create(requests)
        self.ended(batch["id"], within=within)
        lines = self.results(batch["id"])
        found = {line["custom_id"]: line["result"] for line in lines}
        assert len(found) == len(lines), "a custom_id has two lines"
        assert found.keys() == {request["custom_id"] for request in requests}
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def body_of(requests: Sequence[dict[str, Any]]) -> bytes:
    """A create body, compact UTF-8 as the current SDKs write it."""
    return json.dumps(
        {"requests": list(requests)}, ensure_ascii=False, separators=(",", ":")
    ).encode()


def request(
    custom_id: str, text: str, *, model: str = "simulator-1", max_tokens: int = 64, **params: Any
) -> dict[str, Any]:
    """One entry of a create body with a single user turn."""
    return {
        "custom_id": custom_id,
        "params": {
            "model": model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": text}],
            **params,
        },
    }


def requests(
    count: int, *, model: str = "simulator-1", prefix: str = "r", **params: Any
) -> list[dict[str, Any]]:
    """`count` small distinct entries."""
    return [
        request(f"{prefix}-{number}", f"Say {prefix} {number}.", model=model, **params)
        for number in range(count)
    ]


def walk(calls: Calls, query: str = "limit=100") -> Iterator[Any]:
    """Every batch, following `after_id` as the SDKs do."""
    cursor = ""
    while True:
        page = calls.ask("GET", f"/v1/messages/batches?{query}{cursor}").json
        yield from page["data"]
        if not page["has_more"]:
            return
        cursor = f"&after_id={page['last_id']}"


def _headers(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}
