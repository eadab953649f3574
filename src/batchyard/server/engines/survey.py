"""A first look at the engines: which of them answer, in which dialect, with which models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from batchyard.config import Settings
from batchyard.engines.probe import Detected, Look
from batchyard.errors import ConfigurationError, EngineError, Unavailable
from batchyard.server.banner import Found
from batchyard.server.engines import building
from batchyard.server.engines.specs import EngineSpec

LOOK_SECONDS = 5.0
"""How long one engine may take; one that has not answered by then is asked again later."""

_ASKED = {"messages": "/v1/messages", "chat": "through /v1/chat/completions"}


@dataclass(frozen=True, slots=True)
class Survey:
    """The specs, as far as they could be decided, and what the banner shows.

    `found` begins with one for each spec, in the same order; places where nothing was follow.
    """

    specs: tuple[EngineSpec, ...]
    found: tuple[Found, ...]

    def with_models(self, told: Mapping[str, Sequence[str]]) -> Survey:
        """This survey with what engines inside the dispatch process said of their models."""
        filled = [
            replace(found, models=tuple(told[spec.name])) if spec.name in told else found
            for spec, found in zip(self.specs, self.found, strict=False)
        ]
        return replace(self, found=(*filled, *self.found[len(filled) :]))


async def survey(specs: Sequence[EngineSpec], settings: Settings) -> Survey:
    """Look at every engine at once. Without specs the usual ports of this machine are tried.

    Raises `ConfigurationError` for an engine that can never be, and when nothing was asked for and
    nothing was found.
    """
    if not specs:
        return _around(await building.nearby())
    looks = await asyncio.gather(*(_look(spec, settings) for spec in specs))
    return Survey(tuple(spec for spec, _ in looks), tuple(found for _, found in looks))


async def _look(spec: EngineSpec, settings: Settings) -> tuple[EngineSpec, Found]:
    if spec.inside:
        await building.engine(spec, settings).close()  # what can never be is told before the start
        made_up = spec.kind == "simulator"
        note = "made-up answers" if made_up else "inside this server"
        return spec, Found(True, spec.name, spec.target, None, note)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            detected = await building.detected(spec)
    except Unavailable as error:
        return spec, Found(False, spec.name, spec.url, None, f"{error.message}; work waits for it")
    except EngineError as error:
        return spec, Found(False, spec.name, spec.url, None, f"{error.message}; paused")
    except TimeoutError:
        note = f"no answer in {LOOK_SECONDS:g} s; work waits for it"
        return spec, Found(False, spec.name, spec.url, None, note)
    return _as_spec(spec, detected), _as_found(spec, detected)


def _around(looks: Sequence[Look]) -> Survey:
    """The engines that were found without having been named."""
    specs, up, down = [], [], []
    for look in looks:
        if look.detected is None:
            down.append(Found(False, look.label, look.url, None, look.reason))
            continue
        spec = _as_spec(EngineSpec("detect", look.label, url=look.url), look.detected)
        specs.append(spec)
        up.append(_as_found(spec, look.detected))
    if not specs:
        tried = "\n".join(f"{place.url:24} {place.label:10} {place.note}" for place in down)
        raise ConfigurationError(
            f"no engine was found on this machine; nothing was started. Tried:\n{tried}",
            fix="batchyard serve --engine http://HOST:PORT     (an engine somewhere else)\n"
            "batchyard serve --engine simulator            (made-up answers, no model needed)",
        )
    return Survey(tuple(specs), (*up, *down))


def _as_spec(spec: EngineSpec, detected: Detected) -> EngineSpec:
    kind = detected.dialect if spec.kind == "detect" else spec.kind
    return replace(spec, kind=kind, slots=detected.slots)


def _as_found(spec: EngineSpec, detected: Detected) -> Found:
    software = f"{detected.software} {detected.version}".strip()
    named = spec.name not in (detected.software, spec.url.partition("://")[2].lower())
    label = f"{spec.name} ({software})" if software and named else software or spec.name
    context = f"{detected.context // 1024}k ctx   " if detected.context else ""
    asked = "hosted" if spec.kind == "anthropic" else _ASKED[detected.dialect]
    models = tuple(model.id for model in detected.models)
    return Found(True, label, spec.url, models, context + asked)
