"""The callback that writes the model after its best epochs, and keeps the best few."""

from __future__ import annotations

import math
import os
import string
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from chainrule.engine.errors import describe
from chainrule.engine.habits import explains_arguments
from chainrule.training.arguments import check_flag
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.files import check_writable_folder
from chainrule.training.integers import check_integer
from chainrule.training.json_files import read_json, write_json
from chainrule.training.monitor import ELSEWHERE, Monitor

INDEX = "models.json"
NAME = "epoch-{epoch:04d}"
SUFFIX = ".safetensors"
FORMATS_ELSEWHERE = (".keras", ".h5", ".hdf5", ".tf", ".ckpt", ".pt", ".pth")


class Written(NamedTuple):
    """A model that was written: its epoch, counted from 1, its value, its name and its files.

    Files are given relative to the folder, with "/".
    """

    epoch: int
    value: float | None
    name: str
    files: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """It as plain data for JSON, which has no NaN: such a value becomes a string."""
        finite = self.value is None or math.isfinite(self.value)
        value = self.value if finite else repr(self.value)
        return {"epoch": self.epoch, "value": value, "name": self.name, "files": list(self.files)}

    @classmethod
    def from_plain(cls, data: Any) -> Written:
        """What `plain` returned. Raises KeyError, TypeError or ValueError for something else."""
        value, name = data["value"], str(data["name"])
        files = tuple(map(str, data["files"]))
        if Path(name).name != name or name in ("", ".."):  # its files are removed one day
            raise ValueError(f"{name!r} is no name in the folder")
        for file in files:
            if Path(file).parts[:1] != (name,) or ".." in Path(file).parts:
                raise ValueError(f"{file!r} does not belong to {name!r}")
        return cls(int(data["epoch"]), None if value is None else float(value), name, files)


class ModelCheckpoint(Callback):
    """Writes the model at the end of an epoch that is among the best so far, and keeps those.

    `filepath` is a folder, in which `epoch-0007` holds the model after epoch 7 (as the progress
    line counts them, from 1), written by `model.save`. A model that falls out of the best is
    removed once the new one is on the disk. Nothing but what this callback has written is ever
    removed; a model of the same name, as of an earlier run, is replaced. `models.json` in the
    folder says which epochs there are, with their values.

    This is about good models; to take up a run that was cut off, see `fit(checkpoint=)`.

    Arguments:
        filepath: a folder, which is made if need be. If its last part has fields in braces, as in
            "runs/{epoch:02d}-{val_loss:.2f}", it is the pattern of the names in the folder before
            it; fields are `epoch`, counted from 1, and the names of the logs.
        monitor: name of the value, among the logs of an epoch.
        verbose: 1 prints what is written.
        save_best_only: True says what is the default, False the same as `keep=None`; for those
            who come from Keras.
        save_weights_only: write the weights alone, as `save_weights` does, to
            `epoch-0007.safetensors`?
        mode: "min" if lower is better, "max" if higher, "auto" to go by metric and name.
        keep: how many of the best to keep; None writes after every epoch, and removes none.

    Raises:
        TypeError, ValueError: an argument is of another kind, or outside its range.

    `best` is the path of the best, and `paths` are all that are kept, the best first. A NaN is
    never among the best. Of equal values the earlier is better. What is kept survives in a
    checkpoint; where a resumed run repeats epochs, it writes the same names again.

    >>> import tempfile
    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model = Sequential([Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     keep = ModelCheckpoint(folder, "loss", save_weights_only=True, keep=2)
    ...     history = model.fit([[1.0]], [[9.0]], epochs=4, verbose=0, callbacks=[keep])
    ...     print(keep.best.name, sorted(os.listdir(folder)))
    epoch-0004.safetensors ['epoch-0003.safetensors', 'epoch-0004.safetensors', 'models.json']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool | None = None,
        save_weights_only: bool = False,
        mode: str = "auto",
        keep: int | None = 1,
    ) -> None:
        super().__init__()
        where = "ModelCheckpoint"
        self.save_weights_only = check_flag(save_weights_only, "save_weights_only", where=where)
        folder, self._pattern = _folder_and_pattern(filepath, self.save_weights_only)
        self.folder = Path(os.path.abspath(folder))
        self._monitor, self.monitor = Monitor(monitor, mode, where=where), monitor
        self.verbose = verbose
        if keep is not None:
            keep = check_integer(keep, "keep", least=1, where=where)
        if save_best_only is not None:
            best_only = check_flag(save_best_only, "save_best_only", where=where)
            if keep != 1 and best_only != (keep is not None):
                raise ValueError(
                    f"{where}: save_best_only={best_only} and keep={keep} contradict each other; "
                    "leave save_best_only out"
                )
            keep = keep if best_only else None
        self.keep = keep
        self._kept: list[Written] = []
        self._later: list[Written] = []  # of a run that was cut off, from epochs yet to come

    @property
    def paths(self) -> list[Path]:
        """The paths of the models that are kept, the best first."""
        return [self.folder / each.name for each in sorted(self._kept, key=self._rank)]

    @property
    def best(self) -> Path | None:
        """The path of the best model; None if there is none yet, or none with a value."""
        known = [each for each in self._kept if each.value is not None]
        if not known:
            return None
        return self.folder / min(known, key=self._rank).name

    def _rank(self, written: Written) -> tuple[float, int]:
        value = math.nan if written.value is None else written.value
        if math.isnan(value):
            return math.inf, written.epoch
        return -value if self._monitor.higher_is_better else value, written.epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Prove that the folder can be written; find out which values are better.

        What an earlier run of this callback has kept counts further, as in Keras.

        Raises:
            OSError: the folder cannot be made or written.
            ValueError: the mode is "auto", and neither a metric nor the name says.
        """
        self._monitor.resolve(self.model)
        check_writable_folder(self.folder, where="ModelCheckpoint")
        self._kept, self._later = self._there(self._kept), []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the model if it is among the best so far, and remove what no longer is.

        Raises:
            ValueError: the value is not in the logs.
            TypeError: it is no number.
            OSError: the model cannot be written; those of before are still there.
        """
        logs = logs or {}
        value = None
        if self.keep is not None or self.monitor in logs:
            value = self._monitor.value(logs)
        number = epoch + 1
        leaving = [each for each in self._later if each.epoch <= number]
        later = [each for each in self._later if each.epoch > number]
        if self._is_wanted(value):
            name = self._name(number, logs)
            self._checked_index()  # or models of another would be replaced
            new = Written(number, value, name, self._write(name))
            if self.verbose:
                shown = "" if value is None else f" ({self.monitor} {value:.5g})"
                print(f"Epoch {number}: the model{shown} is saved as {self.folder / name}")
            kept = [each for each in self._kept if each.name != name] + [new]
            if self.keep is not None:
                kept.sort(key=self._rank)
                leaving += kept[self.keep :]
                kept = kept[: self.keep]
            self._kept = kept
        elif not leaving:
            return
        names = {each.name for each in self._kept}
        leaving = [each for each in leaving if each.name not in names]
        self._later = later
        # Written before anything is removed, so that what is there is always listed.
        self._write_index(leaving)
        for each in leaving:
            self._remove(each.files, each.name)

    def _is_wanted(self, value: float | None) -> bool:
        if self.keep is None:
            return True
        assert value is not None
        if len(self._kept) < self.keep:
            return not math.isnan(value)
        return self._monitor.better(value, max(self._kept, key=self._rank).value)

    def _name(self, number: int, logs: Mapping[str, Any]) -> str:
        try:
            return self._pattern.format(**{**logs, "epoch": number})
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(
                f"ModelCheckpoint: the name {self._pattern!r} cannot be filled in ({error!r}); "
                f"fields are epoch, {', '.join(logs)}"
            ) from error

    # Files --------------------------------------------------------------------------------------

    def _write(self, name: str) -> tuple[str, ...]:
        """Write the model; returns the files that this has made, or made anew."""
        path = self.folder / name
        was_there, before = path.exists(), self._stamps(name)
        try:
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                self.model.save(path)
        except BaseException:
            if not was_there:
                self._remove(self._stamps(name), name)
            raise
        after = self._stamps(name)
        return tuple(sorted(file for file, stamp in after.items() if before.get(file) != stamp))

    def _stamps(self, name: str) -> dict[str, tuple[int, int]]:
        """What changes when a file is written anew, by file."""
        path = self.folder / name
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        stats = {each.relative_to(self.folder).as_posix(): each.stat() for each in files}
        return {file: (stat.st_ino, stat.st_mtime_ns) for file, stat in stats.items()}

    def _remove(self, files: Iterable[str], name: str) -> None:
        """Remove these files, and the folder of that name if nothing else is in it."""
        # First what says that there is a model, so that no half of one looks like a whole.
        for file in sorted(files, key=lambda file: not file.endswith(".json")):
            (self.folder / file).unlink(missing_ok=True)
        path = self.folder / name
        if path.is_dir():
            inner = [each for each in path.rglob("*") if each.is_dir()]
            for each in [*sorted(inner, reverse=True), path]:
                with suppress(OSError):  # the user has put something there: it stays
                    each.rmdir()

    def _there(self, models: Iterable[Written]) -> list[Written]:
        """Those whose files are all there."""
        return [
            each for each in models if all((self.folder / file).is_file() for file in each.files)
        ]

    def _write_index(self, removing: list[Written]) -> None:
        models = sorted(self._kept, key=self._rank) + self._later
        index = {
            **self._monitor.state(),
            "models": [each.plain() for each in models],
            "removing": [each.plain() for each in removing],
        }
        write_json(index, self.folder / INDEX, where="ModelCheckpoint")

    def _read_index(self) -> dict[str, Any]:
        if not (self.folder / INDEX).is_file():
            return {"models": [], "removing": []}
        index = read_json(self.folder / INDEX, where="ModelCheckpoint")
        try:
            models, removing = (
                [Written.from_plain(each) for each in index[key]] for key in ("models", "removing")
            )
            return {"monitor": index["monitor"], "models": models, "removing": removing}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"ModelCheckpoint: {str(self.folder / INDEX)!r} is not what a ModelCheckpoint has "
                f"written ({error!r}); choose another folder"
            ) from error

    def _checked_index(self) -> dict[str, Any]:
        """The folder's index. Raises ValueError if it is that of another monitor."""
        index = self._read_index()
        other = index.get("monitor", self.monitor)
        if other != self.monitor:
            raise ValueError(
                f"ModelCheckpoint: {str(self.folder)!r} has models that were chosen by "
                f"monitor={other!r}, and this one has monitor={self.monitor!r}; give each a folder "
                "of its own"
            )
        return index

    # What it remembers --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What it watches, and which models it keeps."""
        return {**self._monitor.state(), "models": [each.plain() for each in self._kept]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned.

        Models that the run has written after it, before it was cut off, stay listed until their
        epoch is repeated. One that has been removed since is not missed: the epoch that has
        driven it out is repeated, too.

        Raises:
            ValueError: it is the state of another callback, or was saved for another monitor.
            OSError: the index in the folder cannot be read.
        """
        try:
            models = [Written.from_plain(each) for each in state["models"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"ModelCheckpoint: load_state: not the state of a ModelCheckpoint ({error!r})"
            ) from error
        self._monitor.check_state(state)
        index = self._checked_index()
        self._kept = self._there(models)
        names = {each.name for each in self._kept}
        listed = [*index["models"], *index["removing"]]
        self._later = [
            each for each in listed if each.name not in names and (self.folder / each.name).exists()
        ]


def _folder_and_pattern(filepath: Any, weights_only: bool) -> tuple[Path, str]:
    where = "ModelCheckpoint"
    if not isinstance(filepath, (str, os.PathLike)):
        raise TypeError(
            f"{where}: filepath must be the path of a folder, got {describe(filepath)} of type "
            f"{type(filepath).__name__}"
        )
    path = Path(filepath)
    if path.suffix in FORMATS_ELSEWHERE and (weights_only or "{" not in path.name):
        raise ValueError(
            f"{where}: filepath={str(filepath)!r} is a file elsewhere, and here the folder in "
            "which models are folders, or .safetensors files with save_weights_only=True; give it "
            f"the name of a folder, such as {path.name.split('.')[0]!r}"
        )
    suffix = SUFFIX if weights_only else ""
    if "{" not in str(path):
        if path.suffix == SUFFIX:
            raise ValueError(
                f"{where}: filepath={str(filepath)!r} must be a folder, or a pattern of names such "
                "as 'weights-{epoch:02d}.safetensors'"
            )
        return path, NAME + suffix
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(path.name) if field]
    except ValueError as error:
        raise ValueError(f"{where}: filepath={str(filepath)!r}: {error}") from error
    if "{" in str(path.parent) or not fields:
        raise ValueError(
            f"{where}: filepath={str(filepath)!r} must have its fields in braces in the last part "
            "of the path, and be named, as in 'models/{epoch:02d}-{val_loss:.2f}'"
        )
    if path.suffix == SUFFIX and not weights_only:
        raise ValueError(
            f"{where}: filepath={str(filepath)!r} is the pattern of a file, but a model is a "
            f"folder; leave {SUFFIX} out, or give save_weights_only=True"
        )
    return path.parent, path.name if path.suffix == SUFFIX else path.name + suffix


explains_arguments(
    ModelCheckpoint,
    {
        **ELSEWHERE,
        "save_freq": "models are written at the end of epochs; to be able to take up a run that is "
        "cut off within one, give fit checkpoint=folder and checkpoint_every=steps",
        "period": "give keep=None to write after every epoch",
        "save_top_k": "it is called keep",
        "dirpath": "it is called filepath",
        "initial_value_threshold": "models are compared with each other; a target is what "
        "EarlyStopping has",
    },
)
