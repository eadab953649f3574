"""The pages at `/docs`: plain HTML made from the OpenAPI document, without a script or a CDN."""

from __future__ import annotations

from functools import cached_property
from html import escape
from typing import Any

import msgspec
from starlette.responses import HTMLResponse, Response

from batchyard.api.call import Call
from batchyard.api.reference.codes import CODES
from batchyard.api.reference.openapi import document

_CSP = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:56rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow-x:auto;padding:.75rem;border:1px solid #8884;border-radius:.4rem}
section{border-top:1px solid #8884;padding-top:.5rem;margin-top:1.5rem}
table{border-collapse:collapse;width:100%}
td,th{border-top:1px solid #8884;padding:.3rem .6rem;text-align:left;vertical-align:top}
.verb{display:inline-block;min-width:4rem;font-weight:700}
"""


class Reference:
    """The handlers of `/openapi.json`, `/docs` and `/docs/errors`, each made once, when asked."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def openapi(self, _: Call) -> Response:
        """The document that machines read."""
        return Response(self._openapi, media_type="application/json")

    async def page(self, _: Call) -> Response:
        """The same for people."""
        return HTMLResponse(self._page, headers=_CSP)

    async def errors(self, _: Call) -> Response:
        """Every code with an anchor of its name."""
        return HTMLResponse(self._errors, headers=_CSP)

    @cached_property
    def _openapi(self) -> bytes:
        return msgspec.json.encode(document(self._version))

    @cached_property
    def _page(self) -> str:
        return _reference_page(document(self._version))

    @cached_property
    def _errors(self) -> str:
        return _errors_page()


def _reference_page(spec: dict[str, Any]) -> str:
    operations = [
        (path, verb, operation)
        for path, verbs in spec["paths"].items()
        for verb, operation in verbs.items()
    ]
    contents = "".join(
        f'<li><a href="#{operation["operationId"]}"><code>{verb.upper()} {escape(path)}</code></a>'
        f" {escape(operation['summary'])}</li>"
        for path, verb, operation in operations
    )
    body = (
        f"<p>{escape(spec['info']['description'])}</p>"
        '<p><a href="/openapi.json">openapi.json</a> · <a href="/docs/errors">error codes</a></p>'
        f"<ul>{contents}</ul>"
        + "".join(_operation(*operation) for operation in operations)
        + "<h2>Objects</h2>"
        + "".join(_schema(name, schema) for name, schema in spec["components"]["schemas"].items())
    )
    return _html(f"Batchyard {spec['info']['version']}", body)


def _operation(path: str, verb: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
        f"<td>{_marked(each['description'])}</td></tr>"
        for each in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td>{status}</td><td>{_linked(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<section id="{operation["operationId"]}"><h2><span class="verb">{verb.upper()}</span> '
        f"<code>{escape(path)}</code></h2><p>{_marked(operation['description'])}</p>"
        + (f"<table>{rows}</table>" if rows else "")
        + f"<h3>Answers</h3><table>{answers}</table></section>"
    )


def _linked(answer: dict[str, Any]) -> str:
    """What an answer is, with a link to the object it holds."""
    text = _marked(answer["description"])
    for content in answer.get("content", {}).values():
        for schema in (content["schema"], *content["schema"].get("anyOf", ())):
            if name := schema.get("$ref", "").rpartition("/")[2]:
                text += f' <a href="#{name}">{name}</a>'
    return text


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    return f'<section id="{name}"><h3>{name}</h3><pre>{escape(text)}</pre></section>'


def _errors_page() -> str:
    rows = "".join(
        f'<tr id="{code.name}"><td><a href="#{code.name}"><code>{code.name}</code></a></td>'
        f"<td>{code.status or ''}</td><td>{_marked(code.means)}<br>{_marked(code.fix)}</td></tr>"
        for code in CODES
    )
    intro = (
        "<p>The code of an error stands in <code>error.details.error_code</code> and, in square "
        "brackets, at the end of many messages. The status is that of a live or synchronous call; "
        'a request of a batch ends as an errored line instead. <a href="/docs">All paths</a></p>'
    )
    table = f"<table><tr><th>code</th><th>status</th><th>meaning, and the way out</th></tr>{rows}"
    return _html("Error codes", f"{intro}{table}</table>")


def _marked(text: str) -> str:
    """Text with its backquoted parts as code."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )


def _html(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )
