"""A first look at the engines: which of them answer, in which dialect, with which models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchyard.config import Settings
from batchyard.engine import Engine
from batchyard.errors import ConfigurationError, EngineError
from batchyard.server.banner import Found
from batchyard.server.engines import decided, engine
from batchyard.server.specs import EngineSpec

LOOK_SECONDS = 3.0
"""How long one engine may take; one that has not answered by then is asked again later."""

_ASKED = {"messages": "Messages API", "chat": "Chat Completions", "anthropic": "the hosted API"}


@dataclass(frozen=True, slots=True)
class Survey:
    """The specs as far as they could be decided, and what the banner shows: those come first."""

    specs: tuple[EngineSpec, ...]
    engines: tuple[Found, ...]

    def with_models(self, told: Mapping[str, Sequence[str]]) -> Survey:
        """This survey with what engines inside the dispatch process said of their models."""
        filled = [
            replace(found, models=tuple(told[spec.name])) if spec.name in told else found
            for spec, found in zip(self.specs, self.engines, strict=False)
        ]
        return replace(self, engines=(*filled, *self.engines[len(filled) :]))


async def survey(specs: Sequence[EngineSpec], settings: Settings) -> Survey:
    """Look at every engine at once. Without specs the usual ports of this machine are tried.

    Raises `ConfigurationError` when nothing was asked for and nothing was found.
    """
    if not specs:
        return await _look_around()
    looks = await asyncio.gather(*(_look(spec, settings) for spec in specs))
    return Survey(tuple(spec for spec, _ in looks), tuple(found for _, found in looks))


async def _look(spec: EngineSpec, settings: Settings) -> tuple[EngineSpec, Found]:
    if spec.kind == "llama":
        return spec, Found(True, spec.name, spec.target, None, "inside this server")
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            if spec.kind == "detect":
                spec = replace(spec, kind=await decided(spec))
            models = await _models(engine(spec, settings))
    except EngineError as error:
        return spec, Found(False, spec.name, spec.url, None, f"{error.message}; work waits for it")
    except TimeoutError:
        note = f"no answer in {LOOK_SECONDS:g} s; work waits for it"
        return spec, Found(False, spec.name, spec.url, None, note)
    return spec, Found(True, spec.name, spec.url, models, _ASKED.get(spec.kind, "made-up answers"))


async def _models(made: Engine) -> tuple[str, ...]:
    try:
        return tuple(model.id for model in await made.models())
    finally:
        await made.close()


async def _look_around() -> Survey:
    raise ConfigurationError("no engine was found", fix="batchyard serve --engine URL")
