"""Images and documents from columns: known by content, sent as base64 or URL, told when wrong."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from batchyard.errors import BadInput
from batchyard.pipeline.prompt import Task
from batchyard.pipeline.prompt.media import type_of
from tests.pipeline.prompt.asking import PDF, PNG, sent, told

JPEG, GIF, WEBP = b"\xff\xd8\xff\xe0rest", b"GIF89arest", b"RIFF\x10\x00\x00\x00WEBPrest"


def asking(folder: Path, **said: list[str]) -> Task:
    return Task.make(prompt="Describe {{ a }}", folder=folder, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (PDF, "application/pdf"),
        (b"\r\n" + PDF, "application/pdf"),
        (b"", None),
        (b"<svg/>", None),
        (b"RIFF\x10\x00\x00\x00WAVE", None),
    ],
)
def test_the_first_bytes_say_what_a_file_is(data: bytes, media_type: str | None) -> None:
    assert type_of(data) == media_type


def test_a_path_is_taken_from_the_folder_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(PNG)
    task = asking(tmp_path, images=["photo"])
    content = sent(task, {"a": "it", "photo": "photos/one.jpg"})["messages"][0]["content"]
    assert content == [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": "image/png",
                "data": base64.b64encode(PNG).decode(),
            },
        },
        {"type": "text", "text": "Describe it"},
    ]
    assert task.columns_used == {"a", "photo"}


def test_urls_data_urls_lists_and_documents_are_taken(tmp_path: Path) -> None:
    (tmp_path / "paper.bin").write_bytes(PDF)
    task = asking(tmp_path, images=["photo"], documents=["paper"])
    data_url = "data:image/jpeg;base64," + base64.b64encode(GIF).decode()
    fields = {"a": "", "photo": ["https://example.com/x.png", data_url], "paper": "paper.bin"}
    blocks = sent(task, fields)["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["document", "image", "image", "text"]
    assert blocks[0]["source"]["media_type"] == "application/pdf"
    assert blocks[1]["source"] == {"type": "url", "url": "https://example.com/x.png"}
    assert blocks[2]["source"]["media_type"] == "image/gif"


@pytest.mark.parametrize("cell", [None, "", [], [None], float("nan")])
def test_a_cell_without_a_value_adds_nothing(tmp_path: Path, cell: object) -> None:
    content = sent(asking(tmp_path, images=["photo"]), {"a": "x", "photo": cell})["messages"][0]
    assert content["content"] == [{"type": "text", "text": "Describe x"}]


def test_an_image_alone_is_a_turn_and_no_image_and_no_text_is_none(tmp_path: Path) -> None:
    task = Task.make(prompt="{{ a }}", images=["photo"], folder=tmp_path)
    blocks = sent(task, {"a": None, "photo": "https://example.com/x.png"})["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image"]
    with pytest.raises(BadInput, match="row 1"):
        task.params_of({"a": None, "photo": None}, position=0)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("missing.png", "missing.png cannot be read: No such file"),
        ("text.png", "text.png is not a PNG, JPEG, GIF or WebP image"),
        ("paper.png", "paper.png is not a PNG, JPEG, GIF or WebP image (application/pdf)"),
        (".", "not a plain file"),
        ("pipe", "not a plain file"),
        ("large.png", "at most 25,165,824 can be sent"),
        ("nul\0.png", "cannot be read"),
        ("data:image/png;base64,!!", "no valid base64"),
        ("data:image/png,abc", "no ;base64,"),
        ("data:image/png;base64,AAAA", "a data: URL is not a PNG"),
        (5, "type int names no file"),
    ],
)
def test_what_is_no_image_is_told_by_row_and_column(
    tmp_path: Path, cell: object, words: str
) -> None:
    (tmp_path / "text.png").write_text("secret")
    (tmp_path / "paper.png").write_bytes(PDF)
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(24 * 1024 * 1024 + 1)
    with pytest.raises(BadInput) as caught:
        asking(tmp_path, images=["photo"]).params_of({"a": "x", "photo": cell}, position=16)
    assert "row 17, column photo" in told(caught)
    assert words in told(caught)
    assert "secret" not in told(caught)


def test_the_key_follows_the_bytes_of_a_file_not_its_name(tmp_path: Path) -> None:
    task = asking(tmp_path, images=["photo"])
    (tmp_path / "one.png").write_bytes(PNG)
    (tmp_path / "two.png").write_bytes(PNG)
    row = {"a": "x", "photo": "one.png"}
    first = task.key(row)
    assert task.key({"a": "x", "photo": "two.png"}) == first
    stat = (tmp_path / "one.png").stat()
    (tmp_path / "one.png").write_bytes(PNG[:-1] + b"\1")
    os.utime(tmp_path / "one.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert task.key(row) != first


def test_a_file_that_is_missing_has_a_key_too(tmp_path: Path) -> None:
    task = asking(tmp_path, images=["photo"])
    missing = task.key({"a": "x", "photo": "gone.png"})
    assert missing != task.key({"a": "x", "photo": "gone too.png"})
    (tmp_path / "gone.png").write_bytes(PNG)
    assert task.key({"a": "x", "photo": "gone.png"}) != missing
