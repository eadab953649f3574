"""One error code as the page of errors explains it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One entry. `status` is None for a code that only appears in result lines or logs."""

    name: str
    status: int | None
    means: str
    fix: str
