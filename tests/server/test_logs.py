"""The log as programs read it: one JSON object a line, whatever a stranger had written into it."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.live.harness.serving import clean_environment

TELLS = """
import logging
from batchyard.telemetry import configure_logging, logger

configure_logging("info", process="api")
evil = 'a\\r\\n{"event":"forged"}\\x1b[2J\\x85\\u2028\\x00\\x7f"'
logger("test").warning("told", custom_id=evil)
logging.getLogger("other").error("%s", evil)
try:
    raise ValueError(evil)
except ValueError:
    logger("test").exception("failed")
"""


def test_a_log_line_is_one_json_object_whatever_it_tells() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TELLS], capture_output=True, check=True, env=clean_environment({})
    )
    assert done.stdout == b""
    assert done.stderr.endswith(b"\n")
    lines = done.stderr[:-1].split(b"\n")
    told = [json.loads(line) for line in lines]
    assert [line["level"] for line in told] == ["warning", "error", "error"]
    assert all(line["process"] == "api" and line["timestamp"] for line in told)
    evil = told[0]["custom_id"]
    assert '\r\n{"event":"forged"}' in evil
    assert evil in told[1]["event"]
    assert evil in told[2]["exception"]
    for line in lines:
        assert all(0x20 <= byte < 0x7F for byte in line), "a terminal would obey this line"
