"""Files one can trust: written whole or not at all, checked to the last bit, never executed.

A *bundle* (`bundle.py`) is a folder with a manifest in JSON and the `safetensors` files it names.
"""

from .bundle import read_bundle, read_manifest, write_bundle

__all__ = ["read_bundle", "read_manifest", "write_bundle"]
