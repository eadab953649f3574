"""The other server: batches, their siblings, and the switches that tests turn."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.pipeline.another_server.api import Api
from tests.pipeline.another_server.batch import Batch, Shelf
from tests.pipeline.another_server.bell import Bell
from tests.pipeline.another_server.connection import Answer, Call, converse
from tests.pipeline.another_server.errors import Refusal
from tests.pipeline.another_server.faults import Faults
from tests.pipeline.another_server.ledger import NAME, Ledger
from tests.pipeline.another_server.work import Work

MODELS = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-5-5")
CONTROL = "/control/"
HEAD_BYTES_MAX = 1 << 16


class AnotherServer:
    """A server on loopback, an async context manager. `state` is the folder it remembers in;
    another one on the same folder goes on where it was killed.

    Without `keys` any key is taken, but one there must be.
    """

    def __init__(
        self,
        state: Path,
        *,
        port: int = 0,
        faults: Faults | None = None,
        keys: Sequence[str] = (),
        models: Sequence[str] = MODELS,
        live: bool = False,
        count_tokens: bool = False,
    ) -> None:
        self.faults = faults or Faults()
        self.models = tuple(models)
        self.keys = tuple(keys)
        self.live = live
        self.count_tokens = count_tokens
        self.ledger_path = state / NAME
        self.shelf = Shelf(state)
        self.ledger = Ledger(state)
        self.batches = {batch.id: batch for batch in self.shelf.load()}
        self.bell = Bell()
        self._ahead = 0.0
        self._address = ("127.0.0.1", port)
        self._held: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._api = Api(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    def now(self) -> float:
        """Seconds since 1970, and what `advance` has added."""
        return time.time() + self._ahead

    async def __aenter__(self) -> Self:
        # A second socket keeps the port while nobody listens on it.
        self._held = _bound(self._address)
        self._address = self._held.getsockname()
        await self.come_back()
        for batch in self.batches.values():
            if batch.ended_at is None and not batch.deleted:
                self.start(batch)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.go_away()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._held is not None
        self._held.close()
        self.ledger.close()

    async def go_away(self) -> None:
        """Refuse connections and break those there are; work goes on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def come_back(self) -> None:
        """Listen, on the same port as ever."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._met, sock=_bound(self._address), limit=HEAD_BYTES_MAX, backlog=1024
            )

    def advance(self, seconds: float) -> None:
        """Have the server believe that so much more time has gone by."""
        self._ahead += seconds
        self.bell.ring()

    def turn(self, **faults: Any) -> None:
        """Turn switches of `Faults`; what waits for them goes on."""
        names = {one.name for one in dataclasses.fields(Faults)}
        assert faults.keys() <= names, faults
        for name, value in faults.items():
            setattr(self.faults, name, value)
        self.bell.ring()

    def start(self, batch: Batch) -> None:
        """Set a batch in motion."""
        work = Work(batch, self.shelf, self.faults, self.models, self.now, self.bell)
        self._keep(asyncio.create_task(work.run()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await converse(reader, writer, self._answer)
        finally:
            self._writers.discard(writer)

    async def _answer(self, call: Call) -> Answer | None:
        request_id = f"req_01{secrets.token_hex(11)}"
        if call.path.startswith(CONTROL):
            return self._controlled(call)
        try:
            answer = self._api.answer(call)
        except Refusal as error:
            headers = {"content-type": "application/json", **error.headers}
            answer = Answer(error.status, error.body(request_id), headers)
        if answer is not None:
            answer.headers["request-id"] = request_id
        return answer

    def _controlled(self, call: Call) -> Answer:
        """`POST /control/faults {…}`, `advance {"seconds": …}` and `away {"seconds": …}`."""
        told = json.loads(call.body or b"{}")
        what = call.path.removeprefix(CONTROL)
        if what == "faults":
            self.turn(**told)
        elif what == "advance":
            self.advance(told["seconds"])
        else:
            assert what == "away", what
            self._keep(asyncio.create_task(self._be_away(told["seconds"])))
        return Answer(200, json.dumps(dataclasses.asdict(self.faults)).encode())

    async def _be_away(self, seconds: float) -> None:
        await asyncio.sleep(0)  # the call that asked for it is answered first
        await self.go_away()
        await self.bell.sleep(seconds)
        await self.come_back()


def _bound(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)
    return bound
