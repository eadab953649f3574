"""The codes that only a person at a terminal meets: at the start of a server, calls, runs."""

from __future__ import annotations

from batchyard.api.reference.code import Code

AT_THE_TERMINAL: tuple[Code, ...] = (
    # -- the start of the server, and the commands that call one
    Code(
        "configuration",
        None,
        "A flag, a variable or a key of the configuration file cannot be.",
        "The message names it, the value, the rule, and what to write instead.",
    ),
    Code(
        "data_directory_busy",
        None,
        "Another server works on this data directory. Nothing was touched.",
        "Stop it, or give this one another `--data-dir`.",
    ),
    Code(
        "schema_mismatch",
        None,
        "The catalog was written by another version of the program.",
        "Run the version that wrote it, or a newer one.",
    ),
    Code(
        "server_unreachable",
        None,
        "The command found no server at the address it was given.",
        "Start one with `batchyard serve`, or correct `--server`.",
    ),
    Code(
        "not_this_api",
        None,
        "Something answers at that address, and it does not speak this API.",
        "Correct `--server`; a proxy in between may answer in its place.",
    ),
    Code(
        "requests_file",
        None,
        "The file of requests cannot be read, or a line of it is wrong.",
        "The message names the line and the rule.",
    ),
    # -- runs: a dataset, a prompt, and the answers
    Code(
        "input",
        None,
        "The dataset cannot be read, or a row of it cannot be asked about. Nothing was sent.",
        "The message names the line or row, what was found there, and the rule.",
    ),
    Code(
        "prompt",
        None,
        "The prompt, the schema or a parameter cannot be used on this dataset. Nothing was sent.",
        "The message names the columns that are there and the nearest name.",
    ),
    Code(
        "output",
        None,
        "The answers cannot be written where they should go. Those that came are kept in the run.",
        "Name another file with `-o`, or `--force` to replace one that exists.",
    ),
    Code(
        "cap",
        None,
        "A cap on cost, tokens or hours allows no further batch. What was answered is kept.",
        "`batchyard resume` with a higher cap goes on where the run stopped.",
    ),
    Code(
        "run_changed",
        None,
        "Input, prompt or schema are not those the run began with. Its answers stay.",
        "`--new` begins another run, `--only-missing` asks rows without an answer the new one.",
    ),
    Code(
        "no_run",
        None,
        "No run of that name lies here, or another process is at work on it.",
        "`batchyard runs` lists those that are here.",
    ),
    Code(
        "schema_truncated",
        None,
        "In a file of answers: the answer of the row stopped at `max_tokens` inside its JSON.",
        "`batchyard retry --only schema_truncated --max-tokens N` asks again with more room.",
    ),
)
