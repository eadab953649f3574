"""The `llama:MODEL.gguf` engine: llama.cpp through the `xllamacpp` wheel."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from batchyard import wire
from batchyard.engine import Ask, Forwarded, Model, Operation, Reply
from batchyard.engines.failures import classify
from batchyard.engines.http import HttpClient
from batchyard.engines.llama import stops
from batchyard.engines.llama.options import LlamaOptions
from batchyard.engines.llama.process import LlamaProcess
from batchyard.engines.openai import ChatEngine
from batchyard.errors import ConfigurationError, Spent

INSTALL = "pip install 'batchyard[llama]'"
ANSWER_SECONDS = 3_600.0
"""The longest answer: a CPU is slow, and a child that died is noticed by its closed connections."""

_MAGIC = b"GGUF"


class LlamaEngine:
    """One model in a child process of this one. `path` is a GGUF file, its stem the model's name.

    The model is loaded on the first call; until then, and again after the child was lost, calls
    raise `Unavailable` saying so. Raises `ConfigurationError` at once for a file that is no model,
    and when the wheel is not installed. `slots` is how many requests run at once.
    """

    def __init__(self, path: Path, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        _check_wheel()
        _check_model(path)
        self.name = path.stem
        self.slots = options.slots
        self._process = LlamaProcess(path.absolute(), path.stem, options)
        self._room = asyncio.Semaphore(options.slots)
        self._address = ""
        self._chat: ChatEngine | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def create_message(self, ask: Ask) -> Reply:
        """As `Engine` says. No more at once than there are slots, in the order of the calls.

        What waits here rather than in llama.cpp's own queue cannot time out there, and does not
        stand before a live call, which goes straight to the next free slot.
        """
        async with self._room:
            return await self._create_message(ask)

    async def _create_message(self, ask: Ask) -> Reply:
        chat = await self._running()
        request = await chat.translated(ask)
        if not stops.has_better_door(request):
            return await chat.answered(ask, request)
        answer = await chat.post(stops.PATH, ask, stops.body_of(request))
        if answer.status // 100 != 2:
            raise classify(answer.status, answer.headers, answer.body)
        try:
            return stops.reply_of(answer.body, request.wanted)
        except wire.NotAMessage as error:
            raise Spent(f"{self.name}: {error}", status=answer.status) from error

    async def forward(self, operation: Operation, ask: Ask) -> Forwarded:
        """As `Engine` says."""
        return await (await self._running()).forward(operation, ask)

    async def models(self) -> Sequence[Model]:
        """The one model, with the context of a slot."""
        return await (await self._running()).models()

    async def close(self) -> None:
        """End the child and give back its memory. May be called twice."""
        await self._process.close()
        if self._chat is not None:
            await self._chat.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _running(self) -> ChatEngine:
        """The way to the child as it is now; a new child has a new address."""
        address = await self._process.address()
        if self._chat is None or address != self._address:
            if self._chat is not None:
                await self._chat.close()
            self._address = address
            http = HttpClient(address, total_seconds=ANSWER_SECONDS, idle_seconds=ANSWER_SECONDS)
            self._chat = ChatEngine(address, api_key=self._process.key, http=http, name=self.name)
        return self._chat


def _check_wheel() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigurationError(
            "engine llama: llama.cpp is not installed here (the Python package xllamacpp)",
            fix=INSTALL,
        )


def _check_model(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ConfigurationError(
            f"engine llama: cannot read {path}: {error.strerror or error}"
        ) from error
    if magic != _MAGIC:
        raise ConfigurationError(
            f"engine llama: {path} is not a GGUF model",
            fix="name a .gguf file, as llama.cpp's convert scripts and model hubs have them",
        )
