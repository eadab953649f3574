"""`batchyard doctor`: every usual cause of trouble looked at, with the way out beside it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import click

from batchyard.cli import extras, failures, talk
from batchyard.cli.examination import Finding, examine, examine_data
from batchyard.cli.options import server_options
from batchyard.cli.program import Verb
from batchyard.cli.session import api_key
from batchyard.client import Client
from batchyard.errors import ConfigurationError

_LOCAL = ("127.0.0.1", "localhost", "::1")


@click.command(
    cls=Verb,
    examples=(
        "batchyard doctor",
        "batchyard doctor --server https://batches.example.com --json",
    ),
    help="Check the server, its engines and this machine.\n\n"
    "Each line is one thing looked at; a fix stands below what needs one. The exit code is 5 when "
    "the server or every engine is away, 2 when something else must be mended, 0 otherwise.",
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False),
    help="The server's data directory, when the server is on this machine.",
)  # fmt: skip
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False),
    help="The config file, instead of batchyard.toml in the usual places.",
)  # fmt: skip
@server_options
def doctor_command(
    *, data_dir: Path | None, config_file: Path | None, server: str, as_json: bool
) -> int:
    unreachable: list[str] = []
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        if not as_json:
            _print(finding, server)

    async def look() -> None:
        async with Client(server, key=api_key()) as client:
            async for finding in examine(client, unreachable):
                note(finding)

    asyncio.run(look())
    local = urlsplit(server).hostname in _LOCAL and extras.installed("server")
    if data_dir is not None or local:
        for finding in _data(data_dir, config_file):
            note(finding)
    return _verdict(findings, unreachable, server, as_json=as_json)


def _data(data_dir: Path | None, config_file: Path | None) -> list[Finding]:
    from batchyard.config import Settings

    try:
        settings = Settings.load(config_file, data_dir=data_dir)
    except ConfigurationError as error:
        return [Finding("config", "error", error.message, error.fix or "", error.code)]
    return list(examine_data(settings.data_dir))


def _print(finding: Finding, server: str) -> None:
    marks = talk.marks(sys.stdout)
    mark = {
        "ok": marks.good,
        "warning": marks.warning,
        "error": marks.bad,
        "skipped": marks.none,
    }[finding.verdict]
    talk.data(f"{mark} {finding.name:<12}  {finding.detail}")
    if finding.fix:
        talk.data(f"{'':16}fix:  {finding.fix}")
    if finding.fix and finding.anchor:
        talk.data(f"{'':16}docs: {server}/docs/errors#{finding.anchor}")


def _verdict(findings: list[Finding], unreachable: list[str], server: str, *, as_json: bool) -> int:
    count = Counter(finding.verdict for finding in findings)
    code = failures.USAGE if count["error"] else failures.OK
    code = failures.UNREACHABLE if unreachable else code
    if as_json:
        talk.event(
            "doctor",
            server=server,
            findings=[asdict(finding) for finding in findings],
            warnings=count["warning"],
            errors=count["error"],
            exit_code=code,
        )
        return code
    told = [
        f"{count[verdict]} {verdict}{'s' * (count[verdict] != 1)}"
        for verdict in ("error", "warning")
        if count[verdict]
    ]
    talk.data(f"{', '.join(told) or 'all in order'}; exit {code}")
    return code
