"""Documents: text as text, PDFs through their text layer, pictures beside them."""

from __future__ import annotations

import base64
import builtins
import io
import json
from typing import Any

import pytest
from pypdf import PdfWriter

from batchyard.engines.translate import FLAVORS, chat_request, pdf
from batchyard.errors import Rejected

PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}


def content(source: Any, flavor: str = "generic", **labels: Any) -> Any:
    block = {"type": "document", "source": source, **labels}
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}
    body = json.loads(chat_request(json.dumps(params).encode(), FLAVORS[flavor]).body())
    return body["messages"][0]["content"]


def pdf_of(*pages: str) -> bytes:
    """A PDF by hand, one line of text to a page."""
    kids = " ".join(f"{number * 2 + 4} 0 R" for number in range(len(pages)))
    font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>"]
    objects.append(font)
    for number, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 10 10 Td ({text}) Tj ET"
        fonts = "/Resources<</Font<</F1 3 0 R>>>>"
        contents = f"/MediaBox[0 0 200 50]/Contents {number * 2 + 5} 0 R"
        objects.append(f"<</Type/Page/Parent 2 0 R{contents}{fonts}>>")
        objects.append(f"<</Length {len(drawn)}>>stream\n{drawn}\nendstream")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj{body}endobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    count = len(objects) + 1
    return (
        out
        + (
            f"xref\n0 {count}\n0000000000 65535 f \n{table}"
            f"trailer<</Root 1 0 R/Size {count}>>\nstartxref\n{len(out)}\n%%EOF\n"
        ).encode()
    )


def base64_pdf(raw: bytes) -> dict[str, str]:
    data = base64.b64encode(raw).decode()
    return {"type": "base64", "media_type": "application/pdf", "data": data}


def test_a_text_document_is_tagged_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "It rains."}
    assert content(source) == "<document>\n<content>\nIt rains.\n</content>\n</document>"


def test_title_and_context_stand_before_the_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "It rains."}
    assert content(source, title="Weather", context="of May", citations={"enabled": True}) == (
        "<document>\n<title>Weather</title>\n<context>of May</context>\n"
        "<content>\nIt rains.\n</content>\n</document>"
    )


@pytest.mark.parametrize(
    "inside", ["a\nb", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]]
)
def test_a_document_of_blocks_is_their_text(inside: Any) -> None:
    told = content({"type": "content", "content": inside})
    assert told == "<document>\n<content>\na\nb\n</content>\n</document>"


def test_pictures_in_a_document_follow_it() -> None:
    inside = [{"type": "image", "source": PNG}, {"type": "text", "text": "a"}]
    parts = content({"type": "content", "content": inside})
    assert [part["type"] for part in parts] == ["text", "image_url"]
    assert "\na\n" in parts[0]["text"]


def test_a_pdf_is_read_for_its_text() -> None:
    told = content(base64_pdf(pdf_of("First page.", "", "Third page.")), title="Report")
    assert told == (
        "<document>\n<title>Report</title>\n"
        "<content>\nFirst page.\n\nThird page.\n</content>\n</document>"
    )


def test_an_engine_that_reads_pdfs_gets_the_file() -> None:
    source = base64_pdf(pdf_of("x"))
    assert content(source, "openai", title="r.pdf") == [
        {
            "type": "file",
            "file": {
                "filename": "r.pdf",
                "file_data": f"data:application/pdf;base64,{source['data']}",
            },
        }
    ]


def locked(raw: bytes, password: str) -> bytes:
    writer, out = PdfWriter(), io.BytesIO()
    writer.append(io.BytesIO(raw))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    writer.write(out)
    return out.getvalue()


def test_a_pdf_behind_a_password_nobody_gave_is_refused_and_one_without_is_read() -> None:
    assert "words" in content(base64_pdf(locked(pdf_of("words"), "")))
    with pytest.raises(Rejected, match="this PDF wants a password"):
        content(base64_pdf(locked(pdf_of("words"), "secret")))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (base64_pdf(pdf_of("", "")), "holds no text (a scan?)"),
        (base64_pdf(b"%PDF-1.7\nnonsense"), "this PDF cannot be read"),
        (base64_pdf(b""), "this PDF cannot be read"),
        ({**base64_pdf(b""), "data": "!!"}, "content.0.source.data: not base64"),
        (
            {**base64_pdf(b""), "media_type": "text/html"},
            "content.0.source.media_type: Input should be 'application/pdf', not 'text/html'",
        ),
        (
            {"type": "url", "url": "https://example.com/a.pdf"},
            "content.0.source: documents behind a URL are not fetched",
        ),
        ({"type": "file", "file_id": "f"}, "content.0.source: files need the hosted API"),
    ],
)
def test_a_document_nobody_here_can_read_is_refused_in_words(source: Any, why: str) -> None:
    with pytest.raises(Rejected) as caught:
        content(source)
    assert caught.value.message.startswith("messages.0.content.0")
    assert why in caught.value.message


def test_a_pdf_of_too_many_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "PAGES_MAX", 1)
    with pytest.raises(Rejected, match="has 2 pages, more than 1"):
        content(base64_pdf(pdf_of("a", "b")))


def test_without_the_extra_a_pdf_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "pypdf":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Rejected) as caught:
        content(base64_pdf(b"x"))
    assert pdf.INSTALL in caught.value.message
