"""What users of Keras and PyTorch type, and what stands for it here: see `engine.habits`."""

BUILT = "the first input builds a model, or model.build((None, 28, 28, 1)), None being the batch"
CLASS = "write a class with layers in __init__ and a call(self, x) that connects them"

#: Arguments of layers' constructors.
ARGUMENTS = {
    "input_shape": BUILT,
    "batch_input_shape": BUILT,
    "input_dim": BUILT,
    "in_features": "it is found from the first input; leave it out",
    "in_channels": "it is found from the first input; leave it out",
    "input_size": "it is found from the first input; leave it out",
    "input_length": "sequences may have any length; leave it out",
    "out_features": "it is called units",
    "hidden_size": "it is called units",
    "out_channels": "it is called filters",
    "stride": "it is called strides",
    "bias": "it is called use_bias",
    "p": "it is called rate",
    "num_embeddings": "it is called input_dim",
    "embedding_dim": "it is called output_dim",
    "padding_idx": "mask_zero=True makes padding of id 0",
    "data_format": "images are (batch, height, width, channels); np.moveaxis(x, 1, -1) makes them "
    "so of (batch, channels, height, width)",
    "batch_first": "the batch is always the first axis; leave it out",
    "recurrent_dropout": "dropout= drops inputs; Dropout(rate) between layers drops what they give",
    "stateful": "each call begins with zeros, or with initial_state=",
    "bidirectional": "write Bidirectional(LSTM(...))",
    "num_layers": "put layers one after the other, all but the last with return_sequences=True",
    "weights": "build the model, then assign: layer.embeddings.assign(array)",
    "activity_regularizer": "the weights are regularised, by kernel_regularizer='l2'",
    "kernel_constraint": "there are regularisers, as kernel_regularizer='l2'",
    "bias_constraint": "there are regularisers, as bias_regularizer='l2'",
    "device": "build it and move it, as by Dense(10).to('cuda'), or set the default before, by "
    "cr.set_default_device('cuda')",
    "inputs": CLASS,
    "outputs": CLASS,
}

#: Names in `keras.layers` and `torch.nn`.
LAYERS_ELSEWHERE = {
    "Input": BUILT,
    "InputLayer": BUILT,
    "Linear": "it is called Dense, and finds the width of its input itself: Dense(units)",
    "TimeDistributed": "Dense is applied to each step as it is; leave it out",
    "Lambda": "write a Layer with a call(self, x), or call the function in that of a Model",
    "Rescaling": "there is Rescale(1 / 255) in chainrule.preprocessing, for model.preprocessing",
    "RandomFlip": "fit(..., augment=lambda batch: cr.images.random_flip(batch))",
    "RandomRotation": "fit(..., augment=lambda batch: cr.images.random_rotation(batch, 10))",
    "RandomTranslation": "fit(..., augment=lambda batch: cr.images.random_shift(batch, 2))",
    "RandomZoom": "fit(..., augment=function), a function of yours of a batch",
    "StringLookup": "cr.preprocessing.Preprocessing(classes=names) takes names for targets; "
    "cr.text.Vocabulary numbers words",
    "IntegerLookup": "cr.preprocessing.Preprocessing(classes=labels) numbers targets",
    "CategoryEncoding": "use cr.utils.to_categorical, or an Embedding",
    "TextVectorization": "cr.text.WordTokenizer makes ids of a text, and "
    "cr.preprocessing.Encode(tokenizer, length) of the texts that a model is given",
    "MaxPool": "they are called MaxPooling1D and MaxPooling2D",
    "BatchNorm1d": "it is called BatchNormalization",
    "BatchNorm2d": "it is called BatchNormalization",
    "LayerNorm": "it is called LayerNormalization",
    "Conv1d": "it is called Conv1D; channels come last",
    "Conv2d": "it is called Conv2D; channels come last",
    "MaxPool2d": "it is called MaxPooling2D",
    "MultiheadAttention": "it is called MultiHeadAttention",
    "Module": "derive from Layer or cr.models.Model, and call the method call(self, x)",
    "Sequential": "from chainrule.models import Sequential",
    "Model": "from chainrule.models import Model",
    "Attention": "MultiHeadAttention(num_heads=1) has projections besides; "
    "cr.scaled_dot_product_attention has not",
    "RNN": "there are SimpleRNN, LSTM and GRU, which run over all steps at once",
    "LSTMCell": "there is LSTM, which runs over all steps at once",
    "GRUCell": "there is GRU, which runs over all steps at once",
}

#: Methods and attributes of layers and models.
ATTRIBUTES = {
    "train": "fit trains and predict predicts; layer(x, training=True) is a call as in training, "
    "layer(x) one as in prediction",
    "state_dict": "dict(model.named_weights()) has the weights; save_weights writes them, and "
    "cr.utils.to_torch_weights names them as PyTorch does",
    "load_state_dict": "load_weights reads a file, set_weights takes arrays, and "
    "cr.utils.from_torch_weights takes what PyTorch calls so",
    "save": "a model has it: Sequential([layer]).save(path)",
    "save_weights": "a model has it: Sequential([layer]).save_weights(path)",
    "load_weights": "a model has it: Sequential([layer]).load_weights(path)",
    "get_weights": "named_weights() lists them, and each.numpy() has the values",
    "set_weights": "named_weights() lists them, and each.assign(array) changes the values",
    "weights": "named_weights() lists them with their names, get_weights() copies them",
    "variables": "named_weights() lists them with their names, get_weights() copies them",
    "trainable_weights": "parameters() lists them; those that are trained have requires_grad",
    "trainable_variables": "parameters() lists them; those that are trained have requires_grad",
    "non_trainable_weights": "those of named_weights() without requires_grad",
    "layers": "sublayers() lists them with their names",
    "get_layer": "layers are attributes; dict(model.sublayers()) has them by name",
    "modules": "sublayers() lists what it holds itself, with names",
    "named_modules": "sublayers() lists what it holds itself, with names",
    "children": "sublayers() lists what it holds itself, with names",
    "requires_grad_": "trainable = False freezes it",
    "input_shape": "built_for is the shape for which it was built",
    "output_shape": "compute_output_shape(input_shape) finds it",
    "output": CLASS,
    "forward": "it is called call",
    "is_cuda": "layer.device is the name, as 'cpu' or 'cuda'",
    "fit_generator": "fit takes a pipeline, as cr.data.from_generator(function).batch(32)",
    "evaluate_generator": "evaluate takes a pipeline, as fit does",
    "predict_generator": "predict takes a pipeline, as fit does",
    "train_step": "train_on_batch(x, y) takes a step",
    "test_step": "test_on_batch(x, y) evaluates a batch",
    "predict_step": "predict_on_batch(x) predicts a batch",
    "to_json": "json.dumps(model.to_config()) is such a text; "
    "cr.layers.from_config(json.loads(text)) makes the model, without its weights",
    "to_yaml": "json.dumps(model.to_config()) is a text from which cr.layers.from_config makes it",
    "export": "save(path) writes a folder, for cr.load_model",
    "metrics_names": "evaluate(x, y, return_dict=True) gives values by name",
    "reset_metrics": "each epoch, and each evaluate, begins anew",
    "reset_states": "each call begins with zeros, or with initial_state=",
    "inputs": CLASS,
    "outputs": CLASS,
    "half": "there is no float16; layers compute in float32 unless told otherwise",
    "double": "give layers dtype='float64', or call cr.set_default_dtype before they are made",
    "float": "give layers dtype='float32', or call cr.set_default_dtype before they are made",
    "predict_proba": "predict(x) of a softmax gives probabilities",
    "add_loss": "regularisers, as kernel_regularizer='l2', add to the loss",
}
ATTRIBUTES["eval"] = ATTRIBUTES["train"]
