"""Who may come in: both headers, one workspace, the same words for every wrong key."""

from __future__ import annotations

import pytest

from tests.api.conftest import Server, requests

ROOT = "/v1/messages/batches"


def new_key(server: Server, workspace: str = "wrkspc_default") -> str:
    """The secret of a new key."""
    assert server.context.keys is not None
    return server.context.keys.create("test", workspace)[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "KEY"},
        {"X-Api-Key": " KEY "},
        {"authorization": "Bearer KEY"},
        {"authorization": "bearer KEY"},
        {"authorization": "BEARER   KEY"},
        {"x-api-key": "KEY", "authorization": "Bearer another"},
        {"x-api-key": "another", "authorization": "Bearer KEY"},
        {"x-api-key": "KEY", "authorization": "Basic dTpw"},
    ],
)
async def test_either_header_opens(server: Server, headers: dict[str, str]) -> None:
    key = new_key(server)
    sent = {name: value.replace("KEY", key) for name, value in headers.items()}
    assert (await server.client.get(ROOT, headers=sent)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "sk-unknown"},
        {"x-api-key": "KEYx"},
        {"x-api-key": ""},
        {"x-api-key": "ключ".encode().decode("latin-1")},
        {"x-api-key": "a" * 10_000},
        {"authorization": "Basic KEY"},
        {"authorization": "KEY"},
        {"authorization": "Bearer"},
    ],
)
async def test_every_wrong_key_is_told_the_same(server: Server, headers: dict[str, str]) -> None:
    key = new_key(server)
    sent = {name: value.replace("KEY", key).encode("latin-1") for name, value in headers.items()}
    answer = await server.client.get(ROOT, headers=sent)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.json()["error"]["message"] == "API key is invalid."
    assert "anthropic-workspace-id" not in answer.headers
    assert "anthropic-organization-id" not in answer.headers


async def test_a_revoked_key_is_out_within_a_second(server: Server) -> None:
    key = new_key(server)
    keys = server.context.keys
    assert keys is not None
    headers = {"x-api-key": key}
    assert (await server.client.get(ROOT, headers=headers)).status_code == 200
    keys.revoke(keys.list()[0].id)
    await server.clock.advance(1)
    answer = await server.client.get(ROOT, headers=headers)
    assert answer.json()["error"]["message"] == "API key is invalid."


async def test_without_any_key_the_server_is_open_until_the_first_is_made(server: Server) -> None:
    assert (await server.client.get(ROOT)).status_code == 200
    new_key(server)
    await server.clock.advance(1)
    locked = await server.client.get(ROOT)
    assert locked.status_code == 401
    assert "x-api-key" in locked.json()["error"]["message"]


async def test_where_keys_are_required_none_opens_nothing(server: Server) -> None:
    async with server.other(auth_required=True) as client:
        for method, path in (
            ("GET", ROOT),
            ("POST", ROOT),
            ("GET", f"{ROOT}/x"),
            ("DELETE", f"{ROOT}/x"),
            ("POST", f"{ROOT}/x/cancel"),
            ("GET", f"{ROOT}/x/results"),
            ("POST", "/v1/messages"),
            ("POST", "/v1/messages/count_tokens"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/x"),
            ("PUT", ROOT),
            ("GET", "/readyz?verbose"),
        ):
            assert (await client.request(method, path)).status_code == 401, (method, path)
        for path in ("/livez", "/readyz", "/health", "/docs", "/docs/errors", "/openapi.json"):
            assert (await client.get(path)).status_code == 200, path


async def test_a_workspace_sees_only_its_own(server: Server) -> None:
    ours, theirs = new_key(server, "wrkspc_a"), new_key(server, "wrkspc_b")
    mine, other = {"x-api-key": ours}, {"x-api-key": theirs}
    made = await server.client.post(ROOT, json=requests(), headers=mine)
    assert made.headers["anthropic-workspace-id"] == "wrkspc_a"
    batch_id = made.json()["id"]
    for method, path in (
        ("GET", f"{ROOT}/{batch_id}"),
        ("GET", f"{ROOT}/{batch_id}/results"),
        ("POST", f"{ROOT}/{batch_id}/cancel"),
        ("DELETE", f"{ROOT}/{batch_id}"),
    ):
        answer = await server.client.request(method, path, headers=other)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == f"Message Batch {batch_id} not found."
    assert (await server.client.get(ROOT, headers=other)).json()["data"] == []
    assert len((await server.client.get(ROOT, headers=mine)).json()["data"]) == 1


async def test_the_workspace_asked_for_must_be_that_of_the_key(server: Server) -> None:
    key = new_key(server, "wrkspc_a")
    wanted = {"x-api-key": key, "anthropic-workspace-id": "wrkspc_a"}
    assert (await server.client.get(ROOT, headers=wanted)).status_code == 200
    wanted["anthropic-workspace-id"] = "wrkspc_b"
    answer = await server.client.get(ROOT, headers=wanted)
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "permission_error"
    assert answer.json()["error"]["details"]["error_code"] == "workspace_mismatch"


async def test_a_web_page_cannot_write_where_no_key_is_asked_for(server: Server) -> None:
    """A browser would send this POST without asking first; it must not start work."""
    evil = {"origin": "https://evil.example", "content-type": "text/plain"}
    answer = await server.client.post(ROOT, json=requests(), headers=evil)
    assert answer.status_code == 403
    assert await server.store.unfinished() == []
    own = {"origin": "http://batches.test:8484"}
    assert (await server.client.post(ROOT, json=requests(), headers=own)).status_code == 200


async def test_browsers_are_let_in_only_by_name(server: Server) -> None:
    asked = {
        "origin": "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    refused = await server.client.options(ROOT, headers=asked)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    async with server.other(cors_origins=("https://app.example",)) as client:
        allowed = await client.options(ROOT, headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        made = await client.post(ROOT, json=requests(), headers={"origin": "https://app.example"})
        assert made.status_code == 200
        assert "request-id" in made.headers["access-control-expose-headers"]
