"""Every planted bug: what it breaks, how it is planted, and which tests must catch it.

A bug is a function that changes a class or module of the source in memory; its docstring says what
is wrong from then on. Nothing in the source knows of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ROOMS = ("batches", "store", "catalog", "dispatch", "engines", "api", "server")

HELD_NOT = ("AssertionError", "Failed")
"""How a test ends whose assertion does not hold, or whose expected error did not come."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug. `fails_with` names the exceptions its catchers end in.

    A bug `in_servers` is planted in every Python process that the tests start, not in the tests'.
    """

    name: str
    room: str
    tells: str
    caught_by: tuple[str, ...]
    plant: Callable[[], None]
    fails_with: tuple[str, ...]
    in_servers: bool

    def __str__(self) -> str:
        return self.name


_known: dict[str, Bug] = {}


def caught_by(
    *tests: str, fails_with: tuple[str, ...] = HELD_NOT, in_servers: bool = False
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declares a bug: each of these tests, `tests/<file>.py::<name>`, must fail with it."""

    def declare(plant: Callable[[], None]) -> Callable[[], None]:
        assert plant.__doc__, f"{plant.__name__} does not say what it breaks"
        assert plant.__name__ not in _known, f"{plant.__name__} is declared twice"
        room = plant.__module__.rpartition(".")[2]
        name, tells = plant.__name__, plant.__doc__
        _known[name] = Bug(name, room, tells, tests, plant, fails_with, in_servers)
        return plant

    return declare


def all_bugs() -> dict[str, Bug]:
    """By name, room after room."""
    for room in ROOMS:
        importlib.import_module(f"{__name__}.{room}")
    return dict(_known)


def swap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(what is there)` in the place of an attribute that must exist."""
    setattr(owner, name, make(getattr(owner, name)))
