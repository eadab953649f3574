"""A pytest plugin: what was collected is run again and again, each time in a fork with one bug.

Imports cost a second and a fork nothing, so sixty bugs take little longer than their tests. A fork
runs only the tests that must catch its bug and writes down how each of them ended.
"""

from __future__ import annotations

import gc
import json
import os
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.planted.bugs import Bug, all_bugs

SITE = Path(__file__).with_name("site")
ROOT = Path(__file__).parents[2]
AT_ONCE = 2
RUN_SECONDS = 120.0
"""A fork that takes longer hangs, whatever the time limit of its tests: it ends itself."""

SOUND = "no bug"
VARIABLE = "PLANTED_BUG"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--harvest", type=Path, help="the folder to write down what happened in")
    parser.addoption("--plant", action="append", default=[], help="the name of a bug")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Field(config.getoption("--harvest")), "field")


@dataclass(eq=False)
class Field:
    """The runs: first every test as it is, file by file, then each bug with its catchers."""

    harvest: Path
    ends: list[dict[str, str]] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("a test that must catch a bug cannot be imported")
        gc.collect()
        gc.freeze()  # a fork that never touches what was imported need not copy it
        runs = iter([*self._sound(session), *self._planted(session)])
        running = set()
        for bug, name, items in runs:
            if len(running) == AT_ONCE:
                running.discard(os.wait()[0])
            running.add(self._fork(session, bug, name, items))
        for pid in running:
            os.waitpid(pid, 0)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: pytest.TestReport = yield
        if report.when == "call" or not report.passed:
            failed = call.excinfo
            self.ends.append(
                {
                    "test": report.nodeid.partition("[")[0],
                    "when": str(report.when),
                    "outcome": report.outcome,
                    "error": failed.typename if failed and report.failed else "",
                    "words": str(failed.value)[:2000] if failed and report.failed else "",
                }
            )
        return report

    def _sound(self, session: pytest.Session) -> Iterator[tuple[Bug | None, str, list[Any]]]:
        files = {item.path: [other for other in session.items if other.path == item.path]
                 for item in session.items}  # fmt: skip
        for number, items in enumerate(files.values()):
            yield None, f"{SOUND} {number}", items

    def _planted(self, session: pytest.Session) -> Iterator[tuple[Bug | None, str, list[Any]]]:
        bugs = all_bugs()
        for name in session.config.getoption("--plant"):
            catchers = bugs[name].caught_by
            items = [it for it in session.items if it.nodeid.partition("[")[0] in catchers]
            yield bugs[name], name, items

    def _fork(self, session: pytest.Session, bug: Bug | None, name: str, items: list[Any]) -> int:
        pid = os.fork()
        if pid:
            return pid
        self._watched(name)
        try:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(self._private(name))
            if bug is not None and bug.in_servers:
                os.environ |= {VARIABLE: name, "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}"}
            elif bug is not None:
                bug.plant()
            for item, following in zip(items, [*items[1:], None], strict=True):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            (self.harvest / f"{name}.json").write_text(json.dumps(self.ends))
        except BaseException:
            (self.harvest / f"{name}.died").write_text(traceback.format_exc())
            raise
        finally:
            os._exit(0)

    def _watched(self, name: str) -> None:
        def end() -> None:
            (self.harvest / f"{name}.died").write_text(f"it hung for {RUN_SECONDS:.0f} s")
            os._exit(1)

        watchdog = threading.Timer(RUN_SECONDS, end)
        watchdog.daemon = True
        watchdog.start()

    def _private(self, name: str) -> Path:
        folder = self.harvest / name.replace(" ", "-")
        folder.mkdir()
        return folder
