"""The command line: `chainrule train`, `gradcheck`, `kernels` and `doctor`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

ACTIVATIONS = ("relu", "sigmoid", "tanh")
OPTIMIZERS = ("adam", "sgd")


def _count(least: int, what: str):  # type: ignore[no-untyped-def]
    """An argument type: an integer of at least `least`."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{what} must be an integer >= {least}, got {text!r}")
        return value

    return convert


def _positive(text: str) -> float:
    """An argument type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def _auto(text: str) -> str:
    """An argument type: the word auto."""
    if text != "auto":
        raise argparse.ArgumentTypeError(f"must be followed by auto or by nothing, got {text!r}")
    return text


def _shape(text: str) -> tuple[int, ...]:
    """An argument type: lengths of axes, as in 2,3; () for none."""
    try:
        shape = tuple(int(each) for each in text.strip("() ").split(",") if each.strip())
    except ValueError:
        shape = (-1,)
    if any(each < 0 for each in shape):
        raise argparse.ArgumentTypeError(f"must be lengths of axes, such as 2,3, got {text!r}")
    return shape


def parser() -> argparse.ArgumentParser:
    """The parser of the command line.

    >>> parser().parse_args(["train", "--epochs", "3"]).epochs
    3
    """
    main = argparse.ArgumentParser(
        prog="chainrule",
        description="A deep-learning engine in which every gradient that runs is the one on the "
        "page.",
    )
    main.add_argument("--version", action="store_true", help="print the version and exit")
    commands = main.add_subparsers(dest="command", metavar="command")

    train = commands.add_parser(
        "train",
        help="train the network of the worked example on real digits",
        description="Trains a multilayer perceptron (two hidden layers of 500 ReLU units unless "
        "told otherwise), shows its progress and test results, and writes weights, history and "
        "training curves to a folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    train.add_argument(
        "--data",
        default="digits",
        help="digits, mnist-small, an .npz file with x_train, y_train, x_test and y_test, or a "
        "folder with the four IDX files of MNIST",
    )
    train.add_argument(
        "--hidden",
        type=_count(1, "a layer's width"),
        nargs="*",
        default=[500, 500],
        metavar="UNITS",
        help="units of each hidden layer",
    )
    train.add_argument("--activation", default="relu", choices=ACTIVATIONS, help="of hidden layers")
    train.add_argument("--optimizer", default="adam", choices=OPTIMIZERS, help="how to step")
    train.add_argument(
        "--learning-rate",
        type=_positive,
        default=None,
        metavar="RATE",
        help="step size; by default 0.001 for adam and 0.1 for sgd",
    )
    train.add_argument(
        "--epochs", type=_count(1, "epochs"), default=20, help="passes over the data"
    )
    train.add_argument("--batch-size", type=_count(1, "batch size"), default=32, help="rows a step")
    train.add_argument("--seed", type=_count(0, "seed"), default=0, help="of all random numbers")
    train.add_argument(
        "--device",
        default=os.environ.get("CHAINRULE_DEVICE") or "cpu",
        help="where to compute: cpu, cuda, cuda:1, ..., or emulated, which runs the GPU's kernels "
        "on the CPU, slowly; by default what CHAINRULE_DEVICE says",
    )
    train.add_argument(
        "--output",
        default=None,
        metavar="FOLDER",
        help="where to write; by default the folder of --checkpoint, or the first free "
        "runs/<data>-<number>",
    )
    train.add_argument(
        "--checkpoint",
        default=None,
        metavar="FOLDER",
        help="keep the run in this folder, so that it can go on after whatever ended it",
    )
    train.add_argument(
        "--every",
        type=_count(1, "steps"),
        default=None,
        metavar="STEPS",
        help="steps from one checkpoint to the next; by default one after each epoch",
    )
    train.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        type=_auto,
        metavar="auto",
        help="go on with the run in the folder of --checkpoint, which must have been started with "
        "the same arguments, --epochs excepted; with auto only if there is one",
    )

    gradcheck = commands.add_parser(
        "gradcheck",
        help="check gradients: of the table's operations, or of your own functions",
        description="Compares gradients with the complex step and with finite differences, and "
        "prints a row an operation: how many calls were checked, the worst error in units of its "
        "tolerance, how many points lay on a kink, how many entries were zero as they must be, and "
        "what the gradients were compared with. The exit code is 1 if anything is wrong.",
    )
    gradcheck.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help="an operation such as tanh; module:function for one of your own; module for all "
        "operations defined there; by default the whole table",
    )
    gradcheck.add_argument(
        "--order", type=int, choices=(1, 2), default=2, help="of the derivatives (default 2)"
    )
    gradcheck.add_argument(
        "--seed", type=_count(0, "seed"), default=0, help="of all random numbers (default 0)"
    )
    gradcheck.add_argument(
        "--shape",
        type=_shape,
        action="append",
        default=[],
        metavar="N,M",
        help="of an input of your function, once for each; () for a number (default 2,3)",
    )
    gradcheck.add_argument(
        "--jobs", type=_count(1, "jobs"), default=None, help="processes (default: one a core)"
    )
    gradcheck.add_argument("--json", action="store_true", help="print the reports as JSON")

    kernels = commands.add_parser(
        "kernels",
        help="compile the GPU's kernels, and show what each uses; no GPU is needed",
        description="Compiles the CUDA kernels to machine code, and prints for each the registers "
        "of a thread, the memory, what was spilled from registers to memory, and the occupancy: "
        "the share of a multiprocessor's places for warps that it can fill. The exit code is 1 if "
        "a kernel spills, if one for floats computes with doubles, or if one does not compile.",
    )
    kernels.add_argument(
        "--family",
        action="append",
        default=[],
        metavar="NAME",
        help="a family of kernels, such as softmax; may be repeated (default: all)",
    )
    kernels.add_argument(
        "--arch",
        type=_count(50, "a compute capability without its point"),
        action="append",
        default=[],
        metavar="80",
        help="a compute capability, 80 for 8.0; may be repeated (default: 75, 80, 90, 100)",
    )
    kernels.add_argument(
        "--compiler", choices=("nvrtc", "nvcc"), help="which one (default: the first there is)"
    )
    kernels.add_argument(
        "--set",
        choices=("raw", "numba"),
        default="raw",
        help="the kernels in CUDA C, or those in Numba's Python (default: raw)",
    )
    kernels.add_argument("--json", metavar="FILE", help="write the table as JSON, too")

    commands.add_parser(
        "doctor",
        help="print versions, BLAS and threads, and which devices are usable and why",
        description="Prints what a report of a problem should contain: versions, BLAS and "
        "threads, kernel cache, and devices with the reason why each is or is not usable.",
    )
    return main


def _reader_gone() -> int:
    """Ends quietly where the reader of the output, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns the exit code: 0, 1 for a wrong gradient or kernel, 2 for bad input, 130 after Ctrl-C.

    >>> main(["--version"]) in (0, None)  # doctest: +ELLIPSIS
    chainrule ...
    True
    """
    commands = parser()
    arguments = commands.parse_args(argv)
    if arguments.version:
        import chainrule

        print(f"chainrule {chainrule.__version__}")
        return 0
    if arguments.command is None:
        commands.print_help()
        return 2
    if arguments.command == "doctor":
        from chainrule.doctor import report

        print(report())
        return 0

    if arguments.command == "kernels":
        from chainrule import kernels_command

        try:
            return kernels_command.run(
                arguments.family,
                arguments.arch,
                arguments.compiler,
                arguments.json,
                arguments.set,
            )
        except kernels_command.UsageError as error:
            print(f"chainrule kernels: error: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:
            return _reader_gone()

    if arguments.command == "gradcheck":
        from chainrule import gradcheck_command

        try:
            return gradcheck_command.run(
                arguments.names,
                arguments.order,
                arguments.seed,
                arguments.shape,
                arguments.json,
                arguments.jobs,
            )
        except gradcheck_command.UsageError as error:
            print(f"chainrule gradcheck: error: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:
            return _reader_gone()

    from chainrule.main_job import UsageError, train

    try:
        return train(arguments)
    except UsageError as error:
        print(f"chainrule train: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
