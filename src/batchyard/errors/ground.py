"""Faults of the ground we stand on: disk and database."""

from __future__ import annotations

from typing import ClassVar

from batchyard.errors.tree import BatchyardError


class StorageError(BatchyardError):
    """Base of what the store raises for faults of disk or database."""

    code: ClassVar[str] = "storage"


class DiskFull(StorageError):
    """No space (or a file-size limit): refuse creates, hold results, go on when space returns."""

    code = "disk_full"


class StorageFailed(StorageError):
    """A write or fsync failed for another reason: exit and recover, never pretend."""

    code = "storage_failed"


class Damaged(StorageError):
    """Bytes that were durable are missing, or not as they were written. Told, never hidden."""

    code = "storage_damaged"


class Fenced(StorageError):
    """Another worker has taken this shard since: nothing the old one writes counts any more."""

    code = "fenced"


class DataDirectoryBusy(StorageError):
    """Another server holds the lock of this data directory."""

    code = "data_directory_busy"


class SchemaMismatch(StorageError):
    """The catalog was written by another version of the program."""

    code = "schema_mismatch"
