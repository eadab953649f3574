"""What a naive server gets wrong, one test per trap, numbered as the description of the API does:
results, lists, errors, time.

Traps that need a socket (6, 31, the transport half of 7 and 22) are sprung on a live server in
`tests/live`; what happens inside `params` (10, 21) is judged by `batches` and `dispatch`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batchyard.api.failures import RETRY_AFTER_MAX, answer
from batchyard.batches.limits import Limits
from batchyard.errors import RateLimited, Refused
from batchyard.store.store import open_store
from tests.api.asgi import exchange
from tests.api.conftest import Server, requests
from tests.api.ending import settle

ROOT = "/v1/messages/batches"
KEYS = [
    "id",
    "type",
    "processing_status",
    "request_counts",
    "ended_at",
    "created_at",
    "expires_at",
    "archived_at",
    "cancel_initiated_at",
    "results_url",
]


async def test_17_results_are_plain_lines(server: Server) -> None:
    batch_id = await server.ended(300)
    content = (await server.client.get(f"{ROOT}/{batch_id}/results")).content
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert b"\n\n" not in content
    lines = content.split(b"\n")[:-1]
    assert len(lines) == 300
    for line in lines:
        assert line.startswith(b'{"custom_id":"r-')
        assert json.dumps(json.loads(line), separators=(",", ":")).encode() == line


async def test_18_any_text_stays_on_its_line(server: Server) -> None:
    text = 'a\r\nb\u2028\u2029\x00\x85\x0b"\\é🙂'
    batch_id = await server.create(1)
    await settle(server.store, batch_id, text=text)
    content = (await server.client.get(f"{ROOT}/{batch_id}/results")).content
    assert content.count(b"\n") == 1
    assert json.loads(content)["result"]["message"]["content"][0]["text"] == text


async def test_19_an_errored_line_nests_its_error_twice(server: Server) -> None:
    batch_id = await server.ended(1, choose=lambda _: "errored")
    line = (await server.client.get(f"{ROOT}/{batch_id}/results")).json()
    assert line["result"]["error"]["type"] == "error"
    assert line["result"]["error"]["error"]["type"] == "invalid_request_error"


async def test_20_there_is_one_line_for_each_request(server: Server) -> None:
    outcomes = ["succeeded", "errored", "canceled", "expired"]
    batch_id = await server.ended(40, choose=lambda name: outcomes[int(name[2:]) % 4])  # type: ignore[arg-type,return-value] # str is fine
    content = (await server.client.get(f"{ROOT}/{batch_id}/results")).content
    names = [json.loads(line)["custom_id"] for line in content.splitlines()]
    assert sorted(names) == sorted(f"r-{i}" for i in range(40))


async def test_22_a_broken_download_is_cut_never_ended(server: Server, tmp_path: Path) -> None:
    batch_id = await server.ended(100)
    (segment,) = (tmp_path / "data").rglob("results/*.jsonl")
    whole = segment.read_bytes()
    for kept in (b"", whole[:-1], whole[: len(whole) // 2]):
        segment.write_bytes(kept)
        done = await exchange(server.app(), "GET", f"{ROOT}/{batch_id}/results")
        assert done.headers["content-length"] == str(len(whole))
        assert done.raised is not None
        assert not done.complete
    segment.unlink()
    done = await exchange(server.app(), "GET", f"{ROOT}/{batch_id}/results")
    assert not done.complete or done.status >= 400


async def test_23_results_before_the_end_are_404(server: Server) -> None:
    batch_id = await server.create()
    answer = await server.client.get(f"{ROOT}/{batch_id}/results")
    assert answer.status_code == 404
    assert "has no available results" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


async def test_24_the_service_tier_of_a_result_is_batch(server: Server) -> None:
    batch_id = await server.ended(1)
    usage = (await server.client.get(f"{ROOT}/{batch_id}/results")).json()["result"]["message"]
    assert usage["usage"] == {"input_tokens": 3, "output_tokens": 5, "service_tier": "batch"}


async def test_25_before_id_is_the_page_just_before_newest_first(server: Server) -> None:
    ids = [await server.create() for _ in range(5)]

    async def page(query: str) -> tuple[list[str], bool]:
        found = (await server.client.get(f"{ROOT}?{query}")).json()
        names = [batch["id"] for batch in found["data"]]
        assert (found["first_id"], found["last_id"]) == (
            (names[0], names[-1]) if names else (None, None)
        )
        return names, found["has_more"]

    assert await page(f"limit=2&before_id={ids[0]}") == ([ids[2], ids[1]], True)
    assert await page(f"limit=2&before_id={ids[2]}") == ([ids[4], ids[3]], False)
    assert await page(f"before_id={ids[4]}") == ([], False)
    assert await page(f"limit=2&after_id={ids[4]}") == ([ids[3], ids[2]], True)
    newcomer = await server.create()
    assert await page(f"limit=2&after_id={ids[2]}") == ([ids[1], ids[0]], False)
    assert await page("limit=1") == ([newcomer], True)


async def test_26_pages_of_a_thousand_and_cursors_of_deleted_batches(server: Server) -> None:
    older, middle, newer = [await server.ended(1) for _ in range(3)]
    await server.client.delete(f"{ROOT}/{middle}")
    page = await server.client.get(f"{ROOT}?limit=1000&after_id={middle}")
    assert [batch["id"] for batch in page.json()["data"]] == [older]
    page = await server.client.get(f"{ROOT}?limit=1000&before_id={middle}")
    assert [batch["id"] for batch in page.json()["data"]] == [newer]


async def test_27_a_poll_of_an_unfinished_batch_hints_when_to_come_back(server: Server) -> None:
    open_, ended = await server.create(), await server.ended()
    assert (await server.client.get(f"{ROOT}/{open_}")).headers["retry-after"] == "10"
    assert "retry-after" not in (await server.client.get(f"{ROOT}/{ended}")).headers


async def test_28_permanent_errors_tell_sdks_not_to_try_again(server: Server) -> None:
    open_ = await server.create()
    for method, path in (
        ("POST", ROOT),
        ("GET", f"{ROOT}/x"),
        ("DELETE", f"{ROOT}/{open_}"),
        ("GET", f"{ROOT}/{open_}/results"),
        ("GET", f"{ROOT}?limit=0"),
        ("GET", "/nothing"),
        ("PUT", ROOT),
        ("POST", "/v1/messages"),
        ("GET", "/v1/models/x"),
    ):
        refused = await server.client.request(method, path)
        assert refused.status_code in (400, 404, 405)
        assert refused.headers["x-should-retry"] == "false", (method, path)


async def test_29_a_full_queue_says_when_in_whole_sane_seconds(server: Server) -> None:
    async with server.other(limits=Limits(batches_in_process_max=1)) as client:
        assert (await client.post(ROOT, json=requests())).status_code == 200
        full = await client.post(ROOT, json=requests(3))
    assert full.status_code == 429
    assert full.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(full.headers["retry-after"]) <= 60
    assert "x-should-retry" not in full.headers


@pytest.mark.parametrize(("seconds", "told"), [(0, "1"), (-5, "1"), (1, "1"), (10**9, "3600")])
def test_29_no_wait_is_absurd(seconds: int, told: str) -> None:
    refused = answer(RateLimited("full", retry_after=seconds)).response("req_1")
    assert refused.headers["retry-after"] == told
    assert RETRY_AFTER_MAX == 3600


async def test_30_no_answer_lacks_its_id_and_no_error_its_envelope(server: Server) -> None:
    class Broken:
        """A store that fails in ways nobody foresaw."""

        def __getattr__(self, name: str) -> object:
            raise ZeroDivisionError("secret /path/of/ours")

    async with server.other(store=Broken()) as client:
        answers = [await client.get(f"{ROOT}/msgbatch_01{'1' * 22}")]
    assert answers[0].status_code == 500
    assert "secret" not in answers[0].text
    for method, path in (
        ("GET", "/"),
        ("GET", "/favicon.ico"),
        ("OPTIONS", ROOT),
        ("TRACE", ROOT),
        ("GET", f"{ROOT}/%2e%2e/%2fetc"),
        ("GET", f"{ROOT}/" + "x" * 5_000),
        ("GET", f"{ROOT}/%00"),
        ("POST", "/livez"),
    ):
        answers.append(await server.client.request(method, path))
    for each in answers:
        assert each.status_code >= 400
        body = each.json()
        assert list(body) == ["type", "error", "request_id"]
        assert body["request_id"] == each.headers["request-id"]
        assert len(each.content) < 1_000


async def test_30_a_head_has_the_headers_and_no_body(server: Server) -> None:
    batch_id = await server.ended()
    for path in (f"{ROOT}/{batch_id}", ROOT, f"{ROOT}/{batch_id}/results", "/livez", "/docs"):
        got, head = await server.client.get(path), await server.client.head(path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]
        assert head.headers["content-type"] == got.headers["content-type"]


async def test_32_expiry_counts_from_creation_whatever_happens(
    server: Server, tmp_path: Path
) -> None:
    batch_id = await server.create()
    first = (await server.client.get(f"{ROOT}/{batch_id}")).json()
    server.clock.jump(5 * 3600)
    restarted = open_store(tmp_path / "data", server.clock)
    async with server.other(store=restarted) as client:
        again = (await client.get(f"{ROOT}/{batch_id}")).json()
    await restarted.close()
    assert again == first
    assert first["created_at"][:19] == "2025-10-09T08:53:20"
    assert first["expires_at"][:19] == "2025-10-10T08:53:20"


async def test_33_cancel_waits_for_nothing_and_undoes_nothing(server: Server) -> None:
    batch_id = await server.create(3)
    await settle(server.store, batch_id, count=1)
    canceling = (await server.client.post(f"{ROOT}/{batch_id}/cancel")).json()
    assert canceling["processing_status"] == "canceling"
    assert canceling["request_counts"]["succeeded"] == 1
    await settle(server.store, batch_id, choose=lambda _: "canceled")
    ended = (await server.client.get(f"{ROOT}/{batch_id}")).json()
    assert ended["request_counts"]["succeeded"] == 1
    assert ended["request_counts"]["canceled"] == 2
    assert ended["cancel_initiated_at"] == canceling["cancel_initiated_at"]
    server.clock.jump(9)
    assert (await server.client.post(f"{ROOT}/{batch_id}/cancel")).json() == ended


async def test_34_only_ended_batches_are_deleted_and_for_good(server: Server) -> None:
    open_, ended = await server.create(), await server.ended()
    assert (await server.client.delete(f"{ROOT}/{open_}")).status_code == 400
    assert (await server.client.get(f"{ROOT}/{open_}")).status_code == 200
    gone = await server.client.delete(f"{ROOT}/{ended}")
    assert (gone.status_code, gone.json()["type"]) == (200, "message_batch_deleted")
    assert (await server.client.delete(f"{ROOT}/{ended}")).status_code == 404
    assert [b["id"] for b in (await server.client.get(ROOT)).json()["data"]] == [open_]


async def test_35_another_workspaces_batch_does_not_exist(server: Server) -> None:
    mine = {"x-api-key": server.store.keys.create("a", "wrkspc_a")[1]}
    theirs = {"x-api-key": server.store.keys.create("b", "wrkspc_b")[1]}
    batch_id = (await server.client.post(ROOT, json=requests(), headers=mine)).json()["id"]
    unknown = await server.client.get(f"{ROOT}/{batch_id}", headers=theirs)
    assert unknown.status_code == 404
    cursor = await server.client.get(f"{ROOT}?after_id={batch_id}", headers=theirs)
    assert cursor.status_code == 404
    wrong = {**mine, "anthropic-workspace-id": "wrkspc_b"}
    assert (await server.client.get(f"{ROOT}/{batch_id}", headers=wrong)).status_code == 403


def test_no_refusal_has_a_status_that_makes_clients_hammer() -> None:
    """409 is retried by every SDK, though nothing will change."""

    def tree(kind: type[Refused]) -> list[type[Refused]]:
        return [kind, *(each for below in kind.__subclasses__() for each in tree(below))]

    statuses = {kind.status for kind in tree(Refused)}
    assert statuses <= {400, 401, 403, 404, 405, 413, 416, 429, 503, 529}
