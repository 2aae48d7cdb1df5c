"""Training: losses, models, the training loop, data, metrics, callbacks and progress."""
