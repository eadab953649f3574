"""Blocks of content as Chat Completions parts: text, images, documents, search results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batchyard.engines.translate import pdf
from batchyard.engines.translate.faults import hosted_only, reject
from batchyard.engines.translate.flavor import Flavor
from batchyard.engines.translate.params import (
    Base64Source,
    ContentSource,
    Document,
    FileSource,
    Image,
    SearchResult,
    Text,
    TextSource,
    UrlSource,
)

Part = dict[str, Any]
Showable = Text | Image | Document | SearchResult

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
JOINT = "\n"
"""What stands between blocks where Chat Completions has room for one string only."""


def parts(blocks: str | Iterable[Showable], path: str, flavor: Flavor) -> list[Part]:
    """`blocks` as parts, in order; empty text says nothing and is left out."""
    if isinstance(blocks, str):
        return [_text(blocks)] if blocks else []
    found: list[Part] = []
    for number, block in enumerate(blocks):
        found += parts_of(block, f"{path}.{number}", flavor)
    return found


def text_of(content: Iterable[Part]) -> str:
    """The text parts as one string."""
    return JOINT.join(part["text"] for part in content if part["type"] == "text")


def parts_of(block: Showable, path: str, flavor: Flavor) -> list[Part]:
    """One block as parts: none for empty text, several for a document with pictures."""
    match block:
        case Text():
            return [_text(block.text)] if block.text else []
        case Image():
            return [_image(block, path, flavor)]
        case Document():
            return _document(block, path, flavor)
        case SearchResult():
            body = JOINT.join(piece.text for piece in block.content)
            labels = {"source": block.source, "title": block.title}
            return [_text(_wrapped("search_result", labels, body))]


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _image(block: Image, path: str, flavor: Flavor) -> Part:
    if not flavor.images:
        reject(path, "this model does not read images")
    match block.source:
        case Base64Source(data=data, media_type=media_type):
            if media_type not in _IMAGE_TYPES:
                reject(
                    f"{path}.source.media_type",
                    f"Input should be one of {', '.join(_IMAGE_TYPES)}, not {media_type!r}",
                )
            url = f"data:{media_type};base64,{data}"
        case UrlSource(url=url):
            pass
        case FileSource():
            reject(f"{path}.source", hosted_only("files"))
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Document, path: str, flavor: Flavor) -> list[Part]:
    """A document as tagged text; pictures in it follow as parts of their own."""
    source, where = block.source, f"{path}.source"
    match source:
        case TextSource():
            inside = [_text(source.data)]
        case ContentSource():
            inside = parts(source.content, f"{where}.content", flavor)
        case Base64Source():
            if source.media_type != "application/pdf":
                reject(
                    f"{where}.media_type",
                    f"Input should be 'application/pdf', not {source.media_type!r}",
                )
            if flavor.pdf:
                return [_file(block, source)]
            inside = [_text(pdf.text_of(source.data, where))]
        case UrlSource():
            reject(where, "documents behind a URL are not fetched; send their text or a base64 PDF")
        case FileSource():
            reject(where, hosted_only("files"))
    labels = {"title": block.title, "context": block.context}
    pictures = [part for part in inside if part["type"] != "text"]
    return [_text(_wrapped("document", labels, text_of(inside))), *pictures]


def _wrapped(tag: str, labels: Mapping[str, str | None], body: str) -> str:
    """`body` between tags, its labels before it, as models are used to being shown documents."""
    head = "".join(f"<{name}>{value}</{name}>\n" for name, value in labels.items() if value)
    return f"<{tag}>\n{head}<content>\n{body}\n</content>\n</{tag}>"


def _file(block: Document, source: Base64Source) -> Part:
    return {
        "type": "file",
        "file": {
            "filename": block.title or "document.pdf",
            "file_data": f"data:application/pdf;base64,{source.data}",
        },
    }
