"""Prints the table of settings of docs/reference/configuration.md."""

from __future__ import annotations

from pydantic_core import PydanticUndefined

from batchyard.config import keys


def main() -> None:
    """One row for each key: key, variable, default, meaning."""
    print("| key | variable | default | meaning |\n|---|---|---|---|")
    for key, field in keys():
        variable = "BATCHYARD_" + key.upper().replace(".", "__")
        default = field.default
        shown = "the user's data folder" if default is PydanticUndefined else f"`{_toml(default)}`"
        if default is None:
            shown = "none"
        print(f"| `{key}` | `{variable}` | {shown} | {field.description} |")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[]" if not value else "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)


if __name__ == "__main__":
    main()
