"""The wire contract as a table: one row per statement, the call it is about, the answer it wants.

`{open}` is a batch that runs, `{ended}` one that has ended, `{gone}` one that was deleted, `{none}`
an id that never was. Sections are those of the description of the API this server speaks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.api.conftest import requests

ROOT = "/v1/messages/batches"
NONE = "msgbatch_01" + "1" * 22
LONG = "a" * 65


@dataclass(frozen=True)
class Row:
    """A statement. `wants` are top-level keys of the answer, or its error's message and type."""

    says: str
    method: str
    path: str
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wants: dict[str, Any] = field(default_factory=dict)


def refused(
    says: str, body: Any, message: str, *, status: int = 400, type: str = "invalid_request_error"
) -> Row:
    """A create call that must be refused on the spot."""
    wants = {"type": type, "message": message}
    return Row(says, "POST", ROOT, status, body, wants=wants)


def entry(**changes: Any) -> dict[str, Any]:
    """A create body of one entry with `changes`; None removes a field."""
    whole = {"custom_id": "a", "params": {}} | changes
    return {"requests": [{name: value for name, value in whole.items() if value is not None}]}


PATTERN = "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"

OPERATIONS = [
    Row("1.1 create answers 200", "POST", ROOT, body=requests(), wants={"type": "message_batch"}),
    Row("1.1 retrieve answers 200", "GET", f"{ROOT}/{{open}}", wants={"type": "message_batch"}),
    Row("1.1 list answers 200", "GET", ROOT, wants={"has_more": False}),
    Row("1.1 cancel takes no body", "POST", f"{ROOT}/{{open}}/cancel", wants={"ended_at": None}),
    Row("1.1 cancel takes {}", "POST", f"{ROOT}/{{open}}/cancel", body={}),
    Row("1.1 cancel takes any body", "POST", f"{ROOT}/{{open}}/cancel", body=b"\xff[nonsense"),
    Row(
        "1.1 cancel takes a content type without a byte",
        "POST",
        f"{ROOT}/{{open}}/cancel",
        body=b"",
        headers={"content-type": "application/json", "content-length": "0"},
    ),
    Row(
        "1.1 delete answers 200 with an object",
        "DELETE",
        f"{ROOT}/{{ended}}",
        wants={"type": "message_batch_deleted"},
    ),
    Row(
        "1.1 delete takes a content type",
        "DELETE",
        f"{ROOT}/{{ended}}",
        headers={"content-type": "application/json"},
    ),
    Row("1.1 results answer 200", "GET", f"{ROOT}/{{ended}}/results"),
    *(
        Row(
            f"1.1 results are never 406: Accept {accept}",
            "GET",
            f"{ROOT}/{{ended}}/results",
            headers={"accept": accept},
        )
        for accept in ("application/binary", "*/*", "application/json", "text/html", "x/y;q=0")
    ),
    *(
        Row(f"1.1 beta=true is ignored: {method} {path}", method, path, body=body)
        for method, path, body in (
            ("POST", f"{ROOT}?beta=true", requests()),
            ("GET", f"{ROOT}?beta=true", None),
            ("GET", f"{ROOT}?beta=true&limit=2&after_id={{open}}", None),
            ("GET", f"{ROOT}/{{open}}?beta=true", None),
            ("POST", f"{ROOT}/{{open}}/cancel?beta=true", None),
            ("DELETE", f"{ROOT}/{{ended}}?beta=true", None),
            ("GET", f"{ROOT}/{{ended}}/results?beta=true", None),
        )
    ),
]

HEADERS = [
    *(
        Row(f"1.2 version {version} is known", "GET", ROOT, headers={"anthropic-version": version})
        for version in ("2023-06-01", "2026-10-21")
    ),
    Row("1.2 a missing version is accepted", "GET", ROOT),
    Row(
        "1.2 an unknown version is refused",
        "GET",
        ROOT,
        400,
        headers={"anthropic-version": "2031-01-01"},
        wants={
            "message": 'anthropic-version: "2031-01-01" is not a version this server knows. Send '
            "one of 2023-06-01, 2026-10-21, or leave the header out. [unknown_version]"
        },
    ),
    *(
        Row(f"1.2 {name} is tolerated", "POST", ROOT, body=requests(), headers={name: value})
        for name, value in {
            "anthropic-beta": "message-batches-2024-09-24, never-heard-of-2031-01-01",
            "x-stainless-timeout": "NOT_GIVEN",
            "x-stainless-retry-count": "NOT_GIVEN",
            "x-stainless-read-timeout": "600",
            "x-stainless-raw-response": "stream",
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "accept-language": "*",
            "sec-fetch-mode": "cors",
            "anthropic-workspace-id": "wrkspc_other",  # nobody has keys, so nobody has workspaces
            "anthropic-user-profile-id": "up_1",
            "anthropic-dangerous-direct-browser-access": "true",
        }.items()
    ),
    Row(
        "1.2 create needs no content type",
        "POST",
        ROOT,
        body=json.dumps(requests()).encode(),
    ),
]

CREATE = [
    refused("2.2 bad JSON", b'{"requests": [', "The request body is not valid JSON: …"),
    refused("2.2 requests missing", {}, "requests: Field required"),
    refused(
        "2.2 empty list",
        {"requests": []},
        "requests: List should have at least 1 item after validation, not 0",
    ),
    refused("2.2 custom_id missing", entry(custom_id=None), "requests.0.custom_id: Field required"),
    refused(
        "2.2 custom_id too long",
        entry(custom_id=LONG),
        "requests.0.custom_id: String should have at most 64 characters",
    ),
    *(
        refused(f"2.2 custom_id {bad!r}", entry(custom_id=bad), f"requests.0.custom_id: {PATTERN}")
        for bad in ("a b", "../x", "ä", "a\n", "<b>")
    ),
    refused(
        "2.2 custom_id empty",
        entry(custom_id=""),
        "requests.0.custom_id: String should have at least 1 character",
    ),
    refused(
        "2.2 custom_id twice",
        {"requests": [{"custom_id": "dup", "params": {}}] * 2},
        "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
    ),
    refused("2.2 params missing", entry(params=None), "requests.0.params: Field required"),
    refused("2.2 params no object", entry(params=[1]), "requests.0.params: …"),
    refused(
        "1.4 a field too many in the body",
        {**requests(), "priority": 1},
        "priority: Extra inputs are not permitted",
    ),
    refused(
        "1.4 a field too many in an entry",
        entry(metadata={}),
        "requests.0.metadata: Extra inputs are not permitted",
    ),
]

STATES = [
    Row(
        "2.1 results before the end",
        "GET",
        f"{ROOT}/{{open}}/results",
        404,
        wants={
            "type": "not_found_error",
            "message": "Message Batch {open} has no available results.",
        },
    ),
    Row(
        "2.1 delete before the end",
        "DELETE",
        f"{ROOT}/{{open}}",
        400,
        wants={
            "type": "invalid_request_error",
            "message": "In progress batches cannot be deleted. "
            "Consider canceling the batch instead.",
        },
    ),
    *(
        Row(
            f"2.1 {what}: {method} {path}",
            method,
            f"{ROOT}/{path}",
            404,
            wants={"type": "not_found_error", "message": f"Message Batch {batch_id} not found."},
        )
        for what, batch_id in (
            ("unknown id", "{none}"),
            ("deleted", "{gone}"),
            ("no id at all", "x"),
        )
        for method, path in (
            ("GET", batch_id),
            ("DELETE", batch_id),
            ("POST", f"{batch_id}/cancel"),
            ("GET", f"{batch_id}/results"),
        )
    ),
    Row(
        "2 cancel after the end changes nothing",
        "POST",
        f"{ROOT}/{{ended}}/cancel",
        wants={"processing_status": "ended", "cancel_initiated_at": None},
    ),
]

PAGES = [
    *(
        Row(
            f"3 limit {limit} is refused", "GET", f"{ROOT}?limit={limit}", 400, wants={"message": m}
        )
        for limit, m in {
            "0": "limit: Input should be greater than or equal to 1",
            "-3": "limit: Input should be greater than or equal to 1",
            "1001": "limit: Input should be less than or equal to 1000",
            "9" * 30: "limit: Input should be a valid integer, …",
            "ten": "limit: Input should be a valid integer, …",
            "1.0": "limit: Input should be a valid integer, …",
            "%D9%A3": "limit: Input should be a valid integer, …",
        }.items()
    ),
    *(
        Row(f"3 limit {limit} is taken", "GET", f"{ROOT}?limit={limit}")
        for limit in ("1", "20", "1000", "")
    ),
    Row(
        "3 both cursors are refused",
        "GET",
        f"{ROOT}?after_id={{open}}&before_id={{ended}}",
        400,
        wants={"type": "invalid_request_error"},
    ),
    Row("3 a cursor that is no id", "GET", f"{ROOT}?after_id=17", 400),
    Row("3 a cursor of a deleted batch still pages", "GET", f"{ROOT}?after_id={{gone}}"),
    Row("3 keys nobody knows are ignored", "GET", f"{ROOT}?limit=5&lifecycle%5B%5D=active"),
]

ERRORS = [
    Row("4 no such path", "GET", "/v2/nothing", 404, wants={"type": "not_found_error"}),
    Row("4 a final slash is another path", "GET", f"{ROOT}/", 404),
    *(
        Row(
            f"4 no such method: {method}",
            method,
            ROOT,
            405,
            wants={"type": "invalid_request_error"},
        )
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
    ),
]

ROWS = [*OPERATIONS, *HEADERS, *CREATE, *STATES, *PAGES, *ERRORS]
