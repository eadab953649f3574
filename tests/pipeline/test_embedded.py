"""The embedded server: there as long as it is needed, told of in its own words, never left over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.errors import BatchyardError, ConfigurationError, DataDirectoryBusy
from batchyard.pipeline.embedded import EmbeddedServer
from tests.live.harness.calls import Calls, requests
from tests.live.harness.serving import alive
from tests.live.harness.waiting import eventually

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.timeout(120)]

SIMULATOR = "simulator:latency=1ms"
NEVER = "simulator:latency=3600s"
GONE_SECONDS = 10.0

_PARENT = """
import asyncio, pathlib, sys
from batchyard.pipeline.embedded import EmbeddedServer

async def main():
    async with EmbeddedServer(pathlib.Path(sys.argv[1]), [sys.argv[2]]) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def working_on(folder: Path) -> set[int]:
    """The processes that hold the lock of a data directory: a server and all its children."""
    return {
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit()
        and str(folder / "lock") in open_files(process / "fd")
        and alive(int(process.name))
    }


def open_files(descriptors: Path) -> Iterator[str]:
    """What a process has open; others may be closed while we look."""
    try:
        entries = list(descriptors.iterdir())
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):
            yield os.readlink(entry)


def gone(folder: Path) -> None:
    """Return when nobody works on it any more; fails when somebody is left over."""
    eventually(lambda: not working_on(folder), within=GONE_SECONDS, what="no orphan")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data directory that nobody works on when the test is over."""
    yield tmp_path / "data"
    try:
        gone(tmp_path / "data")
    finally:
        for pid in working_on(tmp_path / "data"):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def parent(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has a server of its own, which never answers anything."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(folder), NEVER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def url_of(parent: subprocess.Popen[str]) -> str:
    assert parent.stdout is not None
    return parent.stdout.readline().strip()


async def test_it_answers_while_the_context_lasts_and_leaves_nothing(folder: Path) -> None:
    async with EmbeddedServer(folder, [SIMULATOR]) as server:
        assert server.models == ("simulator-1",)
        calls = Calls(server.url)
        found = await asyncio.to_thread(calls.run, requests(3))
        assert {result["type"] for result in found.values()} == {"succeeded"}
        calls.close()
        assert len(working_on(folder)) == 3
    assert working_on(folder) == set()
    assert server.log.stat().st_mode & 0o077 == 0


async def test_what_was_not_finished_goes_on_with_the_next_one(folder: Path) -> None:
    async with EmbeddedServer(folder, [NEVER], drain_seconds=0) as first:
        calls = Calls(first.url)
        batch = await asyncio.to_thread(calls.create, requests(5))
        calls.close()
    async with EmbeddedServer(folder, [SIMULATOR]) as second:
        calls = Calls(second.url)
        ended = await asyncio.to_thread(calls.ended, batch["id"])
        assert ended["request_counts"]["succeeded"] == 5
        calls.close()


def test_it_dies_with_a_parent_that_is_killed(folder: Path, parent: subprocess.Popen[str]) -> None:
    calls = Calls(url_of(parent))
    calls.create(requests(5))
    calls.close()
    assert len(working_on(folder)) == 3
    parent.kill()
    gone(folder)


def test_the_terminals_ctrl_c_reaches_the_parent_alone(
    folder: Path, parent: subprocess.Popen[str]
) -> None:
    calls = Calls(url_of(parent))
    servers = working_on(folder)
    groups = {os.getpgid(pid) for pid in servers}
    assert os.getpgid(parent.pid) not in groups
    assert calls.ask("GET", "/livez").status == 200
    calls.close()
    os.killpg(parent.pid, signal.SIGINT)
    parent.wait(60)
    assert working_on(folder) == set()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("vllm", "neither a URL nor an engine"),
        ("llama:no-such-model.gguf", "there is no file"),
        ("simulator:latncy=3ms", "latency=3ms"),
        ("anthropic", "ANTHROPIC_API_KEY holds no key"),
    ],
)
async def test_what_cannot_start_says_why_in_the_servers_words(
    folder: Path, spec: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(ConfigurationError) as caught:
        async with EmbeddedServer(folder, [spec]):
            pass
    assert words in f"{caught.value.message} {caught.value.fix}"
    assert "Traceback" not in caught.value.message


async def test_without_the_extra_it_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's interpreter is one in which a package of the extra cannot be found."""
    missing = "import sys; sys.modules['pydantic_settings'] = None"
    (tmp_path / "sitecustomize.py").write_text(missing)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(ConfigurationError, match="needs the extra `server`") as caught:
        async with EmbeddedServer(folder, [SIMULATOR]):
            pass
    assert caught.value.fix == "pip install 'batchyard[server]'"


async def test_a_folder_that_another_run_works_in_is_refused(folder: Path) -> None:
    async with EmbeddedServer(folder, [SIMULATOR]):
        with pytest.raises(DataDirectoryBusy, match="in use by another Batchyard server") as caught:
            async with EmbeddedServer(folder, [SIMULATOR]):
                pass
        assert "wait for it" in str(caught.value.fix)


async def test_a_folder_that_cannot_be_made_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="Not a directory; nothing was started"):
        async with EmbeddedServer(tmp_path / "file" / "data", [SIMULATOR]):
            pass


async def test_a_catalog_of_something_else_is_told_and_leaves_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / "batchyard.db").write_bytes(b"a database of something else" * 40)
    with pytest.raises(BatchyardError, match="is no catalog of Batchyard"):
        async with EmbeddedServer(folder, [SIMULATOR]):
            pass


async def test_a_server_that_ends_by_itself_is_noticed(folder: Path) -> None:
    async with EmbeddedServer(folder, [SIMULATOR]) as server:
        supervisor = int((folder / "lock").read_text())
        os.kill(supervisor, signal.SIGKILL)
        error = await server.gone()
        assert "killed by signal 9" in error.message
        assert str(server.log) in str(error.fix)
    await asyncio.to_thread(gone, folder)


async def test_a_start_that_is_canceled_leaves_nothing(folder: Path) -> None:
    server = EmbeddedServer(folder, [SIMULATOR])
    entering = asyncio.create_task(server.__aenter__())
    await asyncio.to_thread(
        eventually, lambda: working_on(folder), within=GONE_SECONDS, what="a server that starts"
    )
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    await asyncio.to_thread(gone, folder)


async def test_a_data_directory_too_long_for_a_socket_serves_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    async with EmbeddedServer(folder, [SIMULATOR]) as server:
        calls = Calls(server.url)
        assert len(await asyncio.to_thread(calls.run, requests(2))) == 2
        calls.close()
