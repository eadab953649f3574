"""Five thousand realistic requests through a real HTTP upstream: sent is received, said is read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import Calls
from tests.live.harness.corpus import Raw, body_of, realistic
from tests.live.harness.upstream import Upstream
from tests.upstreams.dialects import Echo

pytestmark = pytest.mark.timeout(240)

COUNT = 5_000


@pytest.fixture(scope="module")
def corpus() -> list[Raw]:
    return list(realistic(COUNT, model="echo-1"))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def answers(serve: Serve, engine: str, corpus: list[Raw]) -> dict[str, bytes]:
    """custom_id -> its whole result line, each there exactly once."""
    server = serve("--engine", f"{engine};concurrency=32")
    calls = Calls(server.url)
    batch = calls.create(body_of(corpus))
    assert batch["request_counts"]["processing"] == COUNT
    calls.ended(batch["id"], within=120)
    found: dict[str, bytes] = {}
    for line in calls.result_lines(batch["id"]):
        custom_id = json.loads(line)["custom_id"]
        assert custom_id not in found
        found[custom_id] = line
    calls.close()
    assert found.keys() == {raw.custom_id for raw in corpus}
    return found


def test_params_arrive_and_messages_return_byte_for_byte(
    serve: Serve, upstream: Upstream, corpus: list[Raw]
) -> None:
    lines = answers(serve, f"anthropic+{upstream.url}", corpus)
    arrived = Counter(exchange.body for exchange in upstream.exchanges)
    assert arrived == Counter(raw.params.strip() for raw in corpus)
    for raw in corpus:
        assert _without_id(lines[raw.custom_id]) == _expected(raw), raw.custom_id


def test_through_chat_completions_every_text_returns_to_its_own_request(
    serve: Serve, upstream: Upstream, corpus: list[Raw]
) -> None:
    lines = answers(serve, f"openai+{upstream.url}", corpus)
    refused = 0
    for raw in corpus:
        result = json.loads(lines[raw.custom_id])["result"]
        if result["type"] == "errored":
            # A field nobody knows has no place in Chat Completions; whoever sent it is told so.
            error = result["error"]["error"]
            assert error["message"] == "metadata.n: Extra inputs are not permitted", result
            assert error["type"] == "invalid_request_error"
            assert b'"metadata":{' in raw.params
            refused += 1
            continue
        assert result["type"] == "succeeded", result
        message = result["message"]
        assert message["model"] == "echo-1"
        assert message["stop_reason"] == "end_turn"
        text = "".join(block["text"] for block in message["content"])
        assert text.endswith(raw.text), raw.custom_id
    assert len(upstream.exchanges) == COUNT - refused


def _without_id(line: bytes) -> bytes:
    """The line without the id that the upstream counted up."""
    return re.sub(rb'"message":{"id":"msg_echo\d+"', b'"message":{"id":""', line, count=1)


def _expected(raw: Raw) -> bytes:
    """The line, every byte of it."""
    echo = Echo(raw.params)
    return (
        b'{"custom_id":"%b","result":{"type":"succeeded","message":{"id":"","type":"message",'
        b'"role":"assistant","model":"echo-1","content":[{"type":"text","text":%b}],'
        b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":%d,'
        b'"output_tokens":%d,"service_tier":"batch"}}}}'
    ) % (
        raw.custom_id.encode(),
        echo.text,
        max(1, len(raw.params.strip()) // 4),
        echo.output_tokens,
    )
