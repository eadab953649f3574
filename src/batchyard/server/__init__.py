"""The composition root: the only room that names concrete engines, fleets and stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchyard.config import Settings


def run(
    settings: Settings,
    *,
    until_stdin_ends: bool = False,
    on_ready: Callable[[str | None, Sequence[str]], None] | None = None,
) -> int:
    """Run a server until it is asked to stop; returns the exit status.

    With `until_stdin_ends` it also leaves, at once, when its standard input ends. `on_ready` is
    told where this machine reaches it (None for dispatch alone) and the models known so far, in
    place of the banner. Raises a `BatchyardError` before anything is started: the caller says it
    to the operator.
    """
    from batchyard.server.start import serve

    return serve(settings, until_stdin_ends=until_stdin_ends, on_ready=on_ready)
