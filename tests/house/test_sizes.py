"""Nothing grows past what one can read at a glance."""

from __future__ import annotations

import ast
from collections import Counter

from tests.house.tree import ROOT, files, functions, parsed, python_files, shown

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 8
FOLDER_FILES_MAX = 12
FUNCTION_LINES_MEDIAN_MAX = 10


def test_no_file_is_longer_than_300_lines() -> None:
    long = {
        shown(path): lines
        for path in python_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
    }
    assert long == {}


def test_no_function_is_longer_than_70_lines() -> None:
    long = {
        shown(path, node.lineno): node.name
        for path in python_files()
        for node in functions(path)
        if _lines(node) > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_most_functions_are_short() -> None:
    lengths = sorted(_lines(node) for path in python_files("src") for node in functions(path))
    assert lengths[len(lengths) // 2] <= FUNCTION_LINES_MEDIAN_MAX


def test_no_function_takes_more_than_8_parameters() -> None:
    many = {
        shown(path, node.lineno): node.name
        for path in python_files("src")
        for node in functions(path)
        if _parameters(node) > PARAMETERS_MAX and not _declares_options(node)
    }
    assert many == {}


def test_no_folder_of_the_package_holds_more_than_12_files() -> None:
    counts = Counter(path.parent for path in python_files("src"))
    full = {shown(folder): count for folder, count in counts.items() if count > FOLDER_FILES_MAX}
    assert full == {}


def test_every_file_opens_with_a_sentence_that_says_what_it_is() -> None:
    silent = [shown(path) for path in python_files() if not _opening(parsed(path))]
    assert silent == []


def test_no_file_of_the_repository_is_a_dump() -> None:
    """A megabyte in one file is data that somebody made, not something somebody wrote."""
    assert [shown(path) for path in files() if path.stat().st_size > 1 << 20] == []
    assert (ROOT / "LICENSE").is_file()


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in named if argument.arg not in ("self", "cls")])


def _declares_options(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A click command: its parameters are its command line, one decorator each."""
    return any("option" in ast.dump(decorator) for decorator in node.decorator_list)


def _opening(module: ast.Module) -> bool:
    """Whether the first statement is a docstring whose first paragraph is one whole sentence."""
    text = ast.get_docstring(module)
    return bool(text) and text.split("\n\n")[0].rstrip().endswith((".", "!", "?", "…"))
