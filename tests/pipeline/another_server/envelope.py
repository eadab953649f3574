"""The envelope of a create call, checked in the documentation's words; params are not looked at."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from tests.pipeline.another_server.errors import Refusal

REQUESTS_MAX = 100_000
PATTERN = "^[a-zA-Z0-9_-]{1,64}$"
_plain = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def decoded(body: bytes) -> dict[str, Any]:
    """A body as an object. Raises `Refusal` for what is no JSON or no object."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"The request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "Input should be an object")
    return value


def entries(body: bytes) -> list[dict[str, Any]]:
    """The requests of a create body, each with a custom_id of its own and params as an object."""
    value = decoded(body)
    for name in value:
        if name != "requests":
            raise Refusal(400, f"{name}: Extra inputs are not permitted")
    if "requests" not in value:
        raise Refusal(400, "requests: Field required")
    found = value["requests"]
    if not isinstance(found, list):
        raise Refusal(400, "requests: Input should be a valid list")
    if not found:
        raise Refusal(400, "requests: List should have at least 1 item after validation, not 0")
    if len(found) > REQUESTS_MAX:
        raise Refusal(
            400,
            f"requests: List should have at most {REQUESTS_MAX} items after validation, "
            f"not {len(found)}",
        )
    seen: set[str] = set()
    for number, entry in enumerate(found):
        _check(f"requests.{number}", entry)
        if entry["custom_id"] in seen:
            raise Refusal(
                400,
                "requests: custom_id's must be unique within a batch. "
                f"Duplicate custom_id found: {entry['custom_id']}",
            )
        seen.add(entry["custom_id"])
    return found


def _check(path: str, entry: object) -> None:
    if not isinstance(entry, dict):
        raise Refusal(400, f"{path}: Input should be an object")
    for name in ("custom_id", "params"):
        if name not in entry:
            raise Refusal(400, f"{path}.{name}: Field required")
    for name in entry:
        if name not in ("custom_id", "params"):
            raise Refusal(400, f"{path}.{name}: Extra inputs are not permitted")
    if fault := _fault_of_id(entry["custom_id"]):
        raise Refusal(400, f"{path}.custom_id: {fault}")
    if not isinstance(entry["params"], dict):
        raise Refusal(400, f"{path}.params: Input should be an object")


def _fault_of_id(custom_id: object) -> str:
    if not isinstance(custom_id, str):
        return "Input should be a valid string"
    if not custom_id:
        return "String should have at least 1 character"
    if len(custom_id) > 64:
        return "String should have at most 64 characters"
    return "" if _plain.fullmatch(custom_id) else f"String should match pattern '{PATTERN}'"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON value")
