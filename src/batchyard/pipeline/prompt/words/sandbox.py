"""The sandbox prompts are rendered in: Jinja2 that reaches values only, and limits what it makes.

A prompt may come from somebody else's run. It gets the row's columns and `range`, `dict`,
`namespace`, `cycler` and `joiner`, the harmless methods of text, and no attribute that leads into
Python. What is random has no place in it: a row that is asked again is asked the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_format, do_indent
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from batchyard.pipeline.prompt.words import limits
from batchyard.pipeline.prompt.words.values import Nothing, as_json, as_text

FUNCTIONS: Mapping[str, Any] = {
    "range": safe_range,
    "dict": dict,
    "namespace": Namespace,
    "cycler": Cycler,
    "joiner": Joiner,
}
"""What a template can call. A column of the same name is meant where the name is not called."""

_TEXT_METHODS = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha",
    "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join",
    "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
    "title", "upper",
})  # fmt: skip
"""Others pad or format to any width; `"%.2f"|format(price)` is there for numbers."""

_REMOVED_FILTERS = ("batch", "center", "pprint", "random", "slice", "urlize", "xmlattr")

_Node = TypeVar("_Node", bound=nodes.Node)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment for prompts: strict about names, plain text, nothing outside the row."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    concat = staticmethod(limits.joined)

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, finalize=as_text, autoescape=False)
        # The functions are put into each context instead: Jinja2 would not report a column that
        # has the name of a global as a name that the template uses.
        self.globals.clear()
        for name in _REMOVED_FILTERS:
            del self.filters[name]
        self.filters.update(
            format=_format, indent=_indent, join=_join, replace=_replace, tojson=_tojson, tied=_tied
        )
        self.tests["none"] = lambda value: value is None or isinstance(value, Nothing)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Weigh the result of an operator before it is made."""
        limits.refuse_growth(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (a template's keywords may be called self)
        """Call what is safe to call; the methods of text that multiply are weighed first."""
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            name = __obj.__name__
            if name == "join":
                return limits.joined(_between(owner, *args))
            if name == "replace":
                return limits.replaced(owner, *args)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """Let `format` be judged as any other method of text: its fields can be of any width."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Of text the harmless methods, of numbers and bytes nothing."""
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, (bool, int, float, bytes)):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A part of a value, by a name written with a dot."""
        found = super().getattr(obj, attribute)
        return Nothing(name=attribute) if found is None else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A part of a value, by a key or a number in brackets."""
        found = super().getitem(obj, argument)
        return Nothing(name=str(argument)) if found is None else found


class Tied(NodeTransformer):
    """Replaces `a ~ b` by a filter, since no environment can intercept that operator."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 (Jinja2's name for it)
        """The same pieces, joined under the limit."""
        self.generic_visit(node)
        pieces = nodes.List(node.nodes, lineno=node.lineno)
        tied = nodes.Filter(pieces, "tied", [], [], None, None, lineno=node.lineno)
        return _in_place_of(node, tied)


def _in_place_of(node: nodes.Node, other: _Node) -> _Node:
    assert node.environment is not None
    other.set_environment(node.environment)
    return other


def _tied(pieces: list[object]) -> str:
    return limits.joined(map(as_text, pieces))


def _between(separator: str, values: Any) -> list[str]:
    pieces: list[str] = []
    for value in values:
        if pieces and separator:
            pieces.append(separator)
        pieces.append(str(as_text(value)))
    return pieces


def _join(value: Any, d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        value = [_part(one, attribute) for one in value]
    return limits.joined(_between(d, value))


def _part(value: Any, attribute: str | int) -> object:
    """An element of a list or object; attributes of Python are not for templates."""
    if isinstance(value, dict):
        return value[attribute]
    if isinstance(value, (list, tuple)) and isinstance(attribute, int):
        return value[attribute]
    raise SecurityError(f"`join` finds no part {attribute!r} in a {type(value).__name__}")


def _replace(s: object, old: str, new: str, count: int | None = None) -> str:
    return limits.replaced(str(as_text(s)), old, new, -1 if count is None else count)


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    limits.refuse_growth("%", value, kwargs or args)
    return do_format(value, *args, **kwargs)


def _indent(s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:  # noqa: FBT001, FBT002 (Jinja2's own signature)
    if (width if isinstance(width, int) else len(width)) > limits.WIDEST:
        raise SecurityError(f"`indent` by more than {limits.WIDEST:,}")
    return do_indent(s, width, first, blank)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON as it is, where Jinja2's own would escape what HTML minds."""
    text = as_json(value)
    return text if indent is None else msgspec.json.format(text, indent=min(indent, 16))
