"""Augmentation of images: each function changes every image of a batch at random.

model.fit(x, y, augment=lambda batch: cr.images.random_shift(batch, 2))
"""

from chainrule.training.augmentation import (
    random_flip,
    random_noise,
    random_rotation,
    random_shift,
)

__all__ = ["random_flip", "random_noise", "random_rotation", "random_shift"]
