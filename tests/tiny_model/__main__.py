"""`python -m tests.tiny_model DIR --size tiny|small`: a model written where one is wanted."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.tiny_model.checkpoint import write
from tests.tiny_model.weights import SHAPES


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--size", choices=SHAPES, default="tiny")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gguf", action="store_true", help="also write model.gguf")
    options = parser.parse_args()
    write(options.directory, options.size, seed=options.seed, gguf=options.gguf)
    print(options.directory)


if __name__ == "__main__":
    main()
