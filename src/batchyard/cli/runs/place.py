"""Where rows go: a server that is there, or one that lives as long as the verb does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchyard.cli import session
from batchyard.cli.runs.interrupts import Stops
from batchyard.cli.runs.options.asked import Where
from batchyard.client import Client
from batchyard.client.readiness import EngineState, Readiness
from batchyard.errors import AuthenticationFailed, BadPrompt, PermissionDenied, ServerUnreachable

if TYPE_CHECKING:
    from batchyard.pipeline.embedded import EmbeddedServer

FOLDER = "server"

ENGINES_SECONDS, _LOOK_SECONDS = 5.0, 0.1
"""How long the first words of a new server's engines are waited for, and how often looked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server at hand: `readiness` is None for one of another make, `own` one of this verb's."""

    client: Client
    readiness: Readiness | None
    stops: Stops
    own: EmbeddedServer | None = None

    @property
    def engines(self) -> list[EngineState] | None:
        """How its engines are; None where it does not tell."""
        return None if self.readiness is None else self.readiness.engines

    def model(self, wanted: str | None) -> str:
        """The model to ask: the one that is wanted, else the only one there is.

        Raises `BadPrompt` where there is a choice, or nobody says what is served.
        """
        if wanted is not None:
            return wanted
        served = sorted({model for engine in self.engines or () for model in engine.models})
        if len(served) == 1:
            return served[0]
        found = f"served here: {', '.join(served)}" if served else "the server does not say which"
        raise BadPrompt(
            f"no model was named, and there is not just one ({found}); nothing was sent",
            fix=f"--model {served[0] if served else 'NAME'}",
        )


@asynccontextmanager
async def place(where: Where, run_folder: Path, stops: Stops) -> AsyncIterator[Place]:
    """The server for the rows of the run in `run_folder`, reached, for the length of the context.

    Raises `ServerUnreachable`, and what the server says to a wrong key.
    """
    if not where.engines:
        assert where.server is not None
        async with Client(where.server, key=session.api_key()) as client:
            yield Place(client, await _reached(client), stops)
        return
    from batchyard.pipeline.embedded import EmbeddedServer

    async with (
        EmbeddedServer(run_folder / FOLDER, where.engines) as own,
        Client(own.url) as client,
    ):
        readiness = await _heard_of(client)
        _refuse_silent(readiness)
        stops.quit = own.kill
        yield Place(client, readiness, stops, own)


def _refuse_silent(readiness: Readiness | None) -> None:
    """Raise `ServerUnreachable` where none of the engines behind addresses answers.

    Later on a silent engine is waited for; at the start it more often is a wrong address.
    """
    engines = readiness.engines if readiness else []
    silent = [one for one in engines if one.url and one.reason and one.state != "up"]
    if engines and len(silent) == len(engines):
        reasons = "; ".join(one.reason for one in silent)
        raise ServerUnreachable(
            f"no engine answers: {reasons}; nothing was sent",
            fix="start it, or name another with --engine",
        )


async def _heard_of(client: Client) -> Readiness | None:
    """How a server is that has just started: it accepts work before its engines have spoken."""
    readiness = await client.readiness()
    for _ in range(round(ENGINES_SECONDS / _LOOK_SECONDS)):
        engines = readiness.engines if readiness else []
        if readiness is None or (engines and all(one.state != "starting" for one in engines)):
            break
        await client.clock.sleep(_LOOK_SECONDS)
        readiness = await client.readiness()
    return readiness


async def _reached(client: Client) -> Readiness | None:
    """How the server is; None for one of another make, whose key the first call tries."""
    try:
        return await client.readiness()
    except (AuthenticationFailed, PermissionDenied) as error:
        error.message += "; nothing was sent"
        error.fix = error.fix or session.about_keys()
        raise
