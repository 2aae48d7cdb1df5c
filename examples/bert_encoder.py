"""A small BERT: an encoder learns from masked characters, and then carries two heads.

    python examples/bert_encoder.py              a few minutes on two cores
    python examples/bert_encoder.py --steps 60 --expect 0.2 0.3 0.7

First every seventh character or so is hidden, and the encoder learns to restore it from both sides.
The same encoder then serves two models that begin where it stands: one says from which of four
chapters a passage comes (classification), the other of each character whether it stands between
quotation marks (sequence labelling). The text is the help of Python; the last tenth of every
chapter is for validation. Expect accuracies of 0.55 on hidden characters, 0.80 on chapters and
0.90 on quotations; the most frequent answer would give 0.17, 0.36 and 0.83. The program fails if it
does not reach what it is told to expect.
"""

from __future__ import annotations

import argparse
import re

import numpy as np

import chainrule as cr
from chainrule.layers import (
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    Layer,
    SinusoidalPositions,
    TransformerEncoderBlock,
)
from chainrule.models import Model

LENGTH = 64
CHAPTERS = (
    "Compound statements",
    "The standard type hierarchy",
    "Format String Syntax",
    "String Methods",
)


class Encoder(Model):
    """Characters to vectors that know what is around them (Devlin et al. 2019)."""

    def __init__(self, vocab_size: int, width: int = 64, heads: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.embedding, self.positions = Embedding(vocab_size, width), SinusoidalPositions()
        self.blocks = [
            TransformerEncoderBlock(heads, 4 * width, activation="gelu", norm_first=True)
            for _ in range(blocks)
        ]

    def call(self, ids: cr.Tensor) -> cr.Tensor:
        """(batch, time) -> (batch, time, width)"""
        x = self.positions(self.embedding(ids))
        for block in self.blocks:
            x = block(x)
        return x


class Headed(Model):
    """An encoder, which several models may share, and what is made of its vectors."""

    def __init__(self, encoder: Encoder, head: list[Layer]) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def call(self, ids: cr.Tensor) -> cr.Tensor:
        """What the last layer of the head makes of it."""
        x = self.encoder(ids)
        for layer in self.head:
            x = layer(x)
        return x


def hidden(ids: np.ndarray, mask: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows with about every seventh character hidden, and those characters; 0 elsewhere."""
    chosen = cr.random.generator().random(ids.shape) < 0.15
    return np.where(chosen, mask, ids), np.where(chosen, ids, 0)


def loss_of_hidden(y_true: cr.Tensor, y_pred: cr.Tensor) -> cr.Tensor:
    """The cross-entropy of the hidden characters alone."""
    asked = (y_true != 0).astype(y_pred.dtype)
    return (cr.sparse_softmax_cross_entropy(y_pred, y_true) * asked).sum() / asked.sum()


def accuracy_of_hidden(model: Model, x: np.ndarray, y: np.ndarray) -> float:
    """The share of hidden characters that the model restores."""
    asked = y != 0
    return float((model.predict(x).argmax(axis=-1) == y)[asked].mean())


def chapters(text: str) -> dict[str, str]:
    """The text of each chapter, by its heading: a line, and a line of stars below it."""
    heads = [*re.finditer(r"(?m)^(.+)\n\*{4,}\n", text)]
    ends = [*(each.start() for each in heads[1:]), len(text)]
    return {each[1]: text[each.end() : end] for each, end in zip(heads, ends, strict=True)}


def quoted(text: str) -> np.ndarray:
    """Of each character: does it stand between quotation marks? A paragraph begins outside."""
    labels = np.zeros(len(text), np.uint8)
    inside = False
    for i, character in enumerate(text):
        inside ^= character == '"'
        inside &= text[i : i + 2] != "\n\n"
        labels[i] = inside
    return labels


def cut(values: np.ndarray, stride: int) -> np.ndarray:
    """Windows of LENGTH, `stride` apart."""
    return np.lib.stride_tricks.sliding_window_view(values, LENGTH)[::stride]


def main() -> None:
    """Learns from hidden characters, then fits both heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of 32 windows, for each model")
    parser.add_argument("--expect", type=float, nargs=3, default=(0.55, 0.80, 0.90))
    options = parser.parse_args()

    cr.seed(0)
    text = cr.datasets.python_docs().text
    tokenizer = cr.text.CharTokenizer(specials=("[MASK]",)).fit(text)
    mask = tokenizer.vocabulary.to_ids(["[MASK]"])[0]
    parts = [
        (i, chapter[: 9 * len(chapter) // 10], chapter[9 * len(chapter) // 10 :])
        for i, chapter in enumerate(chapters(text).values())
    ]
    train = [(i, tokenizer.encode(part), quoted(part)) for i, part, _ in parts]
    held_out = [(i, tokenizer.encode(part), quoted(part)) for i, _, part in parts]
    rounds = -(-32 * options.steps // sum(len(cut(ids, 8)) for _, ids, _ in train))
    count = 32 * options.steps // rounds

    x = np.concatenate([cut(ids, 8) for _, ids, _ in train if len(ids) >= LENGTH])
    x = x[cr.random.generator().permutation(len(x))[:count]]
    x_val = np.concatenate([cut(ids, LENGTH) for _, ids, _ in held_out if len(ids) >= LENGTH])

    encoder = Encoder(tokenizer.vocab_size)
    restores = Headed(encoder, [Dense(tokenizer.vocab_size)])
    restores.compile("adam", loss_of_hidden)
    for epoch in range(rounds):  # other characters are hidden each time
        restores.fit(*hidden(x, mask), epochs=epoch + 1, initial_epoch=epoch)
    reached = [accuracy_of_hidden(restores, *hidden(x_val, mask))]

    names = [*chapters(text)]
    chosen = [names.index(each) for each in CHAPTERS]
    of_chapter = Headed(encoder, [GlobalAveragePooling1D(), Dense(len(CHAPTERS), "softmax")])
    data = []
    for group, stride in ((train, 8), (held_out, 8)):
        windows = [(chosen.index(i), cut(ids, stride)) for i, ids, _ in group if i in chosen]
        data.append(np.concatenate([each for _, each in windows]))
        data.append(np.concatenate([np.full(len(each), i) for i, each in windows]))
    of_chapter.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    of_chapter.fit(data[0], data[1], epochs=3, validation_data=(data[2], data[3]))
    reached.append(of_chapter.evaluate(data[2], data[3])[1])

    in_quotes = Headed(encoder, [Dense(2, "softmax")])
    x, y, x_val, y_val = (
        np.concatenate([cut(each[k], 16) for each in group if len(each[k]) >= LENGTH])
        for group in (train, held_out)
        for k in (1, 2)
    )
    in_quotes.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    in_quotes.fit(x, y, epochs=1, validation_data=(x_val, y_val))
    reached.append(in_quotes.evaluate(x_val, y_val)[1])

    for name, value, least in zip(
        ("hidden characters", "chapters", "quotations"), reached, options.expect, strict=True
    ):
        print(f"accuracy on {name} {value:.4f}, expected at least {least}")
    if any(value < least for value, least in zip(reached, options.expect, strict=True)):
        raise SystemExit("an expected accuracy was not reached")


if __name__ == "__main__":
    main()
