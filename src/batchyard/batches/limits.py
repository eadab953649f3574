"""Every limit with a name, its default that of the hosted API; each can be configured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch and a workspace may be. Sizes in bytes, times in seconds."""

    requests_max: int = 100_000
    body_bytes_max: int = 268_435_456
    batches_in_process_max: int = 100
    processing_seconds: int = 24 * 3600
    results_seconds: int = 29 * 24 * 3600
    sdk_retry_seconds: int = 15 * 60
    idempotency_seconds: int = 24 * 3600
    live_body_bytes_max: int = 32 * 1024 * 1024


SHARD_REQUESTS_MAX = 1_024
SHARD_BYTES_MAX = 8 * 1024 * 1024
CUSTOM_ID_PATTERN = r"^[a-zA-Z0-9_-]{1,64}$"
CUSTOM_ID_MAX = 64
PAGE_DEFAULT, PAGE_MAX = 20, 1_000
