"""Augmentation of images: each function changes every image of a batch at random.

model.fit(x, y, augment=lambda batch: cr.images.random_shift(batch, 2))
"""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.augmentation import (
    random_flip,
    random_noise,
    random_rotation,
    random_shift,
)

__all__ = ["random_flip", "random_noise", "random_rotation", "random_shift"]

#: What Keras has under these names, and what it is here.
_KERAS = {
    "ImageDataGenerator": "call fit(x, y, augment=lambda batch: cr.images.random_shift(batch, 2)); "
    "images are read from folders by cr.data.from_image_folder(folder, size=(height, width))",
}

__getattr__ = names_elsewhere("chainrule.images", _KERAS)
