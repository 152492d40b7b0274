"""A judge's reward for a picture: the log probability of the attributes that its caption states."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from distill.data.toys.captions import COLOUR_WORDS
from distill.method import Batch
from evals import labels
from evals.judges import Judge

ALWAYS = ("kind", "kind2", "count", "relation")  # attributes that every caption names where they apply
COLOURS = ("colour", "colour2", "background")  # attributes that count where the caption has the word

REPORTED = ("kind", "colour")


def wanted(captions: Sequence[str], rows: Sequence[dict], heads: labels.Heads) -> dict[str, Tensor]:
    """The classes [B] of each head that the captions state; -1 for all others, and for pictures that are no toys."""
    toys = [row if "kind" in row else {} for row in rows]
    truths = {k: v for k, v in labels.batch(toys, heads).items() if k in ALWAYS + COLOURS}
    words = [set(caption.lower().replace(",", " ").split()) for caption in captions]
    for head in COLOURS:
        classes: list[int] = truths[head].tolist()
        for i, c in enumerate(classes):
            if c >= 0 and not words[i] & set(COLOUR_WORDS[heads[head][c]]):
                truths[head][i] = labels.NOT_APPLICABLE
    return truths


def judged(judge: Judge) -> Callable[[Tensor, Batch], dict[str, float]]:
    """A function of pictures [B, 3, 128, 128] in [-1, 1] and their batch: the share with the right kind, and with the
    right colour."""

    def read(pictures: Tensor, batch: Batch) -> dict[str, float]:
        answers, shares = judge.read(pictures.float().cpu())[1], {}
        for head, truth in wanted(batch.captions, batch.truth, judge.classes).items():
            applies = truth >= 0
            if head in REPORTED and applies.any():
                shares[head] = float((answers[head] == truth)[applies].float().mean())
        return shares

    return read


def reward(judge: Judge, decode: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Batch], Tensor]:
    """A function of x0 and its batch: the mean log probability [B] of the stated attributes, 0 where there are none.
    Gradients reach x0."""

    def score(x0: Tensor, batch: Batch) -> Tensor:
        logits, total, n = judge(decode(x0)), x0.new_zeros(len(x0)), x0.new_zeros(len(x0))
        for head, truth in batch.labels.items():
            applies = truth >= 0
            log_p = logits[head].float().log_softmax(1).gather(1, truth.clamp_min(0)[:, None])[:, 0]
            total, n = total + torch.where(applies, log_p, 0), n + applies
        return total / n.clamp_min(1)

    return score
