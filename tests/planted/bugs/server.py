"""Bugs of the server as a whole: where it listens, what it says in its log."""

from __future__ import annotations

from typing import Any

from tests.planted.bugs import caught_by, swap


@caught_by(
    "tests/server/test_config.py::test_the_defaults_are_a_loopback_server_with_the_hosted_limits"
)
def listens_everywhere() -> None:
    """Without being told, the server listens on every address."""
    from batchyard.config import Settings

    def load(sound: Any) -> Any:
        return classmethod(lambda cls, **flags: sound(**{"host": "0.0.0.0", **flags}))

    swap(Settings, "load", load)


@caught_by(
    "tests/server/test_logs.py::test_a_log_line_is_one_json_object_whatever_it_tells",
    fails_with=("JSONDecodeError",),
    in_servers=True,
)
def log_lines_as_they_come() -> None:
    """What is logged is written out as it is, line ends and escape codes included."""
    import structlog

    swap(structlog.processors, "JSONRenderer", lambda _: structlog.processors.KeyValueRenderer)


@caught_by("tests/store/test_lock.py::test_a_directory_is_made_private_and_locked")
def data_open_to_others() -> None:
    """Folders of the data directory can be entered by anybody."""
    from batchyard.store import lock

    def make(path: Any) -> None:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)

    swap(lock, "make_private_folder", lambda _: make)
