"""API keys for a server under test, made the way its operator makes them: in its catalog."""

from __future__ import annotations

from pathlib import Path

from batchyard.clock import SystemClock
from batchyard.store.catalog.database import Catalog
from batchyard.store.keys import DEFAULT_WORKSPACE, Keys


def new_key(data_dir: Path, workspace_id: str = DEFAULT_WORKSPACE) -> str:
    """The secret of a fresh key; from then on every call needs one."""
    catalog = Catalog(data_dir / "batchyard.db")
    try:
        return Keys(catalog, SystemClock()).create("test", workspace_id)[1]
    finally:
        catalog.close()
