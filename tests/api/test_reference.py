"""The reference tells the truth: about every route, every answer, every error code."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import batchyard
from batchyard.api.auth import Gate
from batchyard.api.reference.codes import CODES
from batchyard.api.reference.openapi import document
from batchyard.api.routes import api, open_
from tests.api.conftest import Server

SOURCE = Path(batchyard.__file__).parent
DOCS = SOURCE.parent.parent / "docs" / "reference"
BRACKETED = re.compile(r"\[([a-z]+(?:_[a-z]+)+)\]")
NAMES = {code.name for code in CODES}


def routes(server: Server) -> dict[str, set[str]]:
    gate = Gate(None, server.clock, required=False, organization_id="")
    tables = {**api(server.context), **open_(server.context, gate)}
    return {path.replace(":path", ""): set(verbs) for path, verbs in tables.items()}


async def test_the_document_has_every_route_and_no_other(server: Server) -> None:
    paths = document("1")["paths"]
    described = {path: {verb.upper() for verb in verbs} for path, verbs in paths.items()}
    assert described == routes(server)


async def test_every_reference_in_the_document_leads_somewhere(server: Server) -> None:
    found = (await server.client.get("/openapi.json")).json()
    assert found["openapi"] == "3.1.0"
    assert found["info"]["version"] == "9.9.9"
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))
    assert names <= set(found["components"]["schemas"])
    ids = [op["operationId"] for verbs in found["paths"].values() for op in verbs.values()]
    assert len(ids) == len(set(ids))


async def test_the_shapes_in_the_document_are_those_on_the_wire(server: Server) -> None:
    schemas = document("1")["components"]["schemas"]
    batch_id = await server.ended()
    shown = (await server.client.get(f"/v1/messages/batches/{batch_id}")).json()
    assert list(schemas["MessageBatch"]["properties"]) == list(shown)
    page = (await server.client.get("/v1/messages/batches")).json()
    assert list(schemas["MessageBatchPage"]["properties"]) == list(page)
    error = (await server.client.get("/nothing")).json()
    assert list(schemas["Error"]["properties"]) == list(error)
    ready = await server.client.get("/readyz?verbose", headers={"accept": "application/json"})
    assert list(schemas["Readiness"]["properties"]) == list(ready.json())


async def test_the_pages_are_whole_and_load_nothing(server: Server) -> None:
    for path in ("/docs", "/docs/errors"):
        page = await server.client.get(path)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
        assert "<script" not in page.text
    reference = (await server.client.get("/docs")).text
    for path in routes(server):
        assert path in reference
    anchors = set(re.findall(r'id="(\w+)"', reference))
    assert set(re.findall(r'href="#(\w+)"', reference)) <= anchors
    errors = (await server.client.get("/docs/errors")).text
    for name in NAMES:
        assert f'id="{name}"' in errors


def test_every_code_that_can_be_said_is_explained() -> None:
    said = {
        f"{code} ({path.name})" for path in SOURCE.rglob("*.py") for code in _codes_said_in(path)
    }
    unexplained = {text for text in said if text.split(" ")[0] not in NAMES}
    assert unexplained == set(), "add them to api/reference/codes.py and docs/reference/errors.md"


def test_no_code_is_explained_that_nobody_says() -> None:
    said = {code for path in SOURCE.rglob("*.py") for code in _codes_said_in(path)}
    assert said >= NAMES


def test_the_page_of_errors_in_the_repository_has_the_same_words() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    for code in CODES:
        assert f"\n### `{code.name}`\n" in page, code.name
        section = page.split(f"\n### `{code.name}`\n")[1].split("\n### ")[0]
        assert code.means in section
        assert code.fix in section
        if code.status is not None:
            assert f"HTTP {code.status}." in section
    assert re.findall(r"\n### `(\w+)`\n", page) == [code.name for code in CODES]


async def test_the_page_of_the_api_in_the_repository_has_every_route(server: Server) -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for path, verbs in routes(server).items():
        for verb in verbs:
            assert f"`{verb} {path}`" in page, f"{verb} {path}"
    listed = set(re.findall(r"^\| `([A-Z]+ /[^`?]*)", page, re.MULTILINE))
    assert listed == {f"{verb} {path}" for path, verbs in routes(server).items() for verb in verbs}


def _codes_said_in(path: Path) -> set[str]:
    """Codes of classes, of `code=` arguments, and in brackets at the end of a message."""
    said: set[str] = set()
    if path.name == "codes.py":
        return said
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            said |= {_text(each.value) for each in node.body if _sets_code(each)}
        if isinstance(node, ast.Call):
            codes = [each.value for each in node.keywords if each.arg == "code"]
            said |= {_text(part) for code in codes for part in ast.walk(code)}
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            said |= set(BRACKETED.findall(node.value))
    return said - {""}


def _sets_code(node: ast.stmt) -> bool:
    target: Any = None
    if isinstance(node, ast.Assign):
        target = node.targets[0]
    if isinstance(node, ast.AnnAssign):
        target = node.target
    return isinstance(target, ast.Name) and target.id == "code"


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
