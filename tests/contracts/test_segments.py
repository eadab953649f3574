"""What every way of keeping segments must do: names, bytes, durability in the order promised."""

from __future__ import annotations

import random
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from batchyard.errors import Damaged, DiskFull, StorageFailed
from batchyard.ids import IdMint, batch_id
from batchyard.store.segments.contract import Segments, requests_name, results_name
from batchyard.store.segments.files import FileSystem, LocalSegments
from tests.store.filesystems import FullFileSystem, MortalFileSystem

ONE, TWO = (batch_id(IdMint(), moment) for moment in (1, 2))


def local(folder: Path, files: FileSystem | None = None) -> Segments:
    (folder / "batches").mkdir(parents=True, exist_ok=True)
    (folder / "spool").mkdir(exist_ok=True)
    return LocalSegments(folder / "batches", files or FileSystem())


@pytest.fixture(params=[local])
def make(request: pytest.FixtureRequest) -> Callable[..., Segments]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def segments(make: Callable[..., Segments], tmp_path: Path) -> Segments:
    return begun(make(tmp_path), tmp_path)


def begun(segments: Segments, folder: Path) -> Segments:
    """With two batches that have nothing but a body."""
    segments.adopt(ONE, spooled(folder, b"one"))
    segments.adopt(TWO, spooled(folder, b"two"))
    return segments


def whole(segments: Segments, batch: str, name: str) -> bytes:
    with closing(segments.read(batch, name)) as reader:
        return reader.read(0, 1 << 30)


def spooled(folder: Path, data: bytes) -> Path:
    path = folder / "spool" / "some.body"
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def test_a_glance_is_what_a_read_would_be_or_nothing(segments: Segments) -> None:
    segments.write(ONE, [(requests_name(0), [bytes(range(256)) * 40])])
    with closing(segments.read(ONE, requests_name(0))) as reader:
        for offset, length in ((0, 10_240), (300, 1_000), (10_000, 240), (10_239, 1)):
            assert reader.glance(offset, length) in (None, reader.read(offset, length))
        for offset, length in ((10_000, 241), (10_240, 1), (20_000, 5)):
            assert reader.glance(offset, length) is None


def test_an_adopted_body_is_the_spooled_bytes_and_the_spool_is_gone(
    segments: Segments, tmp_path: Path
) -> None:
    assert segments.body(ONE).read_bytes() == b"one"
    assert segments.body(TWO).read_bytes() == b"two"
    assert list((tmp_path / "spool").iterdir()) == []
    assert sorted(segments.batches()) == [ONE, TWO]


def test_written_segments_are_their_pieces_in_order(segments: Segments) -> None:
    segments.write(ONE, [(requests_name(n), [b"a" * n, b"", b"b\n"]) for n in range(3)])
    assert [whole(segments, ONE, requests_name(n)) for n in range(3)] == [b"b\n", b"ab\n", b"aab\n"]


def test_writing_again_replaces_even_longer_segments(segments: Segments) -> None:
    segments.write(ONE, [(requests_name(0), [b"long " * 1000])])
    segments.write(ONE, [(requests_name(0), [b"short"])])
    assert whole(segments, ONE, requests_name(0)) == b"short"


def test_a_large_segment_arrives_whole(segments: Segments) -> None:
    pieces = [bytes([n % 251]) * 100_000 for n in range(40)]
    segments.write(ONE, [(requests_name(0), iter(pieces))])
    assert whole(segments, ONE, requests_name(0)) == b"".join(pieces)


def test_a_failure_among_the_pieces_is_the_caller_s(segments: Segments) -> None:
    def pieces() -> list[bytes]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        segments.write(ONE, ((requests_name(0), pieces()) for _ in range(1)))


def test_appended_bytes_follow_one_another(segments: Segments) -> None:
    name = results_name(0, 1)
    with closing(segments.append(ONE, name)) as appender:
        assert whole(segments, ONE, name) == b""
        appender.put(b"one\n", 0)
        appender.put(b"two\n", 4)
    assert whole(segments, ONE, name) == b"one\ntwo\n"


def test_a_put_may_be_repeated_at_the_same_place_with_more(segments: Segments) -> None:
    name = results_name(0, 1)
    with closing(segments.append(ONE, name)) as appender:
        appender.put(b"one\n", 0)
        appender.put(b"two\n", 4)
        appender.put(b"two\nthree\n", 4)
    assert whole(segments, ONE, name) == b"one\ntwo\nthree\n"


def test_a_segment_is_begun_by_one_owner_only(segments: Segments) -> None:
    begun = segments.append(ONE, results_name(0, 1))
    with closing(begun), pytest.raises(StorageFailed):
        segments.append(ONE, results_name(0, 1))


def test_reading_beyond_the_end_gives_what_is_there(segments: Segments) -> None:
    segments.write(ONE, [(requests_name(0), [b"0123456789"])])
    with closing(segments.read(ONE, requests_name(0))) as reader:
        assert reader.read(8, 100) == b"89"
        assert reader.read(10, 100) == b""
        assert reader.read(3, 4) == b"3456"


def test_what_is_not_there_is_damaged(segments: Segments) -> None:
    with pytest.raises(Damaged):
        segments.read(ONE, requests_name(0))


def test_sealing_drops_what_follows(segments: Segments) -> None:
    name = results_name(0, 1)
    with closing(segments.append(ONE, name)) as appender:
        appender.put(b"whole\ntorn", 0)
    segments.seal(ONE, name, 6)
    segments.seal(ONE, name, 6)
    assert whole(segments, ONE, name) == b"whole\n"


def test_removing_takes_one_segment_or_all_of_one_batch(segments: Segments) -> None:
    segments.write(ONE, [(requests_name(0), [b"x"]), (requests_name(1), [b"y"])])
    segments.remove(ONE, requests_name(0))
    with pytest.raises(Damaged):
        segments.read(ONE, requests_name(0))
    assert whole(segments, ONE, requests_name(1)) == b"y"
    segments.remove(ONE)
    assert segments.batches() == [TWO]
    assert segments.body(TWO).read_bytes() == b"two"


def test_removing_what_is_not_there_is_fine(segments: Segments) -> None:
    segments.remove(ONE, requests_name(0))
    segments.remove(ONE, "body")
    segments.remove(ONE, "body")
    segments.remove(ONE)
    segments.remove(ONE)
    segments.remove(ONE, "body")
    assert segments.batches() == [TWO]


def test_a_reader_outlives_the_removal_or_fails_but_never_reads_other_bytes(
    segments: Segments,
) -> None:
    segments.write(ONE, [(requests_name(0), [b"mine"])])
    with closing(segments.read(ONE, requests_name(0))) as reader:
        segments.remove(ONE)
        segments.write(TWO, [(requests_name(0), [b"other"])])
        with suppress(Damaged):
            assert reader.read(0, 10) in (b"mine", b"")


# -- local files only -----------------------------------------------------------------------------


def test_local_files_are_private(tmp_path: Path) -> None:
    segments = begun(local(tmp_path), tmp_path)
    segments.write(ONE, [(requests_name(0), [b"x"])])
    segments.append(ONE, results_name(0, 1)).close()
    found = list((tmp_path / "batches").rglob("*"))
    assert len(found) == 8
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_short_write_is_continued_and_a_full_disk_told(tmp_path: Path) -> None:
    files = FullFileSystem()
    segments = begun(local(tmp_path, files), tmp_path)
    with closing(segments.append(ONE, results_name(0, 1))) as appender:
        files.room = 7
        with pytest.raises(DiskFull):
            appender.put(b"0123456789", 0)
        files.room = 20
        appender.put(b"0123456789ab", 0)
    assert whole(segments, ONE, results_name(0, 1)) == b"0123456789ab"


@pytest.mark.parametrize("seed", range(25))
def test_power_loss_spares_everything_a_method_had_returned_from(tmp_path: Path, seed: int) -> None:
    files = MortalFileSystem(tmp_path / "disk", tmp_path / "graveyard")
    segments = local(tmp_path / "disk", files)
    path = spooled(tmp_path / "disk", b"the body")
    fd = files.open(path, 0)
    files.sync(fd)
    files.close(fd)
    segments.adopt(ONE, path)
    segments.write(ONE, [(requests_name(n), [b"request\n"] * n) for n in range(3)])
    appender = segments.append(ONE, results_name(0, 1))
    appender.put(b"durable\n", 0)
    appender._files.write(appender._fd, memoryview(b"never synced\n"), 8)  # type: ignore[attr-defined]
    appender.close()
    files.power_loss(tmp_path / "after", random.Random(seed))
    after = local(tmp_path / "after")
    assert after.body(ONE).read_bytes() == b"the body"
    assert [whole(after, ONE, requests_name(n)) for n in range(3)] == [
        b"request\n" * n for n in range(3)
    ]
    assert whole(after, ONE, results_name(0, 1)).startswith(b"durable\n")


def test_the_forgetful_disk_does_forget(tmp_path: Path) -> None:
    """The test above proves nothing unless bytes and names that were not synced can be lost."""
    lost_bytes = lost_names = False
    for seed in range(20):
        files = MortalFileSystem(tmp_path / f"disk{seed}", tmp_path / f"graveyard{seed}")
        disk = tmp_path / f"disk{seed}"
        segments = begun(local(disk, files), disk)
        segments.append(ONE, results_name(0, 1)).close()
        home = disk / "batches" / ONE
        (home / "results" / "0.1.jsonl").write_bytes(b"bytes")
        (home / "name").write_bytes(b"")
        files.power_loss(tmp_path / f"after{seed}", random.Random(seed))
        left = tmp_path / f"after{seed}" / "batches" / ONE
        lost_names |= not (left / "name").exists()
        lost_bytes |= (left / "results" / "0.1.jsonl").exists() and (
            left / "results" / "0.1.jsonl"
        ).read_bytes() != b"bytes"
    assert lost_bytes
    assert lost_names
