"""Where results can be read: always on the origin that the client already uses."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from tests.api.asgi import exchange
from tests.api.conftest import Server, client_of

PATH = "/v1/messages/batches/{id}/results"


async def results_url(server: Server, headers: dict[str, str], **changes: Any) -> str:
    address = changes.pop("address", "127.0.0.1")
    batch_id = await server.ended()
    async with client_of(server.app(**changes), address) as client:
        answer = await client.get(f"/v1/messages/batches/{batch_id}", headers=headers)
    url: str = answer.json()["results_url"]
    assert url.endswith(PATH.format(id=batch_id))
    return url.removesuffix(PATH.format(id=batch_id))


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({}, "http://batches.test:8484"),
        ({"host": "localhost:8484"}, "http://localhost:8484"),
        ({"host": "[::1]:8484"}, "http://[::1]:8484"),
        ({"host": "192.168.1.5"}, "http://192.168.1.5"),
        ({"x-forwarded-proto": "https"}, "https://batches.test:8484"),
        (
            {"x-forwarded-proto": "https", "x-forwarded-host": "api.example.com"},
            "https://api.example.com",
        ),
        (
            {
                "x-forwarded-proto": "https, http",
                "x-forwarded-host": "outer.example.com, inner:8080",
                "x-forwarded-prefix": "/batches/",
            },
            "https://outer.example.com/batches",
        ),
        ({"x-forwarded-prefix": "/a/b-c"}, "http://batches.test:8484/a/b-c"),
        # What an SDK would stumble over, or a stranger could turn against its reader.
        ({"x-forwarded-prefix": "/a/../b"}, "http://batches.test:8484"),
        ({"x-forwarded-prefix": "/{x}"}, "http://batches.test:8484"),
        ({"x-forwarded-prefix": "/;x"}, "http://batches.test:8484"),
        ({"x-forwarded-proto": "javascript"}, "http://batches.test:8484"),
        ({"x-forwarded-host": "evil.example/path?"}, "http://batches.test:8484"),
        ({"x-forwarded-host": "user@evil.example"}, "http://batches.test:8484"),
    ],
)
async def test_the_origin_is_that_of_the_request(
    server: Server, headers: dict[str, str], origin: str
) -> None:
    assert await results_url(server, headers) == origin


async def test_a_public_url_stands_over_everything(server: Server) -> None:
    headers = {"x-forwarded-host": "other.example.com"}
    url = await results_url(server, headers, public_url="https://b.example.com/x")
    assert url == "https://b.example.com/x"


async def test_strangers_are_not_believed_about_forwarding(server: Server) -> None:
    headers = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    own = "http://batches.test:8484"
    assert await results_url(server, headers, address="203.0.113.9") == own
    assert await results_url(server, headers, address="10.1.2.3") == "https://evil.example"
    assert await results_url(server, headers, address="10.1.2.3", trusted_proxies=()) == own
    trusted = (ip_network("203.0.113.0/24"),)
    url = await results_url(server, headers, address="203.0.113.9", trusted_proxies=trusted)
    assert url == "https://evil.example"


@pytest.mark.parametrize("host", [None, "", "a b", "a/b", "{x}", "x" * 300])
async def test_without_a_usable_host_our_own_address_serves(
    server: Server, host: str | None
) -> None:
    batch_id = await server.ended()
    headers = [] if host is None else [("host", host)]
    done = await exchange(server.app(), "GET", f"/v1/messages/batches/{batch_id}", headers=headers)
    assert done.status == 200
    assert f'"http://127.0.0.1:8484{PATH.format(id=batch_id)}"'.encode() in done.body


async def test_over_tls_and_under_a_root_path(server: Server) -> None:
    batch_id = await server.ended()
    done = await exchange(
        server.app(),
        "GET",
        f"/under/v1/messages/batches/{batch_id}",
        headers=[("host", "b.example.com")],
        scheme="https",
        root_path="/under",
    )
    assert f'"https://b.example.com/under{PATH.format(id=batch_id)}"'.encode() in done.body


async def test_the_page_of_a_list_names_the_origin_too(server: Server) -> None:
    await server.ended()
    page = await server.client.get("/v1/messages/batches", headers={"host": "one.example"})
    assert page.json()["data"][0]["results_url"].startswith("http://one.example/v1/")
