"""Where a layer computes: its device, that of its weights, and the move to another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from chainrule.engine.devices import Device, default_device, moved
from chainrule.engine.errors import Allocating, DeviceError, GradientError, describe
from chainrule.engine.moving import named_device
from chainrule.engine.tape import Storage, Watch, leaf, mark_changed
from chainrule.engine.tensor import Tensor

from .config import Configured

AnyPlaced = TypeVar("AnyPlaced", bound="Placed")


class Placed(Configured):
    """Something that has its weights, and those of all below it, on one device.

    Until it is moved by name that is the device of the first Tensor that it is given, or else the
    default device: see `cr.set_default_device`.
    """

    #: None until there are weights, or somebody has said where they shall be.
    _device: Device | None = None
    #: Has somebody said it? What a layer holds that nobody has placed goes where the layer is.
    _placed = False

    if TYPE_CHECKING:

        def _tree(self) -> Iterator[tuple[str, Any]]: ...

        def _tensors(self) -> Iterator[Tensor]: ...

    @property
    def device(self) -> str:
        """The name of the device on which it has its weights, or will have them."""
        return self._home().name

    def _home(self) -> Device:
        return default_device() if self._device is None else self._device

    def to(self: AnyPlaced, device: Any) -> AnyPlaced:
        """Moves all that the layer and those below it hold to a device; returns the layer itself.

        The weights stay the Tensors that they are, and keep their gradients; optimisers that step
        them go on. A layer that is not built yet will have its weights there. What was computed
        with the weights before can no longer be differentiated.

        Arguments: `device`, a name such as "cpu", "cuda" or "emulated", or a Tensor, whose device
        is meant.

        Raises DeviceError for a device that is unknown, or cannot be used here; DtypeError for a
        dtype.

        >>> from chainrule.layers import Dense
        >>> layer = Dense(2).to("emulated")
        >>> layer([[1.0, 2.0, 3.0]]).device, layer.cpu().kernel.device
        ('emulated', 'cpu')
        """
        where = f"{type(self).__name__}.to"
        target = named_device(device, where)
        with Allocating(where, target):
            for _, layer in list(self._tree()):
                for tensor in layer._tensors():
                    move(tensor, target)
                layer._device, layer._placed = target, True
        return self

    def cpu(self: AnyPlaced) -> AnyPlaced:
        """Moves the layer to the CPU; see `to`."""
        return self.to("cpu")

    def cuda(self: AnyPlaced, index: int | None = None) -> AnyPlaced:
        """Moves the layer to the GPU; see `to`. Arguments: `index`, the number of the GPU."""
        return self.to("cuda" if index is None else f"cuda:{index}")

    def _settle(self) -> Device:
        """The device of the weights, which is certain from now on."""
        if self._device is None:
            self._device = default_device()
        return self._device

    def _gather_below(self) -> None:
        """Takes what was made below by `build`, and was placed by nobody, to where this one is."""
        home = self._settle()
        for _, layer in list(self._tree()):
            if not layer._placed and layer._device is not home:
                layer._device = home
                for tensor in layer._tensors():
                    move(tensor, home)

    def _meet(self, x: Tensor) -> None:
        """Is given a Tensor that is elsewhere: where it has no weights yet, it goes there.

        Raises DeviceError if it has.
        """
        tree = [layer for _, layer in self._tree()]
        if not any(True for layer in tree for _ in layer._tensors()):
            if not self._placed and self._device is None:
                for layer in tree:
                    layer._device, layer._placed = x._device, True
            return
        if x._device is not self._home():
            raise DeviceError(
                f"{type(self).__name__}: the layer is on {self.device!r}, but x is on "
                f"{x.device!r}; move one of them: x.to({self.device!r}), or "
                f"layer.to({x.device!r})"
            )


def move(tensor: Tensor, target: Device) -> None:
    """Moves a leaf to a device, in place; its gradient and its hooks go with it."""
    source, node, storage = tensor._device, tensor._node, tensor._storage
    if source is target:
        return
    mark_changed(storage)
    tensor._data = moved(tensor._data, source, target)
    tensor._device, tensor._storage = target, Storage()
    if node is None:
        return
    tensor._node = leaf(tensor._data, target.kernels, tensor._storage)
    before, now = node.watch, tensor._node.watch
    assert before is not None, "leaves have one"
    assert now is not None
    now.hooks = before.hooks
    if before.grad is not None:
        now.grad = before.grad.detach().to(target)
    # Graphs from before the move end at the old node, where nobody would look for a gradient.
    node.watch = Watch(keeps=False)
    node.watch.hooks[0] = _left


def _left(gradient: Tensor) -> None:
    raise GradientError(
        f"backward: a weight of this graph was moved to another device since, and its gradient, "
        f"{describe(gradient)}, would be lost; call backward() first, or compute the loss again"
    )
