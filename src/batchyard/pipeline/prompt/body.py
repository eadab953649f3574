"""The params of a row: what all rows share is JSON once, and only what differs is made for each.

With `cache_prefix` the last block that every row shares carries `cache_control`. What is shared
comes first in a request anyway: tools, system, then the turns up to the first column, where a
turn is parted into two text blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from batchyard.errors import BadInput, BadPrompt
from batchyard.pipeline.prompt.asked import ANSWER_TOOL, Asked
from batchyard.pipeline.prompt.media import Column
from batchyard.pipeline.prompt.words.template import Binding, CannotRender, Template
from batchyard.pipeline.prompt.words.values import is_valid_text
from batchyard.pipeline.row import Fields

REQUEST_BYTES_MAX = 32 * 1024 * 1024
"""The limit of a Messages request."""

_MARK = {"type": "ephemeral"}
_encode = msgspec.json.Encoder().encode

Names = dict[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn (or the system prompt) with its template and, on the prompt, its media."""

    role: str
    template: Template
    media: tuple[Column, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it is the same for every row."""
        return self.template.constant and not self.media


class Body:
    """The compiled form of what is asked; `params_of` is called for each row."""

    def __init__(self, asked: Asked) -> None:
        """Compile all templates; raises `BadPrompt`."""
        self.turns = _turns(asked)
        self.system = None if asked.system is None else _system(asked.system)
        self.media = self.turns[_last_user(self.turns)].media
        spoken = [self.system, *self.turns] if self.system else list(self.turns)
        self.templates = tuple(turn.template for turn in spoken)
        self.bound = Binding(self.templates)
        self._pieces = _pieces(asked, self.system, self.turns)

    def params_of(self, fields: Fields, position: int) -> bytes:
        """The JSON of a row's params; raises `BadInput`, and `BadPrompt` for the template's fault.

        Rows are counted from 1 in errors, as people count them.
        """
        row = position + 1
        names = self.bound(fields)
        try:
            params = b"".join(
                [
                    piece if isinstance(piece, bytes) else piece(names, fields, row)
                    for piece in self._pieces
                ]
            )
        except UnicodeEncodeError as error:
            raise BadInput(
                f"row {row}: {self._unwritable(fields)} holds a lone surrogate, which is no valid "
                "text; the row was not sent",
                fix="write the column again as UTF-8",
            ) from error
        if len(params) > REQUEST_BYTES_MAX:
            raise BadInput(
                f"row {row}: its request is {len(params):,} bytes{self._largest(fields)}, and at "
                f"most {REQUEST_BYTES_MAX:,} are taken; the row was not sent",
                fix="shorten the column or split the row",
            )
        return params

    def _used(self, fields: Fields) -> list[str]:
        return sorted(fields if self.bound.whole_row else self.bound.columns)

    def _unwritable(self, fields: Fields) -> str:
        guilty = [one for one in self._used(fields) if not is_valid_text(fields.get(one))]
        return "column " + ", ".join(guilty) if guilty else "its text"

    def _largest(self, fields: Fields) -> str:
        sizes = {name: len(str(fields.get(name))) for name in self._used(fields)}
        return f" (the longest column is {max(sizes, key=sizes.__getitem__)})" if sizes else ""


_Piece = bytes | Callable[[Names, Fields, int], bytes]


def rendered(turn: Turn, names: Names, row: int, template: Template | None = None) -> str:
    """The text of a turn for one row, with its faults told by row and place."""
    template = template or turn.template
    try:
        return template.render(names)
    except CannotRender as error:
        if error.of_template:
            raise BadPrompt(
                f"{template.place} asks for what a prompt cannot have: {error} (met in row {row})"
            ) from error
        raise BadInput(
            f"row {row} does not go into {template.place}: {error}; the row was not sent",
            fix="a test such as {% if column %} or {{ column|default('…') }} in the prompt",
        ) from error


# -- pieces of JSON: bytes for what is the same in every row --------------------------------------


def _pieces(asked: Asked, system: Turn | None, turns: tuple[Turn, ...]) -> tuple[_Piece, ...]:
    """The params in order, bytes beside bytes melted into one."""
    marked = _marked(asked, system, turns) if asked.cache_prefix else -3
    pieces: list[_Piece] = [_encode(_constants(asked, mark_tools=marked == -2))[:-1]]
    if system is not None:
        pieces += [b',"system":', _content(system, mark=marked == -1)]
    pieces.append(b',"messages":[')
    for number, turn in enumerate(turns):
        pieces.append((b"," if number else b"") + b'{"role":"%b","content":' % turn.role.encode())
        pieces += [_content(turn, mark=marked == number), b"}"]
    pieces.append(b"]}")
    melted: list[_Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and melted and isinstance(melted[-1], bytes):
            melted[-1] += piece
        else:
            melted.append(piece)
    return tuple(melted)


def _marked(asked: Asked, system: Turn | None, turns: tuple[Turn, ...]) -> int:
    """Where the shared part ends: in turn 0, 1, …, in the system (-1), the tools (-2), or nowhere.

    The answer tool counts as tools.
    """
    last = -2 if asked.tools or asked.as_tool else -3
    spoken = [(-1, system)] if system else []
    for number, turn in [*spoken, *enumerate(turns)]:
        if turn.constant or turn.template.head.strip():
            last = number
        if not turn.constant:
            break
    return last


def _constants(asked: Asked, *, mark_tools: bool) -> dict[str, Any]:
    """All params but system and messages."""
    params: dict[str, Any] = {"model": asked.model} if asked.model is not None else {}
    params |= {"max_tokens": asked.max_tokens, **asked.params}
    tools = list(asked.tools or ())
    if asked.tool_choice is not None:
        params["tool_choice"] = asked.tool_choice
    if asked.schema is not None and asked.as_tool:
        told = "Give the answer by calling this tool."
        tools.append({"name": ANSWER_TOOL, "description": told, "input_schema": asked.schema})
        params["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    elif asked.schema is not None:
        output = dict(params.get("output_config") or {})
        output["format"] = {"type": "json_schema", "schema": asked.schema}
        params["output_config"] = output
    if tools:
        if mark_tools:
            tools[-1] = {**tools[-1], "cache_control": _MARK}
        params["tools"] = tools
    return params


def _content(turn: Turn, *, mark: bool) -> _Piece:
    """The content of a turn: a string, or blocks where it has media or carries the mark."""
    if turn.constant:
        text = _constant_text(turn.template)
        return _encode([_text_block(text, mark=True)] if mark else text)
    if not mark and not turn.media:
        return _as_string(turn)
    return _as_blocks(turn, mark=mark)


def _as_string(turn: Turn) -> _Piece:
    def content(names: Names, fields: Fields, row: int) -> bytes:
        text = rendered(turn, names, row)
        if not text or text.isspace():
            _refuse_empty(turn, row)
        return _encode(text)

    return content


def _as_blocks(turn: Turn, *, mark: bool) -> _Piece:
    """The marked beginning, the media, then the rest of the text where there is any."""
    head = [_encode(_text_block(turn.template.head, mark=True))] if mark else []
    template = turn.template.rest() if mark else turn.template

    def content(names: Names, fields: Fields, row: int) -> bytes:
        blocks = [*head, *(block for one in turn.media for block in one.blocks(fields, row))]
        text = rendered(turn, names, row, template)
        if text and not text.isspace():
            blocks.append(_encode(_text_block(text)))
        if not blocks:
            _refuse_empty(turn, row)
        return b"[" + b",".join(blocks) + b"]"

    return content


def _text_block(text: str, *, mark: bool = False) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text}
    return {**block, "cache_control": _MARK} if mark else block


def _constant_text(template: Template) -> str:
    try:
        text = template.render(Binding([template])({}))
    except CannotRender as error:
        raise BadPrompt(f"{template.place} cannot be made: {error}; nothing was sent") from error
    if not text.strip():
        raise BadPrompt(f"{template.place} has no text in any row; nothing was sent")
    return text


def _refuse_empty(turn: Turn, row: int) -> None:
    """A turn without text is refused by every engine."""
    if turn.role == "system":
        return
    used = ", ".join(sorted(turn.template.columns)) or "the row"
    raise BadInput(
        f"row {row}: {turn.template.place} is empty, there is no value in {used}; the row was not "
        "sent",
        fix="leave such rows out, or say in the prompt what stands for a missing value: "
        "{{ column|default('…') }}",
    )


# -- turns ----------------------------------------------------------------------------------------


def _system(text: str) -> Turn:
    return Turn("system", Template(text, "the system prompt"))


def _turns(asked: Asked) -> tuple[Turn, ...]:
    """The turns with their templates; media belong to the user's last."""
    folder = Path(asked.folder)
    documents = [Column(name, "document", folder) for name in asked.documents]
    images = [Column(name, "image", folder) for name in asked.images]
    many = len(asked.turns) > 1
    turns = [
        Turn(role, Template(text, _place(number, role, many=many)))
        for number, (role, text) in enumerate(asked.turns, 1)
    ]
    last = _last_user(turns)
    turns[last] = Turn("user", turns[last].template, (*documents, *images))
    return tuple(turns)


def _place(number: int, role: str, *, many: bool) -> str:
    return f"turn {number} ({role})" if many else "the prompt"


def _last_user(turns: list[Turn] | tuple[Turn, ...]) -> int:
    return max(number for number, turn in enumerate(turns) if turn.role == "user")
