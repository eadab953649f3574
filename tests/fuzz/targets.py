"""The targets by name: what is fuzzed, and replayed from the corpus in every run of the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz import answers, asking, envelopes, exchanges, segments

CORPUS = Path(__file__).parent / "corpus"

TARGETS: dict[str, Callable[[bytes], None]] = {
    "body": envelopes.check_body,
    "params": envelopes.check_params,
    "unpack": envelopes.check_unpacked,
    "results": segments.check_results,
    "requests": segments.check_requests,
    "refusal": answers.check_refusal,
    "completion": answers.check_completion,
    "message": answers.check_message,
    "stream": answers.check_stream,
    "models": answers.check_models,
    "translation": answers.check_translation,
    "http": exchanges.check_http,
    "socket": exchanges.check_socket,
    "call": exchanges.check_call,
    "schema": asking.check_schema,
    "reading": asking.check_reading,
}
"""Each takes any bytes and raises when a law is broken."""


def seeds(name: str) -> list[Path]:
    """The corpus of a target, in a fixed order."""
    return sorted((CORPUS / name).iterdir())
