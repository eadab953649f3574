"""One request of a batch: where its params lie, and the laws a Messages body must keep.

The laws are those by which the Message Batches API judges params: too late for a 400, so a fault
becomes an `errored` line. Only what would mislead or stop every engine is judged here; what one
engine takes and another does not (sampling ranges, kinds of content, tools) is theirs to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from batchyard.batches import versions
from batchyard.errors import ErrorType

MESSAGES_MAX = 100_000
USER_ID_MAX = 256

_Given = msgspec.Raw | msgspec.UnsetType


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of a create body or of a request segment: where its `params` object lies.

    `offset` and `length` are bytes in that file. A struct outside the garbage collector's sight,
    since a large batch holds a hundred thousand of them.
    """

    custom_id: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request can only end as an `errored` line."""

    type: ErrorType
    message: str


# -- the shape of params, as far as it is judged ---------------------------------------------------


class _Message(msgspec.Struct, gc=False):
    role: Literal["user", "assistant", "system"]
    content: msgspec.Raw


class _ToolChoice(msgspec.Struct, gc=False):
    type: str
    name: str | None = None


class _Metadata(msgspec.Struct, gc=False):
    user_id: Annotated[str, msgspec.Meta(max_length=USER_ID_MAX)] | None = None


class _Tool(msgspec.Struct, gc=False):
    name: str | None = None


class _Params(msgspec.Struct, gc=False):
    max_tokens: int | float
    messages: list[_Message]
    model: Annotated[str, msgspec.Meta(min_length=1)]
    stream: bool | None = None
    system: _Given = msgspec.UNSET
    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    mcp_servers: _Given = msgspec.UNSET
    speed: _Given = msgspec.UNSET
    store: _Given = msgspec.UNSET
    thread: _Given = msgspec.UNSET
    threads: _Given = msgspec.UNSET
    previous_thread_event_id: _Given = msgspec.UNSET
    cache_hint: _Given = msgspec.UNSET
    context_hint: _Given = msgspec.UNSET
    research_preview_2026_02: _Given = msgspec.UNSET
    fallbacks: _Given = msgspec.UNSET


class _Model(msgspec.Struct, gc=False):
    model: str = ""


class _Length(msgspec.Struct, gc=False):
    max_tokens: int | float


_decode = msgspec.json.Decoder(_Params).decode
_decode_model = msgspec.json.Decoder(_Model).decode
_decode_length = msgspec.json.Decoder(_Length).decode

_NEVER = (
    "store",
    "thread",
    "threads",
    "previous_thread_event_id",
    "cache_hint",
    "context_hint",
    "fallbacks",
)
_HARMLESS = (b"null", b"false")


def check(
    params: bytes, *, api_version: str = "2023-06-01", strict_version: bool = False
) -> Fault | None:
    """The first fault of `params` (one JSON object), None when an engine may be asked.

    `strict_version` also refuses what `api_version` no longer has, such as `temperature`; it is
    off by default because people label with `temperature: 0` whatever their SDK's version.
    """
    try:
        request = _decode(params)
        found = (
            _length_fault(request)
            or _messages_fault(request)
            or _batch_fault(request)
            or _tool_fault(request)
            or (versions.fault(params, api_version) if strict_version else None)
        )
    except msgspec.ValidationError as error:
        found = _api_words(str(error))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        found = f"params: not valid JSON: {error}"
    except RecursionError:
        found = "params: nested too deeply"
    return Fault("invalid_request_error", found) if found else None


def model_of(params: bytes) -> str:
    """The model asked for, as sent; empty when there is none or it is no string."""
    try:
        return _decode_model(params).model
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


def wanted_max_tokens(params: bytes) -> int | None:
    """The `max_tokens` asked for, None when it is not a number of tokens."""
    try:
        wanted = _decode_length(params).max_tokens
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return int(wanted) if wanted == int(wanted) else None


def _length_fault(request: _Params) -> str | None:
    if request.max_tokens != int(request.max_tokens):
        return "max_tokens: Input should be a valid integer"
    if request.max_tokens < 1:
        return "max_tokens: must be greater than or equal to 1"
    return None


def _messages_fault(request: _Params) -> str | None:
    if not request.messages:
        return "messages: at least one message is required"
    if len(request.messages) > MESSAGES_MAX:
        count = len(request.messages)
        rule = f"List should have at most {MESSAGES_MAX} items after validation, not {count}"
        return f"messages: {rule}"
    for number, message in enumerate(request.messages):
        if memoryview(message.content)[0] not in b'"[':
            return f"messages.{number}.content: Input should be a valid string or a list of blocks"
    system = request.system
    if not isinstance(system, msgspec.UnsetType) and memoryview(system)[0] not in b'"[n':
        return "system: Input should be a valid string or a list of blocks"
    return None


def _batch_fault(request: _Params) -> str | None:
    """What a Messages call may ask for and a batch may not."""
    if request.stream:
        return _unsupported("stream=True")
    if _says_nothing_of_it(request):
        return None
    for name in _NEVER:
        if _given(getattr(request, name)):
            return _unsupported(name)
    if _given(request.speed) == b'"fast"':
        return _unsupported("speed=fast")
    if _given(request.research_preview_2026_02) == b'"active"':
        return _unsupported("research_preview_2026_02=active")
    return None


def _says_nothing_of_it(request: _Params) -> bool:
    """Whether none of these fields is there, as in nearly every request: one look for all."""
    return (
        request.speed
        is request.store
        is request.thread
        is request.threads
        is request.previous_thread_event_id
        is request.cache_hint
        is request.context_hint
        is request.research_preview_2026_02
        is request.fallbacks
        is msgspec.UNSET
    )


def _tool_fault(request: _Params) -> str | None:
    """A forced tool must be among the tools; those of a toolset or MCP server cannot be known."""
    choice = request.tool_choice
    if choice is None or choice.type != "tool":
        return None
    if not choice.name:
        return "tool_choice.tool.name: Field required"
    names = [tool.name for tool in request.tools or ()]
    if choice.name in names or None in names or _given(request.mcp_servers):
        return None
    return f"Tool '{choice.name}' not found in provided tools"


def _given(value: _Given) -> bytes:
    """The JSON text of a field that was meant, empty for one left out, null or false."""
    if isinstance(value, msgspec.UnsetType):
        return b""
    text = bytes(value)
    return b"" if text in _HARMLESS else text


def _unsupported(what: str) -> str:
    return f"`{what}` is not supported in the Message Batches API"


# -- the parser's words, as the API says them ------------------------------------------------------

_WORDS = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_LENGTH = re.compile(r"Expected `str` of length (<=|>=) (\d+)")
_WRONG = re.compile(r"Expected `(\w+)[^`]*`, got .*")
_BOUNDS = {"<=": "at most {} characters", ">=": "at least {} character"}
_WANTED = {
    "str": "a valid string",
    "bool": "a valid boolean",
    "array": "a valid list",
    "object": "an object",
}


def _api_words(words: str) -> str:
    """`$.messages[0].role` becomes `messages.0.role`, and the complaint the one the API makes."""
    told = _WORDS.fullmatch(words)
    assert told
    what, path = told[1], (told[2] or "").replace("[", ".").replace("]", "").lstrip(".")
    if missing := _MISSING.fullmatch(what):
        return f"{path}.{missing[1]}: Field required".lstrip(".")
    if length := _LENGTH.fullmatch(what):
        return f"{path}: String should have {_BOUNDS[length[1]].format(length[2])}"
    if path.endswith("role"):
        return f"{path}: Input should be 'user', 'assistant' or 'system'"
    wrong = _WRONG.fullmatch(what)
    wanted = _WANTED.get(wrong[1] if wrong else "int", "a valid integer")
    return f"{path or 'params'}: Input should be {wanted}"
