"""The files of a model: a Hugging Face directory, and one GGUF for llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from tests.tiny_model.vocabulary import (
    BOS,
    CHAT_TEMPLATE,
    END,
    PAD,
    SPECIAL,
    VOCABULARY,
    build_tokenizer,
)
from tests.tiny_model.weights import CONTEXT, ROPE_THETA, SHAPES, Matrix, Shape, build_weights

NORM_EPSILON = 1e-6

_TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INSIDE = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write(directory: Path, size: str, *, seed: int = 1, gguf: bool = True) -> None:
    """Write the whole model. Equal arguments give equal files, byte for byte."""
    directory.mkdir(parents=True, exist_ok=True)
    shape, tokenizer = SHAPES[size], build_tokenizer(seed)
    weights = build_weights(tokenizer, shape, seed)
    for name, value in _configuration(tokenizer, shape).items():
        (directory / name).write_text(json.dumps(value, indent=1) + "\n")
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    tokenizer.save(str(directory / "tokenizer.json"))
    save_file(weights, str(directory / "model.safetensors"), metadata={"format": "pt"})
    if gguf:
        _write_gguf(directory / "model.gguf", tokenizer, weights, size)


def _configuration(tokenizer: Tokenizer, shape: Shape) -> dict[str, dict[str, Any]]:
    roles = {"bos_token": BOS, "eos_token": END, "pad_token": PAD}
    numbers = {f"{role}_id": tokenizer.token_to_id(token) for role, token in roles.items()}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    }
    tokens = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    return {
        "config.json": config | numbers,
        "generation_config.json": dict(numbers),
        "tokenizer_config.json": tokens | roles,
    }


def _write_gguf(path: Path, tokenizer: Tokenizer, weights: dict[str, Matrix], size: str) -> None:
    shape = SHAPES[size]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(f"{size}-random-llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer)
    for name, matrix in weights.items():
        target, value = _as_llama_cpp(name.removesuffix(".weight"), matrix, shape)
        writer.add_tensor(f"{target}.weight", np.ascontiguousarray(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    special, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([special if token in SPECIAL else normal for token, _ in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(tokenizer.token_to_id(BOS))
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_pad_token_id(tokenizer.token_to_id(PAD))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _as_llama_cpp(name: str, matrix: Matrix, shape: Shape) -> tuple[str, Matrix]:
    """A tensor's name and value there: it rotates neighbouring pairs, checkpoints rotate halves."""
    if name in _TOP:
        return _TOP[name], matrix
    _, _, layer, rest = name.split(".", 3)
    heads = {"self_attn.q_proj": shape.heads, "self_attn.k_proj": shape.kv_heads}.get(rest)
    if heads is not None:
        rows, columns = matrix.shape
        paired = matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
        matrix = paired.reshape(rows, columns)
    return f"blk.{layer}.{_INSIDE[rest]}", matrix
