"""What users of Keras and PyTorch give to a model's methods, and what stands for it here.

See `engine.habits`. Names of attributes, as `model.state_dict`, are in `layers.habits`.
"""

from __future__ import annotations

_AHEAD = "end the pipeline with .prefetch(2): a thread computes two batches ahead"
_ALIKE = (
    "all samples count alike; weigh them in a loss of your own, a function (y_true, y_pred), or "
    "repeat rows: x[rows], y[rows] with rows = np.repeat(np.arange(len(x)), times)"
)
_STEPS = "x.take(steps) is a pipeline of so many batches"

FIT = {
    "steps_per_epoch": "an epoch is all of x; pipeline.take(steps) is one of so many batches, as "
    "train.shuffle().batch(32).take(steps)",
    "validation_steps": "give validation_data= a pipeline of so many batches: "
    "held_out.batch(32).take(steps)",
    "validation_batch_size": "it is batch_size; or give validation_data= a pipeline: "
    "cr.data.from_arrays(x, y).batch(256)",
    "validation_freq": "each epoch is followed by a validation; leave it out",
    "class_weight": _ALIKE,
    "sample_weight": _ALIKE,
    "workers": _AHEAD,
    "num_workers": _AHEAD,
    "use_multiprocessing": _AHEAD,
    "max_queue_size": _AHEAD,
    "nb_epoch": "it is called epochs",
    "num_epochs": "it is called epochs",
    "max_epochs": "it is called epochs",
    "epoch": "it is called epochs",
    "validation": "it is called validation_data",
    "train_dataloaders": "give a pipeline as x: cr.data.from_arrays(x, y).shuffle().batch(32)",
    "val_dataloaders": "give validation_data= a pipeline: cr.data.from_arrays(x, y).batch(32)",
    "ckpt_path": "give checkpoint=folder and resume=True",
    "resume_from_checkpoint": "give checkpoint=folder and resume=True",
    "checkpoint_freq": "it is called checkpoint_every",
    "optimizer": "compile has it",
    "loss": "compile has it",
    "metrics": "compile has it",
    "learning_rate": "the optimiser has it, as in compile(optimizer=cr.optim.Adam(0.001), ...)",
    "lr": "the optimiser has it, as in compile(optimizer=cr.optim.Adam(0.001), ...)",
    "seed": "call cr.seed(0) before the model is made",
    "device": "move the model before: model.to('cuda')",
}
EVALUATE = {
    "steps": _STEPS,
    "sample_weight": _ALIKE,
    **dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size"), _AHEAD),
}
PREDICT = {name: remedy for name, remedy in EVALUATE.items() if name != "sample_weight"}
COMPILE = {
    "loss_weights": "there is one loss; weigh its parts in a function (y_true, y_pred)",
    "weighted_metrics": "all samples count alike: use metrics",
    "run_eagerly": "every step is run as it is written; leave it out",
    "jit_compile": "the kernels are compiled when they are first used; leave it out",
    "steps_per_execution": "steps are taken one by one; leave it out",
    "auto_scale_loss": "it computes in float32 or float64, which need no scaling; leave it out",
    "learning_rate": "the optimiser has it: optimizer=cr.optim.Adam(0.001)",
    "lr": "the optimiser has it: optimizer=cr.optim.Adam(0.001)",
}
SAVE = {
    "save_format": "there is one format: a folder of safetensors and JSON; leave it out",
    "overwrite": "a model that was saved there is replaced, anything else never; leave it out",
    "zipped": "a model is a folder; leave it out",
    "filepath": "it is called path",
}
SAVE_WEIGHTS = {
    "save_format": "there is one format, safetensors; leave it out",
    "overwrite": "the file is replaced; leave it out",
    "filepath": "it is called path",
}
_SOME = (
    "all weights must fit; for some of them, read the file with safetensors.numpy.load_file(path), "
    "and assign: dict(model.named_weights())[name].assign(array)"
)
LOAD_WEIGHTS = {
    "by_name": "weights always go by their names; leave it out",
    "skip_mismatch": _SOME,
    "strict": _SOME,
    "filepath": "it is called path",
}
LOAD_MODEL = {
    "safe_mode": "nothing in a file is ever executed; leave it out",
    "weights_only": "nothing in a file is ever executed; leave it out",
    "map_location": "it is called device",
    "filepath": "it is called path",
}
