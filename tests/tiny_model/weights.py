"""The numbers inside: random, with one residual channel that steers the output.

No layer writes to channel 0, so it stays constant from the embedding to the end, where one column
of the output matrix turns it into a bias over the vocabulary: against special tokens and anything
that is not printable ASCII, and for an end of turn every so many tokens.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.tiny_model.vocabulary import END, SPECIAL, VOCABULARY, byte_characters

Matrix = NDArray[np.float32]

ROPE_THETA = 10_000.0
CONTEXT = 8_192
MEAN_TOKENS = 48
LOGITS_SPREAD = 3.0
NEVER = -40.0


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's dimensions. `constant` is channel 0 after the final norm, as measured."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    constant: float


SHAPES = {
    "tiny": Shape(64, 2, 2, 1, 32, 192, constant=0.50),
    "small": Shape(256, 4, 4, 2, 64, 768, constant=0.36),
}


def build_weights(tokenizer: Tokenizer, shape: Shape, seed: int) -> dict[str, Matrix]:
    """Every tensor under the name that Llama checkpoints use."""
    rng = np.random.default_rng(seed)
    embedding = rng.standard_normal((VOCABULARY, shape.hidden), dtype=np.float32)
    embedding[:, 0] = 1.0
    weights = {"model.embed_tokens.weight": embedding}
    for number in range(shape.layers):
        for name, matrix in _layer(rng, shape).items():
            weights[f"model.layers.{number}.{name}.weight"] = matrix
    weights["model.norm.weight"] = np.ones(shape.hidden, np.float32)
    head = _noise(rng, VOCABULARY, shape.hidden, LOGITS_SPREAD)
    # Half the noise on the end token: it should come by its bias, not by the prompt.
    head[tokenizer.token_to_id(END)] *= 0.5
    head[:, 0] = _bias(tokenizer) / shape.constant
    weights["lm_head.weight"] = head
    return weights


def _layer(rng: np.random.Generator, shape: Shape) -> dict[str, Matrix]:
    """One block. Sharp attention (gain above 1) makes the output depend on distant tokens."""
    hidden, width = shape.hidden, shape.head_dim
    layer = {
        "self_attn.q_proj": _noise(rng, shape.heads * width, hidden, 1.6),
        "self_attn.k_proj": _noise(rng, shape.kv_heads * width, hidden, 1.6),
        "self_attn.v_proj": _noise(rng, shape.kv_heads * width, hidden, 1.5),
        "self_attn.o_proj": _noise(rng, hidden, shape.heads * width, 1.5),
        "mlp.gate_proj": _noise(rng, shape.ffn, hidden),
        "mlp.up_proj": _noise(rng, shape.ffn, hidden),
        "mlp.down_proj": _noise(rng, hidden, shape.ffn),
    }
    layer["self_attn.o_proj"][0] = 0.0
    layer["mlp.down_proj"][0] = 0.0
    norms = ("input_layernorm", "post_attention_layernorm")
    return layer | {norm: np.ones(hidden, np.float32) for norm in norms}


def _noise(rng: np.random.Generator, rows: int, columns: int, gain: float = 1.0) -> Matrix:
    matrix = rng.standard_normal((rows, columns), dtype=np.float32) * (gain / columns**0.5)
    return matrix.astype(np.float32)


def _bias(tokenizer: Tokenizer) -> Matrix:
    bias = np.zeros(VOCABULARY, np.float32)
    byte_of = {character: byte for byte, character in byte_characters()}
    vocabulary = tokenizer.get_vocab()
    for token, number in vocabulary.items():
        if token in SPECIAL or any(not _printable(byte_of[letter]) for letter in token):
            bias[number] = NEVER
    # The best of the other logits is 9.6 +- 1: the end wins once in MEAN_TOKENS steps.
    wanted = statistics.NormalDist().inv_cdf(1.0 - 1.0 / MEAN_TOKENS)
    bias[vocabulary[END]] = 9.6 - 1.8 * wanted
    return bias


def _printable(byte: int) -> bool:
    return byte == 10 or 32 <= byte < 127
