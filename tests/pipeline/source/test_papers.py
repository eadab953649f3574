"""The page of formats says what there is."""

from __future__ import annotations

from pathlib import Path

from batchyard.pipeline.source.chat.body import MAX_TOKENS
from batchyard.pipeline.source.chat.shapes import Body
from batchyard.pipeline.source.formats import EXTENSIONS

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "formats.md").read_text("utf-8")


def test_every_extension_and_every_field_of_a_chat_body_is_on_the_page() -> None:
    wanted = [*EXTENSIONS, *Body.__struct_fields__]
    assert [name for name in wanted if f"`{name}`" not in PAGE] == []
    assert f"{MAX_TOKENS} where there is neither" in PAGE
