"""Results while they are being read: whole or visibly broken, never short and clean."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.live.conftest import Serve
from tests.live.harness.calls import HEADERS, Calls, request
from tests.live.harness.serving import Server
from tests.live.harness.upstream import Upstream

pytestmark = pytest.mark.timeout(90)

LINES, TEXT = 40, "ü" * 500_000


@pytest.fixture(scope="module")
def shared(serve_module: Serve) -> Iterator[Server]:
    """A server whose engine repeats a megabyte of text: results no socket buffer can swallow."""
    with Upstream(keep_bodies=False) as upstream:
        yield serve_module("--engine", f"anthropic+{upstream.url}")


@pytest.fixture
def batch_id(shared: Server) -> str:
    entries = [request(f"big-{n}", f"{n} {TEXT}", model="echo-1") for n in range(LINES)]
    batch: str = shared.calls.create(entries)["id"]
    shared.calls.ended(batch, within=60)
    return batch


def begun(
    calls: Calls, batch_id: str
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """A download of which only the first bytes were read."""
    connection = calls.connect()
    connection.request("GET", f"/v1/messages/batches/{batch_id}/results", headers=HEADERS)
    response = connection.getresponse()
    assert response.status == 200
    assert response.read(10) == b'{"custom_i'
    return connection, response


def whole_or_broken(response: http.client.HTTPResponse) -> bool:
    """Whether all the rest came; a clean but short end fails."""
    try:
        rest = response.read()
    except (http.client.IncompleteRead, OSError):
        return False
    lines = (b'{"custom_i' + rest).split(b"\n")[:-1]
    assert len(lines) == LINES
    return True


def test_megabyte_lines_are_read_whole_and_alike_every_time(shared: Server, batch_id: str) -> None:
    first = shared.calls.result_lines(batch_id)
    assert len(first) == LINES
    for line in first:
        value = json.loads(line)
        number = value["custom_id"].removeprefix("big-")
        assert value["result"]["message"]["content"][0]["text"] == f"{number} {TEXT}"
    assert shared.calls.result_lines(batch_id) == first


def test_a_download_goes_on_where_it_broke_off(shared: Server, batch_id: str) -> None:
    connection, response = begun(shared.calls, batch_id)
    beginning = b'{"custom_i' + response.read(7_000_000)
    tag, size = response.headers["etag"], response.headers["content-length"]
    connection.close()
    asked = {**HEADERS, "range": f"bytes={len(beginning)}-", "if-range": tag}
    connection = shared.calls.connect()
    connection.request("GET", f"/v1/messages/batches/{batch_id}/results", headers=asked)
    response = connection.getresponse()
    assert response.status == 206
    told = f"bytes {len(beginning)}-{int(size) - 1}/{size}"
    assert response.headers["content-range"] == told
    rest = response.read()
    connection.close()
    assert (beginning + rest).splitlines() == shared.calls.result_lines(batch_id)


def test_a_download_overtaken_by_a_delete_is_whole_or_broken(shared: Server, batch_id: str) -> None:
    connection, response = begun(shared.calls, batch_id)
    deleted = shared.calls.ask("DELETE", f"/v1/messages/batches/{batch_id}")
    assert deleted.status == 200
    whole_or_broken(response)
    connection.close()
    for path in ("", "/results"):
        gone = shared.calls.ask("GET", f"/v1/messages/batches/{batch_id}{path}")
        assert gone.error[:2] == (404, "not_found_error")
    assert not (shared.data_dir / "batches" / batch_id).exists() or not list(
        (shared.data_dir / "batches" / batch_id).rglob("*.jsonl")
    )


def test_a_download_during_which_the_server_dies_is_visibly_broken(
    shared: Server, batch_id: str
) -> None:
    connection, response = begun(shared.calls, batch_id)
    old = shared.kill("api")
    assert not whole_or_broken(response)
    connection.close()
    shared.pid("api", other_than=old)
    shared.calls.close()
    assert len(shared.calls.result_lines(batch_id)) == LINES
