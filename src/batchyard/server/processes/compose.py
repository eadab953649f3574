"""What both processes put together alike: engines, routing, limits, and where their sockets lie."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from batchyard.batches.limits import Limits
from batchyard.config import Settings
from batchyard.routing import Routing
from batchyard.server.listen import is_loopback
from batchyard.server.processes.errand import Errand
from batchyard.telemetry import logger

log = logger(__name__)

_SOCKET_PATH_MAX = 90
"""Unix socket addresses end at 104 or 108 bytes, depending on the system."""


def die(error: BaseException) -> None:
    """End this process now. After a failed write nothing in its memory can be trusted any more."""
    log.error("fatal", error=repr(error), exc_info=error)
    os._exit(1)


def limits(settings: Settings) -> Limits:
    """The limits in force."""
    return Limits(**settings.limits.model_dump())


def routing(errand: Errand) -> Routing:
    """The table of models, empty until the engines have told theirs."""
    settings = errand.settings
    return Routing(
        [spec.name for spec in errand.engines],
        aliases=settings.models.aliases,
        auto_alias=settings.auto_alias and is_loopback(settings.host),
    )


def news_socket(data_dir: Path) -> Path:
    """Where the dispatch process listens for news."""
    return _socket_folder(data_dir) / "dispatch.sock"


def engines_socket(data_dir: Path) -> Path:
    """Where the dispatch process offers the engines that live inside it."""
    return _socket_folder(data_dir) / "engines.sock"


def _socket_folder(data_dir: Path) -> Path:
    """The data directory, or a private folder under the temporary one where that path is too long.

    Raises PermissionError when somebody else made that folder first.
    """
    if len(os.fsencode(data_dir)) <= _SOCKET_PATH_MAX:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"batchyard-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid() or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder
