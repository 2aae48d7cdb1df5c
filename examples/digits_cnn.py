"""Handwritten digits by convolution: MNIST's small set, with shifted images.

    python examples/digits_cnn.py                three runs, with three seeds; some two minutes
    python examples/digits_cnn.py --seeds 1 --epochs 2 --expect 0.80

Two convolutions and two pools read 28×28 pixels; in training each image is moved by up to two
pixels, which the network must learn to ignore. Expect a mean test accuracy of 0.97 over three
seeds. The program fails if it does not reach what it is told to expect.
"""

from __future__ import annotations

import argparse
import statistics

import chainrule as cr
from chainrule.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Reshape
from chainrule.models import Sequential


def main() -> None:
    """Trains one network a seed, and tests each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--expect", type=float, default=0.970, help="mean test accuracy")
    options = parser.parse_args()

    data = cr.datasets.mnist_small()
    accuracies = []
    for seed in range(options.seeds):
        cr.seed(seed)
        model = Sequential(
            [
                Reshape((28, 28, 1)),
                Conv2D(16, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Conv2D(32, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Flatten(),
                Dropout(0.3),
                Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            data.x_train,
            data.y_train,
            epochs=options.epochs,
            batch_size=64,
            augment=lambda images: cr.images.random_shift(images, 2),
            validation_data=(data.x_validation, data.y_validation),
        )
        accuracies.append(model.evaluate(data.x_test, data.y_test)[1])

    mean = statistics.mean(accuracies)
    print(f"mean test accuracy {mean:.4f} over {len(accuracies)} seeds, expected {options.expect}")
    if mean < options.expect:
        raise SystemExit("the expected accuracy was not reached")


if __name__ == "__main__":
    main()
