"""The Messages params we understand, as shapes: a field that is not here is not taken."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

# Every shape refuses unknown fields: what an engine of the other dialect has no word for must be
# told to the caller, not dropped. Fields typed `Any` are taken and mean nothing here.


class Shape(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Base of the shapes."""


class Block(Shape, frozen=True, tag_field="type"):
    """Base of what carries its own type."""


# -- sources ---------------------------------------------------------------------------------------


class Base64Source(Block, frozen=True, tag="base64"):
    data: str
    media_type: str


class UrlSource(Block, frozen=True, tag="url"):
    url: str


class FileSource(Block, frozen=True, tag="file"):
    file_id: str


class TextSource(Block, frozen=True, tag="text"):
    data: str
    media_type: str = "text/plain"


# -- blocks ----------------------------------------------------------------------------------------


class Text(Block, frozen=True, tag="text"):
    text: str
    cache_control: Any = None
    citations: Any = None


class Image(Block, frozen=True, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: Any = None
    transformations: Any = None


class ContentSource(Block, frozen=True, tag="content"):
    content: str | list[Text | Image]


class Document(Block, frozen=True, tag="document"):
    source: Base64Source | TextSource | ContentSource | UrlSource | FileSource
    title: str | None = None
    context: str | None = None
    cache_control: Any = None
    citations: Any = None


class SearchResult(Block, frozen=True, tag="search_result"):
    content: list[Text]
    source: str
    title: str
    cache_control: Any = None
    citations: Any = None


class Thinking(Block, frozen=True, tag="thinking"):
    thinking: str
    signature: str = ""


class RedactedThinking(Block, frozen=True, tag="redacted_thinking"):
    data: str = ""


class ToolUse(Block, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: dict[str, msgspec.Raw]
    cache_control: Any = None
    caller: Any = None
    toolset_name: Any = None


class ToolResult(Block, frozen=True, tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image | SearchResult | Document] | None = None
    is_error: bool | None = None
    cache_control: Any = None
    toolset_name: Any = None


AnyBlock = (
    Text | Image | Document | SearchResult | Thinking | RedactedThinking | ToolUse | ToolResult
)


class Turn(Shape, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[AnyBlock]


# -- the rest --------------------------------------------------------------------------------------


class Tool(Shape, frozen=True):
    """A custom tool; those with a type of their own run on the hosted API only."""

    name: str
    input_schema: dict[str, msgspec.Raw]
    description: str | None = None
    type: str | None = None
    strict: bool | None = None
    input_examples: list[dict[str, msgspec.Raw]] | None = None
    allowed_callers: list[str] | None = None
    cache_control: Any = None
    defer_loading: Any = None
    eager_input_streaming: Any = None


class ToolChoice(Shape, frozen=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Shape, frozen=True):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class JsonFormat(Shape, frozen=True):
    type: Literal["json_schema"]
    schema: dict[str, msgspec.Raw]


class OutputConfig(Shape, frozen=True):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class Metadata(Shape, frozen=True):
    user_id: str | None = None


class Params(Shape, frozen=True, kw_only=True):
    """The body of `POST /v1/messages`.

    Those from `container` on ask for what only the hosted API has: they are refused unless empty.
    Those from `cache_control` on are taken and mean nothing to an engine of your own.
    """

    model: str
    messages: list[Turn]
    max_tokens: int | None = None
    system: str | list[Text] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    top_k: int | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None
    metadata: Metadata | None = None
    container: Any = None
    mcp_servers: Any = None
    context_management: Any = None
    compaction: Any = None
    fallbacks: Any = None
    thread: Any = None
    cache_control: Any = None
    service_tier: Any = None
    inference_geo: Any = None
    diagnostics: Any = None
    speed: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None
    fallback_credit_token: Any = None
    billing_policy: Any = None


HOSTED_ONLY = (
    "container",
    "mcp_servers",
    "context_management",
    "compaction",
    "fallbacks",
    "thread",
)
"""Fields that ask the hosted API to do something no engine of your own can do."""

IGNORED = (
    "cache_control",
    "service_tier",
    "inference_geo",
    "diagnostics",
    "speed",
    "user_profile_id",
    "workspace_id",
    "fallback_credit_token",
    "billing_policy",
)
"""Fields that change nothing in the answer of an engine of your own."""

HOSTED_BLOCKS = frozenset(
    {
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "container_upload",
        "mcp_tool_use",
        "mcp_tool_result",
        "advisor_tool_result",
        "tool_reference",
        "browser_state",
        "compaction",
        "fallback",
    }
)
"""Blocks that only the hosted API's own tools make and read."""
