"""What a model tells of itself: its table, and what a training step costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .stored import Stored
from .summary import Row, output_shapes, summary_text

if TYPE_CHECKING:
    from .cost import ModelCost


class Described(Stored):
    """A layer that shows what it is made of."""

    def summary(
        self, print_fn: Callable[[str], object] = print, batch_size: int | None = None
    ) -> None:
        """Show a table of the layers, their output shapes and how many weights they have.

        The totals, with their memory, are of the weights alone: what an optimiser keeps is not
        counted. Until the model is built, question marks stand for what is not known.

        Arguments:
            print_fn: called with the whole text.
            batch_size: show also what a training step on so many samples costs; see `cost`.

        >>> from chainrule.layers import Dense
        >>> from chainrule.training import Sequential
        >>> model = Sequential([Dense(3, activation="relu"), Dense(2)], name="small")
        >>> model.build((None, 4))
        >>> model.summary()
        Model: "small"
        _________________________________________________________________
         Layer (type)                  Output Shape             Param #
        =================================================================
         dense (Dense)                 (None, 3)                15
         dense_1 (Dense)               (None, 2)                8
        =================================================================
        Total params: 23 (92.00 B)
        Trainable params: 23 (92.00 B)
        Non-trainable params: 0 (0.00 B)
        _________________________________________________________________
        """
        weights = [weight for _, weight in self.named_weights()] if self.built else []
        trainable = [weight for weight in weights if weight.requires_grad]
        fixed = [weight for weight in weights if not weight.requires_grad]
        text = summary_text(self.name, self._rows(), trainable, fixed)
        print_fn(text if batch_size is None else f"{text}\n{self.cost(batch_size)}")

    def cost(self, batch_size: int = 32, input_shape: Any = None) -> ModelCost:
        """What a training step on a batch costs: operations, memory and time, layer by layer.

        Operations in products of matrices are counted exactly, from the shapes. Memory and time
        are found by running a copy of the model, on the CPU, on two batches of at most three
        quarters of the size: each is a constant and a multiple of the batch (DERIVATIONS 2.6). The
        model itself, its optimiser and the random numbers to come stay as they are. Without
        `compile` there is neither loss nor optimiser.

        Arguments:
            batch_size: samples in the batch.
            input_shape: of one batch, as (None, 100), or a tuple or dict of such; by default the
                one it was built for.

        Returns:
            a `ModelCost`, whose `str` is a table: `layers`, `operations`, `memory`, `seconds`, ...

        Raises:
            ShapeError: the model is not built, or a length is not known.

        >>> from chainrule.layers import Dense
        >>> from chainrule.training import Sequential
        >>> model = Sequential([Dense(500, activation="relu"), Dense(10)])
        >>> model.build((None, 100))
        >>> cost = model.cost(batch_size=32)
        >>> cost.forward == 2 * 32 * (100 * 500 + 500 * 10)
        True
        >>> cost.layers[0].backward == 2 * 32 * 100 * 500  # its input needs no gradient
        True
        """
        from .cost import cost_of

        return cost_of(self, batch_size, input_shape)

    def _rows(self) -> list[Row]:
        """A row for each layer held, with the shape that it returns in a call of the model."""
        shapes = output_shapes(self) if self.built else {}
        return [
            Row(
                name,
                type(layer).__name__,
                shapes.get(id(layer)),
                sum(weight.size for _, weight in layer.named_weights()) if self.built else None,
            )
            for name, layer in self.sublayers()
        ]
