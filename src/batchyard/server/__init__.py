"""The composition root: the only room that names concrete engines, fleets and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchyard.config import Settings


def run(settings: Settings) -> int:
    """Run a server until it is asked to stop; returns the exit status.

    Raises a `BatchyardError` before anything is started: the caller says it to the operator.
    """
    from batchyard.server.start import serve

    return serve(settings)
