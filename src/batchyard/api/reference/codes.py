"""Every error code with its status, meaning and way out: the table behind `/docs/errors`."""

from __future__ import annotations

from batchyard.api.reference.code import Code
from batchyard.api.reference.terminal_codes import AT_THE_TERMINAL

CODES: tuple[Code, ...] = (
    # -- what the call itself got wrong
    Code(
        "invalid_request",
        400,
        "Something in the call is wrong; the message starts with the path of the field.",
        "Correct the field. Repeating the call as it is will not help.",
    ),
    Code(
        "unknown_version",
        400,
        "`anthropic-version` names a version that this server does not know.",
        "Send `2023-06-01` or `2026-10-21`, or leave the header out.",
    ),
    Code(
        "request_body_encoding_unsupported",
        400,
        "The body has a `Content-Encoding` other than gzip or deflate.",
        "Send gzip, deflate or no encoding.",
    ),
    Code(
        "request_body_encoding_invalid",
        400,
        "The body is not what `Content-Encoding` says, or is cut short.",
        "Send it complete, or without `Content-Encoding`.",
    ),
    Code(
        "idempotency_key_reused",
        400,
        "The `Idempotency-Key` was used before, with another body. Nothing was queued.",
        "Send the same body again, or a new key.",
    ),
    Code(
        "method_not_allowed",
        405,
        "The path exists, the method does not. `Allow` lists those that do.",
        "Use one of the methods in `Allow`.",
    ),
    Code(
        "range_not_satisfiable",
        416,
        "`Range` names bytes beyond the end of the results. `Content-Range` tells their number.",
        "Ask for bytes that are there, or leave the header out.",
    ),
    Code(
        "request_too_large",
        413,
        "The body is larger than the limit.",
        "Split it: batches may be many; the limits are in `[limits]` of the configuration.",
    ),
    Code(
        "request_body_too_large_after_decoding",
        413,
        "The body is larger than the limit once it is unpacked; the limit holds for that size.",
        "Split it: batches may be many; the limits are in `[limits]` of the configuration.",
    ),
    # -- who asks
    Code(
        "authentication_failed",
        401,
        "No key was sent, or none that is valid. Unknown, revoked and malformed look the same.",
        "Send `x-api-key: KEY` or `Authorization: Bearer KEY` with a key of this server.",
    ),
    Code(
        "permission_denied",
        403,
        "The key is valid and may not do this.",
        "Use a key that may.",
    ),
    Code(
        "workspace_mismatch",
        403,
        "`anthropic-workspace-id` names another workspace than that of the key.",
        "Leave the header out, or use a key of that workspace.",
    ),
    Code(
        "foreign_origin",
        403,
        "A web page of another site tried to write to a server that asks for no key.",
        "Allow the origin by name, or create a key: then every call needs one.",
    ),
    Code(
        "not_found",
        404,
        "There is no such thing in the workspace of the key, whether or not it exists in another.",
        "Look at the id and at the key. Ids of deleted batches stay unknown for ever.",
    ),
    Code(
        "results_not_ready",
        404,
        "The batch has not ended: there are no results yet.",
        "Poll it until `results_url` is set.",
    ),
    Code(
        "results_expired",
        404,
        "The results have had their time (29 days from creation) and were removed.",
        "The batch and its counts are kept; the results cannot be brought back.",
    ),
    Code(
        "unknown_model",
        404,
        "No engine serves a model of that name. In a batch the request ends as an errored line.",
        'Use a name from `/v1/models`, or map it: `[models.aliases] "asked" = "served"`.',
    ),
    # -- not now
    Code(
        "rate_limited",
        429,
        "There is too much to do right now.",
        "Wait as long as `retry-after` says.",
    ),
    Code(
        "batch_queue_full",
        429,
        "As many batches are in process as the workspace may have. Nothing was queued.",
        "Wait as long as `retry-after` says, or cancel one; an operator can raise the limit.",
    ),
    Code(
        "unavailable",
        503,
        "The server cannot take this right now.",
        "Wait as long as `retry-after` says; `/readyz?verbose` has the reason.",
    ),
    Code(
        "disk_full",
        503,
        "There is no space left where the server keeps its data. Nothing was stored.",
        "Make room; accepted batches wait and go on by themselves.",
    ),
    Code(
        "storage_failed",
        503,
        "The disk or the database refused a write. Nothing was acknowledged.",
        "The server's log has the cause; it recovers from what it has on disk.",
    ),
    Code(
        "storage_damaged",
        503,
        "Bytes that were stored are missing, or not as they were written.",
        "The server's log names the file; restore it from a copy.",
    ),
    Code(
        "fenced",
        None,
        "A worker lost its shard to another one; nothing it still writes counts.",
        "Nothing is to be done: it happens when a process was paused for long.",
    ),
    Code(
        "storage",
        503,
        "The disk or the database has a problem. Nothing was acknowledged.",
        "The server's log has the cause.",
    ),
    Code(
        "internal",
        500,
        "A fault of ours. The log has a traceback under the request id.",
        "Report it with the request id; the SDKs try again by themselves.",
    ),
    # -- the engine behind a live call, or behind a request of a batch
    Code(
        "rejected",
        400,
        "The engine refused the request itself; the words are its own. Never sent again.",
        "Correct the request.",
    ),
    Code(
        "engine_error",
        502,
        "The engine answered with an error; status, type and words are its own.",
        "Read its words; for a live call the status says whether trying again helps.",
    ),
    Code(
        "overloaded",
        529,
        "The engine has more work than it can take. Batches slow down and wait by themselves.",
        "For live calls: wait as long as `retry-after` says.",
    ),
    Code(
        "engine_overloaded",
        529,
        "The engine behind a live call has more work than it can take.",
        "Wait as long as `retry-after` says.",
    ),
    Code(
        "engine_unavailable",
        503,
        "The engine cannot be reached, or has not said yet what it serves.",
        "Start it, or look at `/readyz?verbose`. Batches wait for it until they expire.",
    ),
    Code(
        "maybe_spent",
        502,
        "The engine took the request and gave no usable answer; it may have been computed.",
        "Try again if paying twice is acceptable.",
    ),
    Code(
        "engine_misconfigured",
        503,
        "The engine refuses this server: key, billing or path are wrong. It is paused.",
        "An operator corrects it; `/readyz?verbose` has the engine's words.",
    ),
    *AT_THE_TERMINAL,
)
"""In the order of the page: the call, the caller, the moment, the engine, the start."""
