"""A small GPT: a causal decoder learns to continue text, character by character, and writes some.

    python examples/char_gpt.py                  a few minutes on two cores
    python examples/char_gpt.py --steps 60 --characters 20 --expect 0.30

Each position sees the characters up to itself, and says which one comes next. The text is the help
of Python; its last tenth is never trained on. Expect a validation accuracy of 0.62 after 3,000
steps (0.655 was measured); the most frequent character, the space, would give 0.25. The program
fails if it does not reach what it is told to expect.
"""

from __future__ import annotations

import argparse

import numpy as np

import chainrule as cr
from chainrule.layers import (
    Dense,
    Embedding,
    LayerNormalization,
    LearnedPositions,
    TransformerDecoderBlock,
)
from chainrule.models import Sequential

LENGTH = 64


def gpt(vocab_size: int, width: int = 96, heads: int = 4, blocks: int = 3) -> Sequential:
    """A decoder without anything to attend to but itself: GPT's (Radford et al. 2018)."""
    return Sequential(
        [
            Embedding(vocab_size, width),
            LearnedPositions(LENGTH),
            *(
                TransformerDecoderBlock(heads, 4 * width, activation="gelu", norm_first=True)
                for _ in range(blocks)
            ),
            LayerNormalization(),
            Dense(vocab_size, activation="softmax"),
        ]
    )


def write(model: Sequential, tokenizer: cr.text.CharTokenizer, start: str, count: int) -> str:
    """`start`, and more: each character is drawn as likely as it seems after those before it."""
    ids = tokenizer.encode(start).tolist()
    generator = cr.random.generator()
    for _ in range(count):
        likely = model.predict_on_batch(np.array([ids[-LENGTH:]]))[0, -1].astype("float64")
        ids.append(int(generator.choice(len(likely), p=likely / likely.sum())))
    return tokenizer.decode(ids)


def main() -> None:
    """Trains, validates, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000, help="of 32 windows of 64 characters")
    parser.add_argument("--characters", type=int, default=300, help="to write afterwards")
    parser.add_argument("--expect", type=float, default=0.62, help="validation accuracy")
    options = parser.parse_args()

    cr.seed(0)
    text = cr.datasets.python_docs()
    tokenizer = cr.text.CharTokenizer().fit(text.train)
    ids = tokenizer.encode(text.train)
    x_train, y_train = cr.text.windows(ids, LENGTH, count=32 * options.steps)
    x_val, y_val = cr.text.windows(tokenizer.encode(text.validation), LENGTH, stride=LENGTH)

    model = gpt(tokenizer.vocab_size)
    model.build((None, LENGTH))
    model.summary()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=32)

    print(write(model, tokenizer, "The assignment statement ", options.characters))
    _, reached = model.evaluate(x_val, y_val)
    print(f"validation accuracy {reached:.4f}, expected at least {options.expect}")
    if reached < options.expect:
        raise SystemExit("the expected accuracy was not reached")


if __name__ == "__main__":
    main()
