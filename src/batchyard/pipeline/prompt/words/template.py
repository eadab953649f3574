"""One template of a prompt: compiled once, the columns it uses known, rendered for many rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.exceptions import SecurityError

from batchyard.errors import BadPrompt
from batchyard.pipeline.prompt.words.limits import joined
from batchyard.pipeline.prompt.words.sandbox import FUNCTIONS, Sandbox, Tied
from batchyard.pipeline.prompt.words.values import seen

ROW = "row"
"""The name under which a template finds the whole row, for columns whose names are no words."""

_FOREIGN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_DICT_METHODS = frozenset(dir(dict))
_BRACED = re.compile(r"\{\s*([^\W\d]\w*(?: \w+)*)\s*\}")


class CannotRender(Exception):
    """Why a row does not go into the template; `of_template` when no row would."""

    def __init__(self, message: str, *, of_template: bool) -> None:
        super().__init__(message)
        self.of_template = of_template


class Template:
    """A compiled template. `columns` are those it names; `whole_row` says that it uses them all.

    `head` is the text before anything that depends on a row.
    """

    def __init__(self, text: str, place: str, *, skip_head: bool = False) -> None:
        """Compile `text`, called `place` in errors; raises `BadPrompt`."""
        self.text, self.place = text, place
        environment = _sandbox()
        tree = _parsed(environment, text, place)
        self.columns, self.whole_row, self.functions = _used(tree)
        self.head = _head(tree, skip=skip_head)
        self.constant = not self.columns and not self.whole_row
        Tied().visit(tree)
        code = environment.compile(tree)
        compiled = environment.template_class.from_code(environment, code, {})
        self._blocks = compiled.blocks
        self._pieces: Callable[[Any], Iterator[str]] = compiled.root_render_func
        self._environment = environment

    def render(self, names: dict[str, object]) -> str:
        """The text for what `bound` made of a row; raises `CannotRender`, `UnicodeEncodeError`."""
        environment = self._environment
        try:
            return joined(
                self._pieces(environment.context_class(environment, names, None, self._blocks))
            )
        except UnicodeEncodeError:
            raise
        except Exception as error:
            raise _told(error) from error

    def rest(self) -> Template:
        """The template without its `head`."""
        return Template(self.text, self.place, skip_head=True)

    def single_braces(self) -> list[str]:
        """Names in single braces, where nothing stands in double ones."""
        if "{{" in self.text or "{%" in self.text:
            return []
        return list(dict.fromkeys(_BRACED.findall(self.text)))


class Binding:
    """What templates see of a row: the columns they name, and `row` where they ask for it."""

    def __init__(self, templates: Iterable[Template]) -> None:
        templates = tuple(templates)
        self.columns = frozenset().union(*(one.columns for one in templates))
        self.whole_row = any(one.whole_row for one in templates)
        self._names = tuple(sorted(self.columns))
        self._lacking = dict.fromkeys(self._names)
        called = set().union(*(one.functions for one in templates))
        self._functions = {name: FUNCTIONS[name] for name in sorted(called)}

    def __call__(self, fields: Mapping[str, object]) -> dict[str, object]:
        """The names of a row's templates; a column that the row lacks has no value."""
        get = fields.get
        cells = {
            name: value if type(value := get(name)) is str else seen(value, name)
            for name in ({**self._lacking, **fields} if self.whole_row else self._names)
        }
        return {**self._functions, **cells, ROW: cells}


@lru_cache(maxsize=1)
def _sandbox() -> Sandbox:
    return Sandbox()


def _parsed(environment: Sandbox, text: str, place: str) -> nodes.Template:
    try:
        tree = environment.parse(text)
        # The generator finds unknown filters and tests, which the parser does not.
        environment.compile(environment.parse(text))
    except TemplateSyntaxError as error:
        raise BadPrompt(
            f"{place}, line {error.lineno}: {error.message}; nothing was sent",
            fix='{{ column }}, or {{ row["a column"] }} where the name is not one word',
        ) from error
    except RecursionError as error:
        raise BadPrompt(f"{place} is nested too deeply; nothing was sent") from error
    foreign = next(tree.find_all(_FOREIGN), None)
    if foreign is not None:
        raise BadPrompt(
            f"{place}, line {foreign.lineno}: {type(foreign).__name__.lower()} reads other files, "
            "which a prompt cannot; nothing was sent",
            fix="put the text into the prompt itself",
        )
    return tree


def _used(tree: nodes.Template) -> tuple[frozenset[str], bool, frozenset[str]]:
    """The columns a template names, whether it uses the whole row, the functions it calls."""
    names = meta.find_undeclared_variables(tree)
    called = {
        id(call.node) for call in tree.find_all(nodes.Call) if isinstance(call.node, nodes.Name)
    }
    loads = [one for one in tree.find_all(nodes.Name) if one.ctx == "load"]
    functions = {one.name for one in loads if id(one) in called} & names & FUNCTIONS.keys()
    meant = {one.name for one in loads if id(one) not in called}
    columns = names - functions - {ROW}
    columns |= names & functions & meant
    if ROW not in names:
        return frozenset(columns), False, frozenset(functions)
    parts = {id(node.node): name for node, name in _parts_of_row(tree)}
    whole = any(one.name == ROW and id(one) not in parts for one in loads)
    return frozenset(columns | set(parts.values())), whole, frozenset(functions)


def _parts_of_row(tree: nodes.Template) -> Iterator[tuple[nodes.Getitem | nodes.Getattr, str]]:
    """Where `row["name"]` or `row.name` stands, with the name."""
    for node in tree.find_all((nodes.Getitem, nodes.Getattr)):
        assert isinstance(node, (nodes.Getitem, nodes.Getattr))
        if not isinstance(node.node, nodes.Name) or node.node.name != ROW:
            continue
        if isinstance(node, nodes.Getattr):
            if node.attr not in _DICT_METHODS:
                yield node, node.attr
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            yield node, node.arg.value


def _head(tree: nodes.Template, *, skip: bool) -> str:
    """The text a template begins with; `skip` takes it out of the tree."""
    first = tree.body[0] if tree.body else None
    if not isinstance(first, nodes.Output) or not isinstance(first.nodes[0], nodes.TemplateData):
        return ""
    text = first.nodes[0].data
    if skip:
        del first.nodes[0]
    return text


def _told(error: Exception) -> CannotRender:
    """What went wrong in a template, without what stands in the row."""
    if isinstance(error, (SecurityError, MemoryError, RecursionError)) or "MAX_RANGE" in str(error):
        return CannotRender(str(error) or type(error).__name__, of_template=True)
    if isinstance(error, (UndefinedError, TypeError)):
        return CannotRender(str(error), of_template=False)
    return CannotRender(f"its template raised {type(error).__name__}", of_template=False)
