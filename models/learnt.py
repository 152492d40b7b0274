"""Words that adapters bring: a vector of a word's own, which travels in the metadata of the adapter's file.

    write(file, Word("bobo", vector))     of a LoRA file; other programs read the LoRA and pass over the word
    read(file)                            the word of a LoRA file, or None
    Reading(text, tokenizer, [(word, strength)])      embeds prompts as `text` does, and knows the words

The vector is added to the encoder's states of the word's own tokens, wherever a prompt has the word. Encoder,
vocabulary and the states of all other prompts stay as they are, bit for bit, so that the word leaves with its adapter.
Differs from Custom Diffusion (Kumari et al. 2023), whose new embedding enters the encoder: behind the encoder, states
of prompts can be cached, and the strength of the adapter is a factor of the vector.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.content import shown
from models.denoiser import Cond

KEY = "word"  # of the file's metadata
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MOST = 10_000  # numbers of a vector; no encoder's states are as wide


@dataclass(frozen=True)
class Word:
    name: str
    vector: Tensor  # [D]


def write(path: Path, word: Word) -> None:
    """Add the word to a LoRA file."""
    with safe_open(path, "pt") as f:
        metadata = f.metadata() or {}
    numbers = word.vector.detach().cpu().numpy().astype("<f2").tobytes()
    entry = {"name": word.name, "vector": base64.b64encode(numbers).decode()}
    save_file(load_file(path), path, metadata | {KEY: json.dumps(entry)})


def read(path: Path) -> Word | None:
    """The word that a LoRA file brings. Raises ValueError where it is damaged."""
    with safe_open(path, "pt") as f:
        text = (f.metadata() or {}).get(KEY)
    if text is None:
        return None
    try:
        entry = json.loads(text)
        name, numbers = entry["name"], base64.b64decode(entry["vector"], validate=True)
        vector = torch.from_numpy(np.frombuffer(numbers, "<f2").astype(np.float32))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise ValueError(f"{shown(path)} is damaged: its word is no name with a vector") from None
    if not isinstance(name, str) or not NAME.fullmatch(name) or not 0 < len(vector) <= MOST:
        raise ValueError(f"{shown(path)} is damaged: its word is no name with a vector")
    if not torch.isfinite(vector).all():
        raise ValueError(f"{shown(path)} is damaged: the vector of its word holds numbers that are not finite")
    return Word(name, vector)


def pattern(name: str) -> re.Pattern[str]:
    """What a prompt has where it has this word."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)


def spot(texts: Sequence[str], name: str, tokenizer: Any, length: int) -> Tensor:
    """The tokens of the word in each text, bool [B, length]."""
    where = torch.zeros(len(texts), length, dtype=torch.bool)
    for row, text in enumerate(texts):
        words = [match.span() for match in pattern(name).finditer(text)]
        if not words:
            continue
        spans = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=length).offset_mapping
        for k, (start, end) in enumerate(spans):
            where[row, k] = any(first <= start < end <= last for first, last in words)
    return where


def added(cond: Cond, where: Tensor, vector: Tensor) -> Cond:
    """The prompts with the vector [D] added to the tokens at `where` [B, L]."""
    moved = cond.tokens + vector.to(cond.tokens)
    return replace(cond, tokens=torch.where(where[..., None].to(moved.device), moved, cond.tokens))


class Reading:
    """Embeds prompts, and knows the words of the adapters that are active, each with its strength."""

    def __init__(self, text: Callable[[Sequence[str]], Cond], tokenizer: Any, words: Sequence[tuple[Word, float]]):
        self.text, self.tokenizer, self.words = text, tokenizer, words

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> Cond:
        cond = self.text(texts)
        for word, strength in self.words:
            where = spot(texts, word.name, self.tokenizer, cond.tokens.shape[1])
            if where.any():
                cond = added(cond, where, strength * word.vector)
        return cond


def reading(parts: Any, path: Path, strength: float) -> Callable[[Sequence[str]], Cond]:
    """What reads prompts for these parts once the LoRA of this file is active on them. Raises ValueError for a word of
    another encoder."""
    word = read(path)
    if word is None:
        return parts.text
    size, width = len(word.vector), parts.denoiser.token_width
    if size != width:
        raise ValueError(
            f"the word {word.name} of {shown(path)} has {size} numbers, and a token of {parts.row.id} has {width}"
        )
    return Reading(parts.text, parts.pipeline.tokenizer, [(word, strength)])
