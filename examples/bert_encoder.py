"""A small BERT: an encoder learns from masked characters, and then carries two heads.

    python examples/bert_encoder.py              a few minutes on two cores
    python examples/bert_encoder.py --steps 20 --windows 320 --expect 0.12 0.30 0.85

First every seventh character or so is hidden, and the encoder learns to restore it from both sides.
The same encoder then serves two models that begin where it stands: one says from which of four
chapters a passage comes (classification), the other of each character whether it stands between
quotation marks (sequence labelling). The text is the help of Python; the last tenth of every
chapter is for validation. Expect accuracies of 0.55 on hidden characters, 0.58 on chapters and
0.94 on quotations; the most frequent answer would give 0.17, 0.36 and 0.91, which the second line
above is too short to pass: it shows that the program runs. The program fails if it does not reach
what it is told to expect.
"""

from __future__ import annotations

import argparse
import re

import numpy as np

import chainrule as cr
from chainrule.layers import (
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    Layer,
    LayerNormalization,
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
        self.norm = LayerNormalization()

    def call(self, ids: cr.Tensor) -> cr.Tensor:
        """(batch, time) -> (batch, time, width)"""
        x = self.embedding(ids)
        x = self.positions(x * x.shape[-1] ** 0.5)  # or the positions would drown the characters
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


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


def windows(
    parts: list[str], tokenizer: cr.text.CharTokenizer, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of ids, whether each character is quoted, and which part each window is of."""

    def cut(values: np.ndarray) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(values, LENGTH)[::stride]

    long = [(i, part) for i, part in enumerate(parts) if len(part) >= LENGTH]
    ids = [cut(tokenizer.encode(part)) for _, part in long]
    quotes = [cut(quoted(part)) for _, part in long]
    numbers = [np.full(len(each), i) for each, (i, _) in zip(ids, long, strict=True)]
    return np.concatenate(ids), np.concatenate(quotes), np.concatenate(numbers)


def some(count: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """At most so many rows, drawn at random, the same of each array."""
    rows = cr.random.generator().permutation(len(arrays[0]))[:count]
    return tuple(each[rows] for each in arrays)


def of_chapters(ids: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows of the parts 0, 1, ... that are CHAPTERS, with their numbers."""
    chosen = numbers < len(CHAPTERS)
    return ids[chosen], numbers[chosen]


def main() -> None:
    """Learns from hidden characters, then fits both heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=2500, help="of 32 windows, to learn to restore"
    )
    parser.add_argument(
        "--windows", type=int, default=25_000, help="to fit each head with, at most"
    )
    parser.add_argument("--expect", type=float, nargs=3, default=(0.55, 0.58, 0.94))
    options = parser.parse_args()

    cr.seed(0)
    text = cr.datasets.python_docs().text
    tokenizer = cr.text.CharTokenizer(specials=("[MASK]",)).fit(text)
    parts = chapters(text)
    parts = [parts.pop(name) for name in CHAPTERS] + [*parts.values()]
    ids, quotes, numbers = windows([part[: len(part) * 9 // 10] for part in parts], tokenizer, 8)
    held_out = [part[len(part) * 9 // 10 :] for part in parts]
    ids_val, quotes_val, numbers_val = windows(held_out, tokenizer, 32)

    encoder = Encoder(tokenizer.vocab_size)
    restores = Headed(encoder, [Dense(tokenizer.vocab_size)])
    restores.compile(cr.optim.Adam(learning_rate=0.003), loss_of_hidden)
    mask = tokenizer.vocabulary.to_ids(["[MASK]"])[0]
    rounds = -(-32 * options.steps // len(ids))
    for epoch in range(rounds):  # others are hidden each time
        (x,) = some(32 * options.steps // rounds, ids)
        restores.fit(*hidden(x, mask), epochs=epoch + 1, initial_epoch=epoch)
    reached = [accuracy_of_hidden(restores, *hidden(ids_val, mask))]

    says_chapter = Headed(
        encoder, [GlobalAveragePooling1D(), Dropout(0.5), Dense(len(CHAPTERS), "softmax")]
    )
    says_quoted = Headed(encoder, [Dense(2, "softmax")])
    for model, (x, y), validation_data, epochs in (
        (says_chapter, of_chapters(ids, numbers), of_chapters(ids_val, numbers_val), 2),
        (says_quoted, (ids, quotes), (ids_val, quotes_val), 1),
    ):
        x, y = some(options.windows, x, y)
        adam = cr.optim.Adam(learning_rate=0.0003)  # gently: the encoder knows something now
        model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=epochs, validation_data=validation_data)
        reached.append(model.evaluate(*validation_data)[1])

    for name, value, least in zip(
        ("hidden characters", "chapters", "quotations"), reached, options.expect, strict=True
    ):
        print(f"accuracy on {name} {value:.4f}, expected at least {least}")
    if any(value < least for value, least in zip(reached, options.expect, strict=True)):
        raise SystemExit("an expected accuracy was not reached")


if __name__ == "__main__":
    main()
