"""What all tests share: programs that can be interrupted, and the sum of what was done to them."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.crash.figures import FILE_VARIABLE, PROPERTY, table, total

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control makes its background jobs deaf to Ctrl-C, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the crash tests, where any have run."""
    reports = [
        report
        for kind in terminalreporter.stats.values()
        for report in kind
        if isinstance(report, pytest.TestReport)
    ]
    counted = {
        report.nodeid: dict(report.user_properties)[PROPERTY]
        for report in reports
        if report.when == "teardown" and PROPERTY in dict(report.user_properties)
    }
    if not counted:
        return
    failed = len({report.nodeid for report in reports if report.failed} & counted.keys())
    figures = total(counted.values())
    terminalreporter.section("figures")
    for line in table(figures, failed=failed):
        terminalreporter.write_line(line)
    if file := os.environ.get(FILE_VARIABLE):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({**asdict(figures), "failed": failed}) + "\n")
