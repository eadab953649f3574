"""The Chat Completions body we understand, as shapes: a field that is not here is not taken."""

from __future__ import annotations

import re
from typing import Any, Literal, NoReturn

import msgspec


class Untranslatable(Exception):
    """A field that Messages params have no word for: its path, then why."""


def reject(path: str, why: str) -> NoReturn:
    """Refuse the line for what stands at `path` (`body.messages.0.content.1`)."""
    raise Untranslatable(f"{path}: {why}")


class Shape(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Base of the shapes. Fields typed `Any` change nothing in the answer and are left out."""


class Part(Shape, frozen=True, tag_field="type"):
    """Base of what carries its own type."""


class TextPart(Part, frozen=True, tag="text"):
    text: str


class RefusalPart(Part, frozen=True, tag="refusal"):
    refusal: str


class ImageUrl(Shape, frozen=True):
    url: str
    detail: Any = None


class ImagePart(Part, frozen=True, tag="image_url"):
    image_url: ImageUrl | str


class FileData(Shape, frozen=True):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class FilePart(Part, frozen=True, tag="file"):
    file: FileData


class AudioPart(Part, frozen=True, tag="input_audio"):
    input_audio: Any


class Called(Shape, frozen=True):
    name: str
    arguments: str = ""


class Call(Shape, frozen=True):
    id: str
    function: Called
    type: Literal["function"] = "function"
    index: Any = None


class Message(Shape, frozen=True, tag_field="role"):
    """Base of the messages, told apart by their role."""


class SystemMessage(Message, frozen=True, tag="system"):
    content: str | list[TextPart]


class DeveloperMessage(Message, frozen=True, tag="developer"):
    content: str | list[TextPart]


class UserMessage(Message, frozen=True, tag="user"):
    content: str | list[TextPart | ImagePart | FilePart | AudioPart]


class AssistantMessage(Message, frozen=True, tag="assistant"):
    content: str | list[TextPart | RefusalPart] | None = None
    tool_calls: list[Call] | None = None
    refusal: str | None = None
    annotations: Any = None
    reasoning: Any = None
    reasoning_content: Any = None


class ToolMessage(Message, frozen=True, tag="tool"):
    tool_call_id: str
    content: str | list[TextPart]


AnyMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Shape, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Shape, frozen=True):
    function: Function
    type: Literal["function"] = "function"


class Named(Shape, frozen=True):
    name: str


class Choice(Shape, frozen=True):
    function: Named
    type: Literal["function"] = "function"


class JsonSchema(Shape, frozen=True):
    schema: dict[str, Any]
    name: Any = None
    description: Any = None
    strict: Any = None


class ResponseFormat(Shape, frozen=True):
    type: Literal["text", "json_schema", "json_object"]
    json_schema: JsonSchema | None = None


class Body(Shape, frozen=True):
    """A Chat Completions request."""

    model: str
    messages: list[AnyMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    user: str | None = None
    # What only their own default may be asked for: anything else would change the answer.
    n: int | None = None
    stream: bool | None = None
    seed: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    modalities: list[str] | None = None
    # What changes nothing in an answer.
    stream_options: Any = None
    store: Any = None
    metadata: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None


class Line(Shape, frozen=True):
    """One line of an OpenAI batch."""

    custom_id: str
    url: str
    body: dict[str, Any]
    method: str = "POST"


_WHERE = re.compile(r"(?s)(.*?)(?: - at `\$([^`]*)`)?")
_STEP = re.compile(r"\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `([^`]*)`$")
_UNKNOWN = re.compile(r"(?s)Object contains unknown field `(.*)`$")


def shaped(value: object, prefix: str, type: Any) -> Any:
    """`value` in a shape. Raises `Untranslatable` with the path below `prefix`."""
    try:
        return msgspec.convert(value, type)
    except msgspec.ValidationError as error:
        found = _WHERE.fullmatch(str(error))
        assert found is not None
        what, where = found[1], found[2] or ""
        path = ".".join(step for step in [prefix, *_STEP.sub(r".\1", where).split(".")] if step)
        if missing := _MISSING.match(what):
            reject(_below(path, missing[1]), "Field required")
        if unknown := _UNKNOWN.match(what):
            reject(_below(path, unknown[1]), "Messages params have no such field")
        reject(path or "the line", what)


def _below(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field
