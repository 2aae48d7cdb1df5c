"""Convolutional layers: the same few weights at every place of an image or a sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.convolution import conv
from chainrule.engine.tensor import Tensor

from .affine import Affine
from .arguments import choice, integers, positive_integer
from .layer import Shape, registered
from .spatial import Spatial


class Conv(Affine, Spatial):
    """What Conv1D and Conv2D are, for any number of spatial axes."""

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            name,
            dtype,
            trainable,
        )
        where = type(self).__name__
        self.filters = positive_integer(filters, "filters", where)
        self.kernel_size = integers(kernel_size, self.axes, "kernel_size", where)
        self.strides = integers(strides, self.axes, "strides", where)
        self.padding = choice(padding, self.paddings, "padding", where)
        self.dilation_rate = integers(dilation_rate, self.axes, "dilation_rate", where)
        self.groups = positive_integer(groups, "groups", where)
        if self.filters % self.groups:
            raise ValueError(
                f"{where}: groups={self.groups} must divide the filters, of which there are "
                f"{self.filters}"
            )

    def build(self, input_shape: Shape) -> None:
        """Makes `kernel` and `bias` for an input of shape (None, ..., channels)."""
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                f"{type(self).__name__}: groups={self.groups} must divide the channels, of which "
                f"input_shape {tuple(input_shape)} has {channels}"
            )
        self._windows(input_shape)
        self._add_weights((*self.kernel_size, channels // self.groups, self.filters))
        super().build(input_shape)

    def _windows(self, input_shape: Shape) -> tuple[int | None, ...]:
        return self._lengths(
            input_shape,
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
            "kernel_size",
        )

    def _affine(self, x: Tensor, biased: Callable[[Any, Any], Any] | None = None) -> Tensor:
        channels = self.kernel.shape[-2] * self.groups
        if x.shape[-1] != channels:
            raise ShapeError(
                f"{type(self).__name__}: expected x to have {channels} channels, its last axis "
                f"(the layer was built on it), got x with {describe(x)}"
            )
        self._windows(x.shape)
        z = conv(
            x,
            self.kernel,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=self.groups,
        )
        return self._biased(z, biased)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ..., channels) -> (batch, ..., filters); None stays None."""
        return (input_shape[0], *self._windows(input_shape), self.filters)

    def _defaults(self) -> dict[str, Any]:
        ones = [1] * self.axes
        return super()._defaults() | {"strides": ones, "dilation_rate": ones}


@registered
class Conv1D(Conv):
    """Filters that see a window of time: activation(conv(x, kernel) + bias).

    x is (batch, time, channels), and the result (batch, windows, filters). The weights are
    `kernel`, (kernel_size, channels / groups, filters), and `bias`, (filters,). As everywhere in
    deep learning the kernel is not turned around.

    Arguments: `filters`, how many there are; `kernel_size` of a window, `strides` from one to the
    next and `dilation_rate` between the elements of one, integers; `padding`, "valid" (windows see
    true steps only), "same" (as many windows as strides, rounded up) or "causal" (no window sees a
    later step); `groups`: channels and filters are cut into so many groups, and filters see only
    their own; `activation`, `use_bias`, initialisers and regularisers as in `Dense`; the others are
    `Layer`'s.

    Raises TypeError or ValueError for arguments that are none of these; called, ShapeError for an
    x that does not fit.

    >>> layer = Conv1D(1, 2, padding="causal", kernel_initializer="ones")
    >>> layer([[[1.0], [2.0], [4.0]]]).tolist()
    [[[1.0], [3.0], [6.0]]]
    """

    axes = 1
    paddings = ("valid", "same", "causal")

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """The mask of x, if there is a window for every step."""
        return mask if self.padding != "valid" and self.strides == (1,) else None


@registered
class Conv2D(Conv):
    """Filters that see a window of an image: activation(conv(x, kernel) + bias).

    x is (batch, height, width, channels), and the result (batch, rows, columns, filters). The
    weights are `kernel`, (height, width, channels / groups, filters), and `bias`, (filters,). As
    everywhere in deep learning the kernel is not turned around.

    Arguments: `filters`, how many there are; `kernel_size` of a window, `strides` from one to the
    next and `dilation_rate` between the elements of one, an integer or a pair each; `padding`,
    "valid" (windows see true elements only) or "same" (lengths are those of x, divided by the
    strides and rounded up); `groups`: channels and filters are cut into so many groups, and filters
    see only their own; `activation`, `use_bias`, initialisers and regularisers as in `Dense`; the
    others are `Layer`'s.

    Raises TypeError or ValueError for arguments that are none of these; called, ShapeError for an
    x that does not fit.

    Source: LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition.

    >>> import chainrule as cr
    >>> layer = Conv2D(16, 3, activation="relu")
    >>> layer(cr.zeros((32, 28, 28, 1))).shape
    (32, 26, 26, 16)
    >>> layer.kernel.shape, layer.count_params()
    ((3, 3, 1, 16), 160)
    """

    axes = 2
