"""The prefix cache of an inference engine, modelled: blocks of 16 tokens, least recently used out.

As in vLLM's automatic prefix caching, a block is known by its content and everything before it, and
the tail of a prompt is forgotten before its head.
"""

from __future__ import annotations

from collections import OrderedDict

BYTES_PER_TOKEN = 4
BLOCK_TOKENS = 16
_BLOCK_BYTES = BLOCK_TOKENS * BYTES_PER_TOKEN


def tokens(size: int) -> int:
    """The token count of `size` bytes of text: the usual rule of thumb, four bytes a token."""
    return -(-size // BYTES_PER_TOKEN)


class PrefixCache:
    """Blocks lately seen, at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def admit(self, prompt: bytes) -> int:
        """How many leading tokens of `prompt` need no computing; its blocks are kept from now on.

        The last token of a prompt is always computed, as it is where the answer starts.
        """
        if not self._capacity:
            return 0
        chain = _chain(prompt)
        hits = 0
        for block in chain:
            if block not in self._blocks:
                break
            hits += 1
        for block in reversed(chain):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
        return min(hits * BLOCK_TOKENS, tokens(len(prompt)) - 1)


def _chain(prompt: bytes) -> list[int]:
    """One number per whole block, which depends on the block and all before it."""
    found, before = [], 0
    for start in range(0, len(prompt) - _BLOCK_BYTES + 1, _BLOCK_BYTES):
        before = hash((before, prompt[start : start + _BLOCK_BYTES]))
        found.append(before)
    return found
