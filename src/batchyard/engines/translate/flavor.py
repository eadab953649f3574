"""What the engines that speak Chat Completions make of the same request: one row per engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from batchyard.clock import CALENDAR_ENDS, SECOND
from batchyard.engine import TOKENS_MAX, Model

Counting = Literal["input_tokens", "tokenize", "none"]


@dataclass(frozen=True, slots=True)
class Flavor:
    """One engine's habits. The defaults are those of an engine we have never met.

    `tokens_field` names the output limit. `top_k`, `images` and `prefill` (a trailing assistant
    turn) say whether those can be asked for at all; `continues` are the fields that make such a
    turn be continued, `repeats_prefill` that the answer then begins with the turn's own text.
    `thinking_switch`: `chat_template_kwargs.enable_thinking` turns reasoning on and off.
    `effort_none`: `reasoning_effort` "none" does. `thinking_budget`: `thinking_budget_tokens`
    limits it. `names_tool` is false where `tool_choice` takes words only. `pdf` is true where the
    engine reads PDF files itself. `counting` is how it counts the tokens of a prompt.
    """

    name: str
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    top_k: bool = True
    images: bool = True
    prefill: bool = True
    continues: Mapping[str, bool] | None = None
    repeats_prefill: bool = False
    thinking_switch: bool = False
    effort_none: bool = False
    thinking_budget: bool = False
    names_tool: bool = True
    pdf: bool = False
    counting: Counting = "none"


_CONTINUES = {"continue_final_message": True, "add_generation_prompt": False}

GENERIC = Flavor("generic")
VLLM = Flavor("vllm", continues=_CONTINUES, thinking_switch=True, counting="tokenize")
SGLANG = Flavor("sglang", continues={"continue_final_message": True}, thinking_switch=True)
LLAMA = Flavor(
    "llama.cpp",
    repeats_prefill=True,
    thinking_switch=True,
    thinking_budget=True,
    names_tool=False,
    counting="input_tokens",
)
OLLAMA = Flavor("ollama", effort_none=True)
OPENAI = Flavor(
    "openai", tokens_field="max_completion_tokens", top_k=False, prefill=False, pdf=True
)

FLAVORS: Mapping[str, Flavor] = {
    flavor.name: flavor for flavor in (GENERIC, VLLM, SGLANG, LLAMA, OLLAMA, OPENAI)
}

OWNERS: Mapping[str, Flavor] = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llamacpp": LLAMA,
    "library": OLLAMA,
    "openai": OPENAI,
    "openai-internal": OPENAI,
    "system": OPENAI,
}
"""`owned_by` of `/v1/models`, by which an engine is known."""


def flavor_of(owned_by: str | None) -> Flavor:
    """The flavor of an engine whose model list says `owned_by`; `GENERIC` for a new one."""
    return OWNERS.get(owned_by or "", GENERIC)


# -- the model list --------------------------------------------------------------------------------


class _Meta(msgspec.Struct):
    n_ctx: int | None = None
    n_ctx_train: int | None = None


class _Architecture(msgspec.Struct):
    input_modalities: list[str] | None = None


class _Listed(msgspec.Struct):
    id: str
    created: float | None = None
    owned_by: str | None = None
    max_model_len: int | None = None
    meta: _Meta | None = None
    architecture: _Architecture | None = None


class _List(msgspec.Struct):
    data: list[_Listed] | None


_list = msgspec.json.Decoder(_List)


def models_of(body: bytes) -> dict[str, tuple[Model, Flavor]]:
    """The models of a `/v1/models` answer by name, each with the flavor of the engine behind it.

    vLLM and SGLang tell `max_model_len`, llama.cpp the context of a slot and what a model can see.
    Raises `ValueError` when it is no such list.
    """
    try:
        listed = _list.decode(body).data or []
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not a list of models: {error}") from error
    return {entry.id: (_model(entry), _flavor(entry)) for entry in listed}


def _model(entry: _Listed) -> Model:
    meta = entry.meta or _Meta()
    told = (entry.max_model_len, meta.n_ctx, meta.n_ctx_train)
    context = next((count for count in told if count and 0 < count <= TOKENS_MAX), None)
    created = entry.created or 0  # some servers count milliseconds, which leads beyond the calendar
    moment = int(created * SECOND) if 0 < created < CALENDAR_ENDS else 0
    return Model(entry.id, max_input_tokens=context, max_tokens=context, created_at=moment)


def _flavor(entry: _Listed) -> Flavor:
    flavor = flavor_of(entry.owned_by)
    seen = entry.architecture.input_modalities if entry.architecture else None
    if seen is not None and "image" not in seen:
        return replace(flavor, images=False)
    return flavor
