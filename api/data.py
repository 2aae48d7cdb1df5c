"""Data pipelines: arrays, files larger than memory, generators, images and texts, in batches.

train = cr.data.from_arrays(x, y).shuffle().batch(32).prefetch()
model.fit(train, epochs=10)
"""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.pipeline.generators import from_generator
from chainrule.training.pipeline.image_folders import from_image_folder
from chainrule.training.pipeline.making import from_arrays, from_npy
from chainrule.training.pipeline.pipeline import Pipeline
from chainrule.training.pipeline.text_files import from_text_file

__all__ = [
    "Pipeline",
    "from_arrays",
    "from_generator",
    "from_image_folder",
    "from_npy",
    "from_text_file",
]

#: What tf.data and PyTorch have under these names, and what it is here.
_ELSEWHERE = {
    "Dataset": "use from_arrays(x, y), or from_generator(function)",
    "IterableDataset": "use from_generator(function), the function making a fresh iterator",
    "TensorDataset": "use from_arrays(x, y)",
    "DataLoader": "use from_arrays(x, y).shuffle().batch(32).prefetch()",
    "Subset": "use take(n) and skip(n), or from_arrays(x[indices], y[indices])",
    "random_split": "use take(n) and skip(n), or fit(..., validation_split=0.2)",
    "ConcatDataset": "use from_arrays on np.concatenate of the arrays, or from_generator",
    "from_tensor_slices": "it is called from_arrays",
    "from_tensors": "use from_arrays(x, y)",
    "ImageFolder": "use from_image_folder(folder, size=(height, width))",
    "image_dataset_from_directory": "use from_image_folder(folder, size=(height, width))",
    "text_dataset_from_directory": "use from_text_file(path, tokenizer, length=40)",
    "TextLineDataset": "use from_text_file(path, lines=True)",
    "timeseries_dataset_from_array": "use chainrule.text.windows, then from_arrays",
    "AUTOTUNE": "prefetch() has a number: prefetch(2) is enough where a step takes longer than a "
    "batch",
    "default_collate": "batch() puts samples together",
}

__getattr__ = names_elsewhere("chainrule.data", _ELSEWHERE)
