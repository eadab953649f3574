"""A body on its way in, and a body kept: private files, read back as they were sent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchyard.batches.request import Entry
from batchyard.errors import Damaged, DiskFull, StorageFailed
from batchyard.store.body import Body
from batchyard.store.segments.files import FileSystem
from batchyard.store.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.discard()


def kept(folder: Path, text: bytes) -> Body:
    (folder / "body").write_bytes(text)
    return Body(folder / "body")


# -- spool -----------------------------------------------------------------------------------------


def test_a_spool_holds_what_was_written_and_knows_its_hash(spool: Spool) -> None:
    for chunk in (b"one ", b"", b"two ", b"three"):
        spool.write(chunk)
    spool.sync()
    assert spool.path.read_bytes() == b"one two three"
    assert spool.size == 13
    assert spool.sha256() == hashlib.sha256(b"one two three").hexdigest()
    assert spool.read(4, 3) == b"two"
    assert spool.read(8, 100) == b"three"
    assert spool.read(13, 1) == b""


def test_nobody_else_can_read_a_spool(spool: Spool) -> None:
    assert spool.path.stat().st_mode & 0o777 == 0o600


def test_a_discarded_spool_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    spool.write(b"x")
    spool.discard()
    spool.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_renamed_spool_survives_its_discard(spool: Spool, tmp_path: Path) -> None:
    spool.write(b"kept")
    spool.path.rename(tmp_path / "body")
    spool.discard()
    assert (tmp_path / "body").read_bytes() == b"kept"


def test_a_closed_spool_is_not_touched_by_a_late_thread(spool: Spool) -> None:
    spool.close()
    stranger = os.open(spool.path, os.O_RDWR)  # most likely gets the number the spool had
    try:
        for late in (lambda: spool.write(b"x"), lambda: spool.read(0, 1), spool.sync):
            with pytest.raises(ValueError, match="closed"):
                late()
        assert os.fstat(stranger).st_size == 0
    finally:
        os.close(stranger)


@pytest.fixture
def tiny_files() -> Iterator[None]:
    """The operating system lets no file grow beyond 1,000 bytes."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.usefixtures("tiny_files")
def test_a_file_that_may_not_grow_is_a_full_disk(spool: Spool) -> None:
    spool.write(b"x" * 900)
    with pytest.raises(DiskFull, match="store the request body"):
        spool.write(b"x" * 200)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_space_is_a_full_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write(fd: int, data: bytes) -> int:
        raise OSError(number, "no room")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(DiskFull):
        spool.write(b"x")


def test_any_other_fault_is_a_failed_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "input/output error")

    class Worn(FileSystem):
        def sync(self, fd: int) -> None:
            fail()

    spool = Spool(tmp_path, Worn())
    for name in ("write", "pread"):
        monkeypatch.setattr(os, name, fail)
    for act in (lambda: spool.write(b"x"), lambda: spool.read(0, 1), spool.sync):
        with pytest.raises(StorageFailed):
            act()
    spool.discard()


def test_a_missing_folder_is_a_failed_store(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="store the request body"):
        Spool(tmp_path / "nowhere")


def test_a_write_that_takes_only_a_part_goes_on(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, bytes(data[:3])))
    spool.write(b"0123456789")
    assert spool.path.read_bytes() == b"0123456789"


@pytest.mark.parametrize("seed", range(5))
def test_however_it_is_read_the_hash_is_that_of_all_that_was_written(
    spool: Spool, seed: int
) -> None:
    chance, written = random.Random(seed), b""
    for _ in range(60):
        if chance.random() < 0.5:
            written += (chunk := chance.randbytes(chance.randrange(50)))
            spool.write(chunk)
        else:
            spool.read(chance.randrange(len(written) + 10), chance.randrange(100))
        if chance.random() < 0.2:
            assert spool.sha256() == hashlib.sha256(written).hexdigest()
    assert spool.sha256() == hashlib.sha256(written).hexdigest()


def test_a_spool_given_up_during_a_sync_keeps_its_file_open_until_that_is_over(
    tmp_path: Path,
) -> None:
    """The number of a closed file may be that of another one a moment later."""
    begun, go_on, synced = threading.Event(), threading.Event(), []

    class Slow(FileSystem):
        def sync(self, fd: int) -> None:
            begun.set()
            assert go_on.wait(10)
            synced.append(os.fstat(fd).st_size)

    spool = Spool(tmp_path, Slow())
    spool.write(b"x" * 100)
    thread = threading.Thread(target=spool.sync)
    thread.start()
    assert begun.wait(10)
    spool.discard()
    assert list(tmp_path.iterdir()) == []
    for late in (lambda: spool.read(0, 1), spool.sync):
        with pytest.raises(ValueError, match="closed"):
            late()
    go_on.set()
    thread.join(10)
    assert synced == [100]
    assert spool._fd == -1


# -- body ------------------------------------------------------------------------------------------


def test_a_body_gives_each_request_its_params_on_one_line(tmp_path: Path) -> None:
    requests = [{"custom_id": f"r{n}", "params": {"n": n, "text": "a\r\nb é"}} for n in range(3)]
    text = json.dumps({"requests": requests}, indent=2, ensure_ascii=False)
    body = kept(tmp_path, text.replace("\n", "\r\n").encode())
    entries = list(body.entries())
    assert [entry.custom_id for entry in entries] == ["r0", "r1", "r2"]
    for entry, request in zip(entries, requests, strict=True):
        params = body.params(entry)
        assert len(params) == entry.length
        assert not {*b"\r\n"} & {*params}
        assert json.loads(params) == request["params"]
    body.close()


def test_params_without_line_ends_keep_their_bytes(tmp_path: Path) -> None:
    params = '{ "b" :1.50,\t"a":12345678901234567890, "é":"\\u00e9"}'.encode()
    body = kept(tmp_path, b'{"requests":[{"params":' + params + b',"custom_id":"a"}]}')
    [entry] = body.entries()
    assert body.params(entry) == params
    body.close()


@pytest.mark.parametrize("text", [b"", b'{"requests":[{"custom_id":"a","params":{', b"\0" * 100])
def test_a_body_that_reads_otherwise_than_accepted_is_damaged(tmp_path: Path, text: bytes) -> None:
    body = kept(tmp_path, text)
    with pytest.raises(Damaged, match="is damaged"):
        list(body.entries())
    with pytest.raises(Damaged, match="is damaged"):
        body.params(Entry("a", 90, 100))
    body.close()


def test_a_body_that_is_gone_is_a_failed_store(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="open"):
        Body(tmp_path / "body")


def test_a_closed_body_is_not_read_by_a_late_thread(tmp_path: Path) -> None:
    body = kept(tmp_path, b"x")
    body.close()
    body.close()
    with pytest.raises(ValueError, match="closed"):
        body.read(0, 1)
