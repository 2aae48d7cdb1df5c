"""Who runs: chainrule as it is installed in two ways, and the peers that are installed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contender:
    """A library as it is run.

    `builder` is the key of its program in a workload; `kind` is "ours" for the two installs that
    targets hold for, "eager" or "compiled" for peers, "beside" for what no figure counts;
    `package`, if any, must be installed; `environment` is set for its process.
    """

    name: str
    builder: str
    kind: str
    package: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    compiler: bool = False

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        if self.package is not None and not any(
            importlib.metadata.distributions(name=self.package)
        ):
            return f"{self.package} is not installed"
        if self.compiler and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "c++"))):
            return "there is no C++ compiler"
        return None


CONTENDERS = [
    Contender("chainrule", "chainrule", "ours"),
    Contender("chainrule, train_on_batch", "train_on_batch", "beside"),
    Contender("PyTorch", "torch", "eager", "torch"),
    Contender("PyTorch, channels last", "torch-channels-last", "eager", "torch"),
    Contender("torch.compile", "torch-compile", "compiled", "torch", compiler=True),
    Contender("JAX jit", "jax", "compiled", "jax"),
    Contender("MyGrad", "mygrad", "eager", "mygrad"),
    Contender("HIPS autograd", "autograd", "eager", "autograd"),
]

BY_NAME = {each.name: each for each in CONTENDERS}
