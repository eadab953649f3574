"""Acts on a store that cannot take them right now, asked again until it can."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from batchyard.clock import Clock
from batchyard.errors import DiskFull, StorageError
from batchyard.telemetry import logger

log = logger(__name__)

RETRY_SECONDS = 1.0

T = TypeVar("T")


async def patiently(clock: Clock, act: Callable[[], Awaitable[T]]) -> T:
    """The result of `act`, repeated every second while the disk is full or the catalog is busy.

    Any other storage error is raised: what was damaged or fenced off stays so, and after a failed
    write the process must end.
    """
    waited = 0
    while True:
        try:
            return await act()
        except StorageError as error:
            if not isinstance(error, DiskFull) and type(error) is not StorageError:
                raise
            if waited == 0:
                log.warning("storage_waits", reason=error.message)
            waited += 1
            await clock.sleep(RETRY_SECONDS)
