"""Small random-weight models that real inference engines load, made on the spot.

`tiny_model()` gives the directory of one, made on first use and kept under `.cache/models`. The
weights are noise, but the output is made to be useful in tests: greedy output depends on the whole
prompt and is the same on every run and (nearly always) on every engine; the text is plain ASCII;
and generation ends by itself after some 48 tokens, so both `end_turn` and `max_tokens` occur.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal

Size = Literal["tiny", "small"]

CACHE = Path(__file__).parents[2] / ".cache" / "models"
VERSION = 1
"""Raised whenever the files come out differently, so that old ones are not used."""


def tiny_model(size: Size = "tiny") -> Path:
    """The directory of a model: `model.gguf`, `model.safetensors`, tokenizer and configuration.

    tiny: 0.2 M parameters, 3 MB, 1 s to make; small: 3.7 M parameters, 30 MB. Several processes
    may ask at once; each finds it whole.
    """
    made = CACHE / f"{size}-v{VERSION}"
    if not made.is_dir():
        from tests.tiny_model.checkpoint import write

        CACHE.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=CACHE, prefix=f".{size}-"))
        write(draft, size)
        try:
            os.rename(draft, made)
        except OSError:  # another process was quicker
            shutil.rmtree(draft)
    return made


def tiny_gguf(size: Size = "tiny") -> Path:
    """The model as one file for llama.cpp."""
    return tiny_model(size) / "model.gguf"
