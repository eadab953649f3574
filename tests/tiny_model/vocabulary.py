"""A byte-level BPE tokenizer of 1,024 tokens and a ChatML template."""

from __future__ import annotations

import itertools

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.tiny_model.corpus import sentences

VOCABULARY = 1_024
PAD, BOS, START, END = "<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, BOS, START, END)
_TRAINED_ON = 6_000

CHAT_TEMPLATE = """\
{%- macro text(content) -%}
{%- if content is string -%}{{ content }}
{%- elif content -%}{%- for part in content -%}{{ part.text or '' }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
{%- if tools -%}
<|im_start|>system
Tools: {{ tools | tojson }}<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ text(message.content) }}
{%- if message.tool_calls -%}{{ message.tool_calls | tojson }}{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def build_tokenizer(seed: int) -> Tokenizer:
    """Trained on the corpus; every byte has a token, so any text can be said and read."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        itertools.islice(sentences(seed), _TRAINED_ON),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def byte_characters() -> list[tuple[int, str]]:
    """The byte-level alphabet: each byte with the character that stands for it in tokens."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    shifted = [(byte, chr(256 + number)) for number, byte in enumerate(rest)]
    return [(byte, chr(byte)) for byte in plain] + shifted
