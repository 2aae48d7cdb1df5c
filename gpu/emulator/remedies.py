"""What a compiler's errors mean to one who learns CUDA, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_BOUNDS = r"(?:__launch_bounds__\s*\([^()]*\)\s*)?"
#: `__global__ void __launch_bounds__(256) name(float* x)`, its parts in any order that C++ allows.
DECLARED = re.compile(
    rf"\b__global__\s+{_BOUNDS}(?P<result>[A-Za-z_][\w\s*]*?[\s*]|){_BOUNDS}(?P<name>\b[A-Za-z_]\w*)\s*"
    r"\((?P<parameters>[^{};()]*)\)"
)

#: The name of the text that is added to a module's own.
GENERATED = "chainrule-generated"
#: What is found in the compiler's errors -> what to do.
REMEDIES = {
    r"'cuda[A-Z]\w*' was not declared": "what the host does (cudaMalloc, cudaMemcpy, "
    "...) is Python's: NumPy arrays are the arguments of a launch",
    r"__(shfl|shfl_up|shfl_down|shfl_xor|any|all|ballot)\b": "CUDA has this only with a mask since "
    "Volta: __shfl_down_sync(0xffffffff, value, 1), __ballot_sync(0xffffffff, condition)",
    r"cooperative_groups": "there are no cooperative groups here: __syncthreads() and __syncwarp() "
    "do what thread_block and tile32 .sync() do",
    r"\bcuda_fp16|\bcuda_bf16|\b__half|\bhalf2?\b|__nv_bfloat": "there are no half-precision types "
    "here: use float",
    r"\bmma\.h|\bwmma\b|\bnvcuda\b": "there are no matrix instructions (tensor cores) here",
    r"\btexture\b|\btex[123]D\w*|cudaTextureObject_t|\bsurf[123]D\w*": "there are no textures "
    "and surfaces here: read the array itself, with __ldg if you like",
    r"\bcurand": "there is no cuRAND here: hand the random numbers to the kernel as an array",
}


def declared(text: str) -> dict[str, re.Match[str]]:
    """The kernels that a text declares, by name.

    >>> list(declared("__global__ void f(int* x) {} __global__ void g();"))
    ['f', 'g']
    """
    code = DIRECTIVE.sub(" ", COMMENT.sub(" ", text))
    return {match["name"]: match for match in DECLARED.finditer(code)}


def unfit(text: str, name: str) -> str | None:
    """Why a function of the text cannot be launched by this name, if so.

    >>> unfit("__device__ void f(int* x) {}", "f")
    "'f' is not a kernel: __global__ void f(...) is one"
    """
    plain = COMMENT.sub(" ", text)
    found = declared(plain).get(name)
    if found is None:
        if not re.search(r"#\s*define\b.*__global__", plain) and re.search(
            rf"\bvoid\s+{re.escape(name)}\s*\(", plain
        ):
            return f"{name!r} is not a kernel: __global__ void {name}(...) is one"
        return None
    before = re.split(r"[;{}]", found.string[: found.start()])[-1]
    if re.search(r"\btemplate\s*<", before):
        return (
            f"{name!r} is a template; launch a kernel that calls it for one type, as in "
            f"__global__ void {name}_float(float* x) {{ ... }}"
        )
    result = found["result"].replace("inline", "").replace("static", "").split()
    if result not in (["void"], []):
        return f"{name!r}: a kernel returns void, this one {' '.join(result)}"
    if re.search(r"&(?!&)", found["parameters"]):
        return f"{name!r}: a kernel takes numbers and pointers; a reference is to the host's memory"
    return None


def explained(log: str, text: str, kernels: Sequence[str]) -> str:
    """What the compiler says of the text itself; then a line for each cause that is known.

    >>> print(explained("kernel.cu:1:3: error: '__half' does not name a type", "__half f;", ["g"]))
    kernel.cu:1:3: error: '__half' does not name a type
    there are no half-precision types here: use float
    """
    plain, known = COMMENT.sub(" ", text), declared(text)
    first = re.split(r"^In file included from [^\n]*cuda_emulated\.h", log, flags=re.MULTILINE)[0]
    own = [line for line in first.rstrip().splitlines() if GENERATED not in line]
    told = [remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, log)]
    if "<<<" in plain:
        told.append("a kernel is launched from Python: run(source, kernel, grid, block, args)")
    if GENERATED in log and not any("error" in line for line in own):
        for name in kernels:
            if len(re.findall(rf"\b__global__[^;{{}}()]*\b{re.escape(name)}\s*\(", plain)) > 1:
                told.append(f"there are several kernels {name!r}: give each a name of its own")
            elif name in known:
                told.append(f"{name!r} cannot be launched: a kernel stands outside of namespaces")
            else:
                told.append(f"the text has no kernel {name!r}; it has {', '.join(known) or 'none'}")
    return "\n".join([*own, *told])
