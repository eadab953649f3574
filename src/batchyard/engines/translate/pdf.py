"""The text of a PDF, through `pypdf`, for engines that read text only."""

from __future__ import annotations

import base64
import binascii
import io
import logging
from typing import Any

from batchyard.engines.translate.faults import reject
from batchyard.errors import Rejected

PAGES_MAX = 600
"""The most pages read of one document, as many as the hosted API takes."""

INSTALL = "pip install 'batchyard[pdf]'"


def text_of(data: str, path: str) -> str:
    """The text of a base64 PDF, its pages in order. Pure Python: about 10 ms a page.

    Raises `Rejected` when it cannot be read, holds no text (a scan), or `pypdf` is not installed.
    """
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        reject(f"{path}.data", f"not base64: {error}")
    pages = _pages(raw, path)
    text = "\n\n".join(page for page in pages if page)
    if not text:
        reject(path, "document: this PDF holds no text (a scan?), and this engine reads text only")
    return text


def _pages(raw: bytes, path: str) -> list[str]:
    reader_class = _reader(path)
    try:
        reader = reader_class(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            reject(path, "document: this PDF wants a password")
        count = len(reader.pages)
        if count > PAGES_MAX:
            reject(path, f"document: this PDF has {count} pages, more than {PAGES_MAX}")
        return [_clean(page.extract_text()) for page in reader.pages]
    except Exception as error:
        if isinstance(error, Rejected):
            raise
        # A broken file makes pypdf raise whatever its parser stumbles over: it is the file's fault.
        reject(path, f"document: this PDF cannot be read: {error}")


def _clean(text: str) -> str:
    """Text that is valid UTF-8: broken fonts give lone surrogates."""
    return text.encode("utf-8", "replace").decode().strip()


def _reader(path: str) -> Any:
    try:
        from pypdf import PdfReader
    except ImportError:
        reject(
            path,
            "document: PDF files need an engine that speaks the Messages API, or the server's "
            f"operator to run: {INSTALL}",
        )
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    return PdfReader
