"""Writes down what the installed CuPy offers: names, arguments, and the dtypes of its ufuncs.

Tests run the engine on a stand-in for CuPy (`tests/gpu/strict.py`), which offers what this file
says and nothing else, so they need neither CuPy nor a GPU. Run it when another CuPy is meant:

    python scripts/cupy_signatures.py
"""

from __future__ import annotations

import inspect
import json
import types
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "tests" / "gpu" / "cupy_names.json"


def arguments(function: Any) -> str:
    """The arguments of a function as text, with None for defaults that are no plain values.

    Compiled methods say them in the first line of their docstring, with C types, which go.
    """
    try:
        parameters = inspect.signature(function).parameters
        plain = [_plain(each) for name, each in parameters.items() if name != "self"]
        return str(inspect.Signature(plain))[1:-1]
    except ValueError:  # compiled
        pass
    first = (function.__doc__ or "").split("\n")[0]
    inside = first[first.find("(") + 1 : first.rfind(")")] if "(" in first else "*args, **kwargs"
    found = []
    for each in inside.split(", "):
        name, equals, default = each.partition("=")
        name = name.split(" ")[-1]  # "int axis" is "axis"
        if name != "self":
            found.append(name + (equals + default if equals else ""))
    return ", ".join(found)


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default
    if default is not parameter.empty and not isinstance(default, (int, float, str, bool)):
        default = None
    return parameter.replace(annotation=parameter.empty, default=default)


def survey(module: Any) -> dict[str, Any]:
    """What there is: functions, ufuncs, methods of arrays, and other names."""
    ufunc, array = type(module.add), module.ndarray
    functions: dict[str, str] = {}
    ufuncs: dict[str, dict[str, Any]] = {}
    other: list[str] = []
    for prefix, space in (("", module), ("linalg.", module.linalg)):
        for name in sorted(dir(space)):
            value = getattr(space, name)
            if name.startswith("_"):
                continue
            if isinstance(value, ufunc):
                ufuncs[prefix + name] = {
                    "inputs": value.nin,
                    "outputs": value.nout,
                    "types": list(dict.fromkeys(value.types)),
                    "at": value._scatter_op is not None,
                }
            elif callable(value) and not isinstance(value, (type, types.ModuleType)):
                functions[prefix + name] = arguments(value)
            else:
                other.append(prefix + name)
    methods = {}
    for name in sorted(dir(array)):
        value = getattr(array, name)
        if not name.startswith("_") and callable(value):
            methods[name] = arguments(value)
    attributes = [
        name
        for name in sorted(dir(array))
        if not name.startswith("_") and not callable(getattr(array, name))
    ]
    return {
        "cupy": module.__version__,
        "functions": functions,
        "ufuncs": ufuncs,
        "methods": methods,
        "attributes": attributes,
        "other": other,
    }


def text(module: Any) -> str:
    """The file's text: one name a line."""
    return json.dumps(survey(module), indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Writes the file."""
    import cupy

    FILE.write_text(text(cupy), encoding="utf-8")
    print(f"{FILE}: CuPy {cupy.__version__}")


if __name__ == "__main__":
    main()
