"""A server of one's own for as long as a run needs it: `batchyard serve` as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batchyard.errors import (
    BatchyardError,
    ConfigurationError,
    DataDirectoryBusy,
    ServerUnreachable,
    StorageFailed,
)

START_SECONDS = 60.0
DRAIN_SECONDS = 20
"""What answers in flight get when the run is over; what they do not make is asked again."""

MARGIN_SECONDS = 15.0
"""What the server gets beyond its drain time, for closing and for children that hang."""

LOG_NAME = "serve.log"
_LAST_WORDS_BYTES = 4096


class EmbeddedServer:
    """A server on `engines` (specs as after `--engine`), its data in `folder`; an async context
    manager.

    It listens on loopback, on a port the system picks, and ends with this process however that
    ends: at the end of the context after its answers in flight have come, with `kill -9` at once.
    What it had not finished goes on when another is started on the same folder. Ctrl-C does not
    reach it. Entering raises `ConfigurationError` or `StorageFailed` in the server's own words,
    `ServerUnreachable` when it does not come up.
    """

    def __init__(
        self, folder: Path, engines: Sequence[str], *, drain_seconds: int = DRAIN_SECONDS
    ) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / LOG_NAME
        self.url = ""
        self.models: tuple[str, ...] = ()
        self._engines = tuple(engines)
        self._drain_seconds = drain_seconds
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        try:
            self._process = await self._start()
            told = await self._first_words()
        except BaseException:
            await self._stop(0)
            raise
        self.url = told["url"]
        self.models = tuple(told["models"])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop(self._drain_seconds + MARGIN_SECONDS)

    def kill(self) -> None:
        """End it at once; what is in flight is asked again when it is started anew."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def gone(self) -> ServerUnreachable:
        """Wait until it has ended without having been asked to, and say so. Cancel it freely."""
        assert self._process is not None
        status = await self._process.wait()
        return ServerUnreachable(
            f"the server that this run had started has ended ({_ending(status)})",
            fix=f"run it again: nothing that was answered is lost; its log is {self.log}",
        )

    async def _start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, "-P", "-m", "batchyard", "serve", "--json", "--until-stdin-ends"]
        command += ["--role", "all", "--host", "127.0.0.1", "--port", "0"]
        command += ["--drain-seconds", str(self._drain_seconds), "--data-dir", str(self.folder)]
        command += [word for spec in self._engines for word in ("--engine", spec)]
        with self._opened_log() as log:
            # A session of its own keeps the terminal's Ctrl-C and its end away from the server.
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    def _opened_log(self) -> Any:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep a server's data in {self.folder}: {error.strerror}; "
                "nothing was started",
                fix="work in a folder that you may write to, or use --server URL",
            ) from None

    async def _first_words(self) -> dict[str, Any]:
        """What it says when it is ready. Raises what it says instead."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            raise ServerUnreachable(
                f"the server did not come up within {START_SECONDS:g} s",
                fix=f"its log may tell why: {self.log}",
            ) from None
        told = _understood(line)
        if told.get("event") == "ready":
            return told
        if told.get("event") == "error":
            raise _as_error(told)
        raise ServerUnreachable(
            f"the server ended before it was ready ({_ending(await self._process.wait())})"
            f"{self._last_words()}",
            fix=f"its log may tell more: {self.log}",
        )

    async def _stop(self, seconds: float) -> None:
        """End it, waiting so long for it to finish; then, or when canceled, at once."""
        process = self._process
        if process is None:
            return
        try:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
        finally:
            if process.returncode is None:
                process.kill()  # its children see its pipes close, and leave at once
            await process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def _last_words(self) -> str:
        """The last line of the log, after a colon."""
        text = self.log.read_bytes()[-_LAST_WORDS_BYTES:].decode("utf-8", "replace").strip()
        return f": {text.splitlines()[-1]}" if text else ""


def _understood(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _as_error(told: dict[str, Any]) -> BatchyardError:
    """The error that the server told, as the exception it was there."""
    message, fix = str(told.get("message", "")), told.get("fix")
    if told.get("code") == DataDirectoryBusy.code:
        return DataDirectoryBusy(
            message,
            fix="another run with an engine of its own works in this folder: wait for it, or "
            "start this one in another",
        )
    kind = {StorageFailed.code: StorageFailed, "internal": ServerUnreachable}.get(
        str(told.get("code")), ConfigurationError
    )
    return kind(message, fix=fix)


def _ending(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
