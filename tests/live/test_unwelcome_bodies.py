"""Every body that nobody invited: refused in the envelope, or taken and brought to a whole line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Serve
from tests.live.harness import unwelcome
from tests.live.harness.calls import HEADERS, Answer, Calls
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)

CREATE = "/v1/messages/batches"
ANSWER_SECONDS = 15
GROWN_MAX = 700_000_000


class Weighing:
    """The most private memory the server's processes held together while the block ran."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Weighing:
        self.idle = self.most = self._server.anonymous_bytes()
        self._pids = self._server.pids()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return self.most - self.idle

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.most = max(self.most, self._server.anonymous_bytes())


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Server:
    return serve_module("--engine", "simulator:latency=1ms")


@pytest.fixture(scope="module")
def refusals(shared: Server) -> dict[str, tuple[Answer, float]]:
    """Every body of the table sent, one after the other: its answer, and the seconds it took."""
    found = {}
    with Weighing(shared) as weighing:
        for name, body in unwelcome.REFUSED.items():
            made = unwelcome.made(body)
            started = time.monotonic()
            answer = shared.calls.ask("POST", CREATE, made, {"content-type": "application/json"})
            found[name] = answer, time.monotonic() - started
        for name, framed in (("announced", True), ("chunked", False)):
            started = time.monotonic()
            found[f"more than 256 MB, {name}"] = (
                too_large(shared, framed=framed),
                (time.monotonic() - started),
            )
    found["memory"] = Answer(weighing.grown, {}, b""), 0.0
    return found


def too_large(server: Server, *, framed: bool) -> Answer:
    """The answer to a body of one byte more than is taken, all of it sent."""
    connection = server.calls.connect()
    piece = b" " * 1_048_576
    pieces = [piece] * (unwelcome.BYTES_MAX // len(piece)) + [b" "]
    length = {"content-length": str(unwelcome.BYTES_MAX + 1)} if framed else {}
    connection.request(
        "POST", CREATE, iter(pieces), {**HEADERS, **length}, encode_chunked=not framed
    )
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)


@pytest.mark.parametrize("name", [*unwelcome.REFUSED])
def test_it_is_refused_in_the_envelope(
    refusals: dict[str, tuple[Answer, float]], name: str
) -> None:
    answer, seconds = refusals[name]
    status, kind, message = answer.error
    assert (status, kind) == (400, "invalid_request_error"), (name, answer)
    assert 0 < len(message) < 400
    assert seconds < ANSWER_SECONDS
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("name", ["announced", "chunked"])
def test_more_than_256_mb_is_refused_as_too_large(
    refusals: dict[str, tuple[Answer, float]], name: str
) -> None:
    answer, seconds = refusals[f"more than 256 MB, {name}"]
    assert answer.error[:2] == (413, "request_too_large")
    assert seconds < ANSWER_SECONDS


def test_all_of_them_together_leave_memory_where_it_was(
    refusals: dict[str, tuple[Answer, float]],
) -> None:
    grown = refusals["memory"][0].status
    assert grown < GROWN_MAX, f"{grown / 1e6:.0f} MB"


def test_nothing_of_them_is_kept(shared: Server, refusals: dict[str, tuple[Answer, float]]) -> None:
    assert refusals
    assert shared.calls.batches() == []
    assert kept(shared.data_dir) == []


def kept(data_dir: Path) -> list[Path]:
    """Every file below `spool` and `batches`."""
    return [path for part in ("spool", "batches") for path in (data_dir / part).rglob("*")]


# -- odd, and either taken or refused --------------------------------------------------------------


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(keep_bodies=False) as upstream:
        yield upstream


@pytest.fixture(scope="module", params=["simulator", "anthropic", "openai"])
def engine(request: pytest.FixtureRequest, serve_module: Serve, upstream: Upstream) -> Server:
    """A server whose one engine takes every model name."""
    kind = request.param
    return serve_module("--engine", "simulator:latency=1ms" if kind == "simulator"
                        else f"{kind}+{upstream.url}")  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(engine: Server) -> dict[str, tuple[int, bytes]]:
    """What became of each body: the refusal's status and body, or 200 and the result lines."""
    calls = Calls(engine.url)
    answers = {
        name: calls.ask("POST", CREATE, body.replace(b"simulator-1", _model(engine)))
        for name, body in unwelcome.ODD.items()
    }
    found = {}
    for name, answer in answers.items():
        if answer.status == 200:
            calls.ended(answer.json["id"])
            read = calls.ask("GET", f"{CREATE}/{answer.json['id']}/results")
            assert read.status == 200
            found[name] = 200, read.body
        else:
            found[name] = answer.error[0], answer.body
    calls.close()
    return found


def _model(engine: Server) -> bytes:
    return b"simulator-1" if "simulator:latency=1ms" in engine.flags else b"echo-1"


@pytest.mark.parametrize("name", [*unwelcome.ODD])
def test_it_is_taken_or_refused_and_its_line_is_whole(
    outcomes: dict[str, tuple[int, bytes]], name: str
) -> None:
    status, body = outcomes[name]
    assert status in (200, 400), body[:500]
    if status == 200:
        assert body.endswith(b"\n")
        assert body.count(b"\n") == 1
        line = strict(body)
        assert line["custom_id"] in ("a", "b")
        assert line["result"]["type"] in ("succeeded", "errored")
        if line["result"]["type"] == "errored":
            error = line["result"]["error"]["error"]
            assert error["type"] in ("invalid_request_error", "not_found_error"), error


def test_the_server_lives_on_and_most_were_taken(
    engine: Server, outcomes: dict[str, tuple[int, bytes]]
) -> None:
    assert sum(status == 200 for status, _ in outcomes.values()) > len(outcomes) / 2
    assert engine.calls.ask("GET", "/readyz").status == 200


def strict(line: bytes) -> Any:
    """The line by a parser that takes nothing JSON does not have."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    value = json.loads(line.decode("utf-8", "strict"), parse_constant=refuse)
    line.decode().encode("utf-16", "strict")
    json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")
    return value
