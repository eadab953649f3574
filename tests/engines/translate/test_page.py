"""The page `docs/reference/translation.md` against the tables of the code."""

from __future__ import annotations

import inspect
from pathlib import Path

import msgspec
import pytest

from batchyard.engines.translate import flavor, params, pdf, reply, request, tools

PAGE = (Path(__file__).parents[3] / "docs/reference/translation.md").read_text()


def shapes() -> list[type[msgspec.Struct]]:
    found = [shape for _, shape in inspect.getmembers(params, inspect.isclass)]
    return [shape for shape in found if issubclass(shape, params.Shape)]


TAKEN = {name for shape in shapes() for name in shape.__struct_fields__}
TAGS = {str(shape.__struct_config__.tag) for shape in shapes() if shape is not params.Block}
TAGS.discard("None")
FLAVORED = {
    field
    for each in flavor.FLAVORS.values()
    for field in (each.tokens_field, *(each.continues or ()))
    if field != "add_generation_prompt"
}
INSIDE = {
    # Parts of a block or source whose row says the whole.
    "text": "`text`",
    "role": "role",
    "content": "`content`",
    "source": "source",
    "data": "source",
    "media_type": "JPEG, PNG, GIF and WebP",
    "file_id": "files",
    "signature": "`signature`",
    "id": "ids",
    "schema": "the schema's bytes",
    "tool_use_id": "<tool_use_id>",
    "type": "`type`",
    "transformations": "JPEG, PNG, GIF and WebP",
    "caller": "tools",
    "toolset_name": "tools",
    "user_id": "`metadata.user_id`",
    "metadata": "`metadata.user_id`",
    "output_config": "`output_config.format`",
    "effort": "`output_config.effort`",
    "format": "`output_config.format`",
    "display": "`display",
    "title": "`<title>`",
    "context": "`<context>`",
    "url": "`url`",
}


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_every_field_that_is_taken_is_on_the_page(name: str) -> None:
    assert INSIDE.get(name, f"`{name}`") in PAGE


@pytest.mark.parametrize(
    "word",
    sorted(
        TAGS
        | params.HOSTED_BLOCKS
        | FLAVORED
        | set(params.HOSTED_ONLY)
        | set(params.IGNORED)
        | set(reply.STOP_REASONS)
        | set(reply.STOP_REASONS.values())
        | reply.NO_ANSWER
        | {reply.RAW_ARGUMENTS}
        | set(tools.CHOICES)
        | set(tools.CHOICES.values())
        | set(request.EFFORTS)
        | set(flavor.OWNERS)
    ),
)
def test_every_word_of_the_tables_is_on_the_page(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_the_numbers_and_commands_are_on_the_page() -> None:
    assert f"at most {pdf.PAGES_MAX} pages" in PAGE
    assert f"`{pdf.INSTALL}`" in PAGE
    for below, effort in request.BUDGETS:
        assert f"below {below} `{effort}`" in PAGE


@pytest.mark.parametrize("name", flavor.FLAVORS)
def test_every_flavor_has_its_row(name: str) -> None:
    owners = [owner for owner, known in flavor.OWNERS.items() if known.name == name]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    assert all(f"`{owner}`" in row for owner in owners)
