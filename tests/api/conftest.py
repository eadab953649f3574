"""A server without a socket: the ASGI application over a real store in a temporary folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from batchyard.api.context import ApiContext, Live
from batchyard.api.routes import create_app
from batchyard.clock import ManualClock
from batchyard.routing import Routing
from batchyard.store.store import Store, open_store
from tests.api.ending import Choose, settle

BASE = "http://batches.test:8484"


def requests(count: int = 2, **params: Any) -> dict[str, Any]:
    """A create body of `count` requests `r-0`, `r-1`, ..."""
    asked = {
        "model": "tiny",
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "Hi"}],
        **params,
    }
    return {"requests": [{"custom_id": f"r-{i}", "params": asked} for i in range(count)]}


@dataclass
class Server:
    """The application, a client of it, and what lies behind."""

    context: ApiContext
    client: httpx2.AsyncClient
    told: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.context.clock, ManualClock)
        return self.context.clock

    def app(self, **changes: Any) -> ASGIApp:
        """The application with other settings over the same store."""
        return create_app(replace(self.context, **changes))

    def other(self, **changes: Any) -> httpx2.AsyncClient:
        """A client of `app(**changes)`."""
        return client_of(self.app(**changes))

    async def create(self, count: int = 2) -> str:
        """A new batch, by the API; its id."""
        answer = await self.client.post("/v1/messages/batches", json=requests(count))
        assert answer.status_code == 200, answer.text
        batch_id: str = answer.json()["id"]
        return batch_id

    async def ended(self, count: int = 2, *, choose: Choose = lambda _: "succeeded") -> str:
        """A new batch that has ended; its id."""
        batch_id = await self.create(count)
        await settle(self.store, batch_id, choose=choose)
        return batch_id


def client_of(app: ASGIApp, address: str = "127.0.0.1") -> httpx2.AsyncClient:
    """A client whose requests come from `address`."""
    transport = httpx2.ASGITransport(app=app, client=(address, 50_000))
    return httpx2.AsyncClient(transport=transport, base_url=BASE)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    clock = ManualClock()
    store = open_store(tmp_path / "data", clock)
    told: list[str] = []
    context = ApiContext(
        store=store,
        live=Live({}, Routing([])),
        clock=clock,
        keys=store.keys,
        notify=told.append,
        data_dir=tmp_path,
        version="9.9.9",
    )
    async with client_of(create_app(context)) as client:
        yield Server(context, client, told)
    await store.close()
