"""Whether an answer fits its schema: compiled once, checked for each row, told by path and rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from batchyard.errors import BadPrompt

RULE_CHARACTERS_MAX = 160
"""A rule's own words (a long list of choices, a pattern) are cut to this many characters."""


class Fit:
    """A compiled schema: call `fault(value)` for each answer."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Compile `schema`; raises `BadPrompt`. References to other documents are not followed."""
        import fastjsonschema

        self._misfit = fastjsonschema.JsonSchemaValueException
        try:
            self._check: Callable[[object], object] = fastjsonschema.compile(
                dict(schema),
                handlers={"http": _refuse, "https": _refuse, "file": _refuse, "ftp": _refuse},
                use_default=False,
            )
        except BadPrompt:
            raise
        # It compiles by writing Python: what is no schema fails wherever that stumbles first.
        except Exception as error:
            raise BadPrompt(
                f"the schema cannot be compiled: {error or type(error).__name__}; nothing was sent",
                fix="JSON Schema draft 7 with $defs is understood",
            ) from error

    def fault(self, value: object) -> str | None:
        """What does not fit, as `path: rule`; None for what fits."""
        try:
            self._check(value)
        except self._misfit as error:
            return _worded(error.path, error.rule, error.rule_definition, value)
        except RecursionError:
            return "the answer is nested too deeply"
        return None


def _refuse(address: str) -> NoReturn:
    raise BadPrompt(
        f"the schema refers to another document, {address}; nothing was sent",
        fix="put what it refers to under $defs and refer to #/$defs/Name",
    )


def _worded(path: list[str], rule: str | None, rule_value: object, value: object) -> str:
    """A sentence on one broken rule, without what stands in the answer."""
    place = ".".join(map(str, path[1:]))
    words = _RULES.get(rule or "")
    if rule == "required" and isinstance(rule_value, list):
        missing = _missing(path, rule_value, value)
        told = f"{missing} is missing"
    elif rule == "additionalProperties":
        told = "has properties that the schema does not allow"
    elif words is None:
        told = f"breaks the rule {rule}"
    else:
        told = words.format(_short(rule_value))
    if rule == "required":
        return f"{place}: {told}" if place else told
    return f"{place or 'the answer'} {told}"


def _missing(path: list[str], required: list[object], value: object) -> str:
    """The required properties that the object at `path` lacks."""
    for part in path[1:]:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and str(part).isdigit() and int(part) < len(value):
            value = value[int(part)]
    there = value if isinstance(value, dict) else {}
    return ", ".join(str(name) for name in required if name not in there) or "a property"


def _short(rule_value: object) -> str:
    if isinstance(rule_value, list):
        told = ", ".join("null" if one is None else str(one) for one in rule_value)
    else:
        told = str(rule_value)
    return told if len(told) <= RULE_CHARACTERS_MAX else told[:RULE_CHARACTERS_MAX] + "…"


_RULES = {
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "pattern": "must match the pattern {}",
    "format": "must be a valid {}",
    "minItems": "must have at least {} elements",
    "maxItems": "must have at most {} elements",
    "uniqueItems": "must not have an element twice",
    "contains": "must have an element of the kind the schema names",
    "minProperties": "must have at least {} properties",
    "maxProperties": "must have at most {} properties",
    "propertyNames": "must have property names as the schema wants them",
    "anyOf": "fits none of the schema's alternatives",
    "oneOf": "must fit exactly one of the schema's alternatives",
    "not": "is what the schema excludes",
    "dependencies": "lacks a property that another one requires",
}
