"""What is installed only with an extra, and what to install when a verb needs it and it is not."""

from __future__ import annotations

import importlib.util

from batchyard.errors import ConfigurationError

EXTRAS: dict[str, frozenset[str]] = {
    "server": frozenset({
        "alembic", "cffi", "httptools", "platformdirs", "pydantic", "pydantic_settings",
        "sqlalchemy", "starlette", "structlog", "uvicorn", "uvloop",
    }),
    "parquet": frozenset({"pyarrow"}),
    "prices": frozenset({"genai_prices"}),
    "llama": frozenset({"xllamacpp"}),
    "pdf": frozenset({"pypdf"}),
}  # fmt: skip
"""Each extra of the package, and the modules that come with it and are imported by us."""


def installed(extra: str) -> bool:
    """Whether everything of an extra can be imported. Imports none of it."""
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])


def as_error(error: BaseException) -> BaseException:
    """A module that is missing because of an extra as a sentence with the command that installs it;
    any other error as it is."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return error
    package = error.name.partition(".")[0]
    extra = next((name for name, modules in EXTRAS.items() if package in modules), None)
    if extra is None:
        return error
    return ConfigurationError(
        f"this needs the extra `{extra}`, which is not installed here ({package} is missing); "
        "nothing was started",
        fix=f"pip install 'batchyard[{extra}]'",
    ).with_traceback(error.__traceback__)
