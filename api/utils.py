"""What Keras has in its `utils`, padding and one-hot targets; and PyTorch's layout of weights."""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.sequences import pad_sequences, to_categorical
from chainrule.training.torch_layout import from_torch_weights, to_torch_weights

__all__ = ["from_torch_weights", "pad_sequences", "to_categorical", "to_torch_weights"]

_CUSTOM = "give cr.load_model classes and functions of your own: custom_objects={'Name': Name}"

#: What Keras and PyTorch have under these names, and what it is here.
_ELSEWHERE = {
    "image_dataset_from_directory": "use cr.data.from_image_folder(folder, size=(height, width))",
    "text_dataset_from_directory": "use cr.data.from_text_file(path, tokenizer, length=40)",
    "Sequence": "use cr.data.from_generator(function), which yields single samples",
    "PyDataset": "use cr.data.from_generator(function), which yields single samples",
    "data": "it is chainrule.data",
    "set_random_seed": "it is called chainrule.seed(n)",
    "clip_grad_norm_": "give the optimiser global_clipnorm=",
    "custom_object_scope": _CUSTOM,
    "get_custom_objects": _CUSTOM,
    "register_keras_serializable": _CUSTOM,
    "plot_model": "model.summary() shows the layers, cr.draw_graph(model(x)) all operations",
    "normalize": "use cr.preprocessing.Standardize.fit(x)",
}

__getattr__ = names_elsewhere("chainrule.utils", _ELSEWHERE)
