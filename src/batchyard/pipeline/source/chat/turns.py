"""A chat's messages as a system prompt and turns of blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from batchyard.pipeline.source.chat.shapes import (
    AnyMessage,
    AssistantMessage,
    AudioPart,
    DeveloperMessage,
    FileData,
    FilePart,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
    reject,
)

Blocks = list[dict[str, Any]]
JOINT = "\n"
"""What stands between texts where Messages params have room for one."""

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
PDF = "application/pdf"
_DATA_URL = re.compile(r"data:([\w.+/-]+)((?:;[\w.+-]+=[^;,]*)*);base64,", re.IGNORECASE)


def system_and_messages(messages: Sequence[AnyMessage]) -> tuple[str, Blocks]:
    """System prompts before the first other message join into one; later ones stay in place.

    Messages of one role in a row become one turn, so tool results stand side by side.
    """
    system: list[str] = []
    turns: list[tuple[str, Blocks]] = []
    for number, message in enumerate(messages):
        path = f"body.messages.{number}"
        match message:
            case SystemMessage(content=content) | DeveloperMessage(content=content):
                if turns:
                    turns.append(("system", [_text(_joined(content))]))
                else:
                    system.append(_joined(content))
            case UserMessage():
                _add(turns, "user", _said(message, path))
            case ToolMessage():
                _add(turns, "user", [_result(message)])
            case AssistantMessage():
                _add(turns, "assistant", _answered(message, path))
    if not turns:
        reject("body.messages", "at least one user message is required")
    return JOINT.join(filter(None, system)), [_turn(role, blocks) for role, blocks in turns]


def _add(turns: list[tuple[str, Blocks]], role: str, blocks: Blocks) -> None:
    if turns and turns[-1][0] == role:
        turns[-1][1].extend(blocks)
    else:
        turns.append((role, blocks))


def _turn(role: str, blocks: Blocks) -> dict[str, Any]:
    """A turn of one text becomes that text; empty texts say nothing and are left out."""
    said = [block for block in blocks if block.get("text") != ""]
    if not said:
        return {"role": role, "content": ""}
    if len(said) == 1 and said[0]["type"] == "text":
        return {"role": role, "content": said[0]["text"]}
    return {"role": role, "content": said}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _joined(content: str | Sequence[TextPart]) -> str:
    if isinstance(content, str):
        return content
    return JOINT.join(part.text for part in content if part.text)


def _said(message: UserMessage, path: str) -> Blocks:
    if isinstance(message.content, str):
        return [_text(message.content)]
    blocks: Blocks = []
    for number, part in enumerate(message.content):
        where = f"{path}.content.{number}"
        match part:
            case TextPart(text=text):
                blocks.append(_text(text))
            case ImagePart(image_url=image):
                url = image if isinstance(image, str) else image.url
                blocks.append({"type": "image", "source": _picture(url, f"{where}.image_url")})
            case FilePart(file=file):
                blocks.append(_document(file, f"{where}.file"))
            case AudioPart():
                reject(where, "Messages params have no audio")
    return blocks


def _picture(url: str, path: str) -> dict[str, str]:
    if url[:5].lower() != "data:":
        if not re.match(r"https?://", url, re.IGNORECASE):
            reject(path, "neither an http(s) URL nor a data: URL")
        return {"type": "url", "url": url}
    return _base64(url, path, IMAGE_TYPES)


def _base64(url: str, path: str, types: Sequence[str]) -> dict[str, str]:
    """The source block of a `data:` URL, of which only the head is looked at."""
    found = _DATA_URL.match(url, 0, 200)
    kind = found[1].lower() if found else ""
    kind = "image/jpeg" if kind == "image/jpg" else kind
    if found is None or kind not in types:
        reject(path, f"a data: URL must be base64 and one of {', '.join(types)}")
    return {"type": "base64", "media_type": kind, "data": url[found.end() :]}


def _document(file: FileData, path: str) -> dict[str, Any]:
    if file.file_data is None:
        reject(path, "only files that stand in the request (file_data) can be translated")
    block = {"type": "document", "source": _base64(file.file_data, f"{path}.file_data", [PDF])}
    return block | ({"title": file.filename} if file.filename else {})


def _result(message: ToolMessage) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": message.tool_call_id}
    text = _joined(message.content)
    return result | ({"content": text} if text else {})


def _answered(message: AssistantMessage, path: str) -> Blocks:
    """Text, then calls. Earlier reasoning is left out, as it is on the way to engines."""
    blocks: Blocks = []
    if isinstance(message.content, str):
        blocks.append(_text(message.content))
    else:
        blocks += [
            _text(part.refusal if isinstance(part, RefusalPart) else part.text)
            for part in message.content or ()
        ]
    if message.refusal:
        blocks.append(_text(message.refusal))
    for number, call in enumerate(message.tool_calls or ()):
        where = f"{path}.tool_calls.{number}.function.arguments"
        blocks.append(
            {
                "type": "tool_use",
                "id": call.id,
                "name": call.function.name,
                "input": _arguments(call.function.arguments, where),
            }
        )
    return blocks


def _arguments(text: str, path: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        reject(path, "not the JSON text of an object")
    return cast("dict[str, Any]", value)
