"""Finding out what answers at a URL: its dialect, its software, its models, without one token made.

A dialect is known by a refusal: an empty object is no request anywhere, and how a server refuses it
tells whether the path exists. Endpoints and shapes are those seen on the wire of each engine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from batchyard.engine import Model
from batchyard.engines.anthropic import listed_models
from batchyard.engines.failures import classify, read
from batchyard.engines.http import Answer, HttpClient
from batchyard.errors import EngineError, Misconfigured, Unavailable

Dialect = Literal["messages", "chat"]

PATHS: Mapping[Dialect, str] = {"messages": "/v1/messages", "chat": "/v1/chat/completions"}
LOOPBACK: Mapping[int, str] = {8000: "vllm", 30000: "sglang", 8080: "llama.cpp", 11434: "ollama"}
"""The default ports of the engines people run, and what usually listens there."""

PROBE_SECONDS = 5.0
LOOPBACK_SECONDS = 1.0
_HOSTED = "https://api.anthropic.com"
_OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama.cpp",
    "library": "ollama",
    "nvidia": "dynamo",
}


@dataclass(frozen=True, slots=True)
class Detected:
    """What answers at `url`. Empty strings, an empty tuple and None where it does not tell.

    `context` is the most input tokens of its (first) model, `slots` how many requests it runs at
    once.
    """

    url: str
    dialect: Dialect
    software: str = ""
    version: str = ""
    models: tuple[Model, ...] = ()
    context: int | None = None
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One place that was looked at: what was found, or in plain words why nothing was."""

    label: str
    url: str
    detected: Detected | None
    reason: str = ""


async def detect(
    url: str,
    *,
    api_key: str | None = None,
    dialect: Dialect | None = None,
    seconds: float = PROBE_SECONDS,
) -> Detected:
    """What answers at `url`, asked in the Messages API first; `dialect` leaves no choice.

    `seconds` bounds each question. Raises `Unavailable` when nothing answers, `Misconfigured` when
    the key is refused or neither dialect is spoken there (saying what was tried).
    """
    client = HttpClient(url, total_seconds=seconds, connect_seconds=seconds)
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    if api_key:
        headers |= {"x-api-key": api_key, "authorization": f"Bearer {api_key}"}
        if client.base_url == _HOSTED:
            del headers["authorization"]
    async with client:
        spoken = await _dialect(client, headers, [dialect] if dialect else list(PATHS))
        listed = await _get(client, headers, "/v1/models")
        models = listed_models(listed.body) if listed and listed.status == 200 else []
        if client.base_url == _HOSTED:
            return Detected(client.base_url, spoken, "anthropic", "", tuple(models))
        software, version, props = await _software(client, headers, listed)
    context = next((model.max_input_tokens for model in models if model.max_input_tokens), None)
    slots = props.get("total_slots")
    return Detected(
        client.base_url,
        spoken,
        software,
        version,
        tuple(models),
        context=context or _whole(props.get("default_generation_settings", {}), "n_ctx"),
        slots=slots if isinstance(slots, int) else None,
    )


async def probe_loopback(
    ports: Mapping[int, str] = LOOPBACK, *, seconds: float = LOOPBACK_SECONDS
) -> list[Look]:
    """Look at the usual ports of this machine, all at once, for at most `seconds` each."""
    return list(await asyncio.gather(*(_look(p, name, seconds) for p, name in ports.items())))


async def _look(port: int, label: str, seconds: float) -> Look:
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(seconds):
            detected = await detect(url, seconds=seconds)
    except TimeoutError:
        return Look(label, url, None, f"no answer in {seconds:g} s")
    except Unavailable as error:
        refused = "refused" in error.message
        return Look(label, url, None, "not running" if refused else error.message)
    except EngineError as error:
        return Look(label, url, None, error.message)
    return Look(detected.software or label, url, detected)


# -- the dialect ----------------------------------------------------------------------------------


async def _dialect(
    client: HttpClient, headers: Mapping[str, str], wanted: Sequence[Dialect]
) -> Dialect:
    tried = []
    for dialect in wanted:
        path = PATHS[dialect]
        answer = await _ask(client, headers, path)
        if answer.status in (401, 403):
            raise classify(answer.status, answer.headers, answer.body)
        if _exists(answer):
            return dialect
        tried.append(f"POST {path} → {answer.status}")
    raise Misconfigured(
        f"{client.base_url} answers, but speaks neither the Messages API nor Chat Completions "
        f"(tried {', '.join(tried)})"
        if len(wanted) > 1
        else f"{client.base_url} answers, but not at {PATHS[wanted[0]]} ({tried[0]})"
    )


async def _ask(client: HttpClient, headers: Mapping[str, str], path: str) -> Answer:
    try:
        return await client.post(path, headers, b"{}")
    except EngineError as error:
        raise Unavailable(error.message) from error


def _exists(answer: Answer) -> bool:
    """Whether a refusal of `{}` comes from an API rather than from a server without that path.

    A 5xx counts when it is about the request (llama.cpp and transformers answer so), not when a
    gateway gives it for want of an engine.
    """
    if answer.status in (404, 405, 501) or 300 <= answer.status < 400:
        return False
    if answer.status in (502, 503, 504):
        raise classify(answer.status, answer.headers, answer.body)
    return not read(answer.body).page


# -- the software ---------------------------------------------------------------------------------


async def _software(
    client: HttpClient, headers: Mapping[str, str], listed: Answer | None
) -> tuple[str, str, dict[str, Any]]:
    """Name and version as far as the server tells, and llama.cpp's own properties."""
    paths = ("/props", "/version", "/api/version", "/get_server_info")
    answers = await asyncio.gather(*(_json(client, headers, path) for path in paths))
    props, version, ollama, sglang = answers
    if "total_slots" in props or _server(listed).startswith("llama.cpp"):
        return "llama.cpp", _build(props), props
    owner = _OWNERS.get(_owner(listed), "")
    if ollama.get("version") and owner in ("", "ollama"):
        return "ollama", str(ollama["version"]), {}
    if sglang.get("version") or owner == "sglang":
        return "sglang", str(sglang.get("version", "")), {}
    if owner:
        return owner, str(version.get("version", "")), {}
    if version.get("version"):
        return "vllm", str(version["version"]), {}
    return _server(listed).partition("/")[0], "", {}


async def _get(client: HttpClient, headers: Mapping[str, str], path: str) -> Answer | None:
    try:
        return await client.get(path, headers)
    except EngineError:
        return None


async def _json(client: HttpClient, headers: Mapping[str, str], path: str) -> dict[str, Any]:
    answer = await _get(client, headers, path)
    if answer is None or answer.status != 200:
        return {}
    return _object(answer.body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _owner(listed: Answer | None) -> str:
    entries = _object(listed.body).get("data") if listed else None
    if not isinstance(entries, list):
        return ""
    owners = [entry.get("owned_by") for entry in entries if isinstance(entry, dict)]
    return next((owner for owner in owners if isinstance(owner, str)), "")


def _server(listed: Answer | None) -> str:
    return listed.headers.get("server", "") if listed else ""


def _build(props: dict[str, Any]) -> str:
    """`b8123-abcdef0` as `b8123`; builds without a number call themselves b0."""
    match = re.match(r"[\w.]+", str(props.get("build_info") or ""))
    return match[0] if match and match[0] != "b0" else ""


def _whole(where: object, name: str) -> int | None:
    value = where.get(name) if isinstance(where, dict) else None
    return value if isinstance(value, int) and value > 0 else None
