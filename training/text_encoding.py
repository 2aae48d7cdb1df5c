"""The step of preprocessing that makes ids of texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.errors import describe
from chainrule.engine.making import Kind, made
from chainrule.layers.arguments import choice, positive_integer

from .preprocessing_steps import Step, registered
from .sequences import SIDES, pad_sequences
from .tokenizers import TOKENIZERS, BaseTokenizer

#: What a configuration of a tokenizer may describe.
KIND = Kind("tokenizer", BaseTokenizer, {each.__name__: each for each in TOKENIZERS})


@registered
class Encode(Step):
    """Texts as ids: cut into tokens, and filled up or cut to one length.

    The texts are a list of strings; `fit` encodes all of them before it starts, since ids are
    small.

    Arguments:
        tokenizer: a `CharTokenizer` or `WordTokenizer` that has its vocabulary.
        length: how many ids a text has in the end.
        padding: fill up at the start ("pre") or the end ("post"), with id 0.
        truncating: cut what is too long at the start ("pre") or the end ("post").

    Raises:
        TypeError: `tokenizer` is none, or `length` no integer.
        RuntimeError: the tokenizer has no vocabulary yet.
        ValueError: `length` is less than 1, or another argument is none of the above.

    >>> from chainrule.preprocessing import Encode, Preprocessing
    >>> from chainrule.text import CharTokenizer
    >>> Preprocessing(Encode(CharTokenizer().fit("abc"), length=4))(["ab", "cabcab"]).tolist()
    [[0, 0, 2, 3], [3, 4, 2, 3]]
    """

    def __init__(
        self, tokenizer: Any, length: int, padding: str = "pre", truncating: str = "pre"
    ) -> None:
        if not isinstance(tokenizer, BaseTokenizer):
            raise TypeError(
                "Encode: tokenizer must be a CharTokenizer or a WordTokenizer, got "
                f"{describe(tokenizer)}"
            )
        if tokenizer.vocabulary is None:
            raise RuntimeError(
                f"Encode: the {type(tokenizer).__name__} has no vocabulary yet; call "
                "tokenizer.fit(texts) with the texts to train with first"
            )
        self.tokenizer = tokenizer
        self.length = positive_integer(length, "length", "Encode")
        self.padding = choice(padding, SIDES, "padding", "Encode")
        self.truncating = choice(truncating, SIDES, "truncating", "Encode")

    def apply(self, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """The ids as they are: they have been made before any batch was cut."""
        return x

    def encode(self, texts: Any, name: str = "x", where: str = "encode") -> np.ndarray:
        """The ids of texts, int32, shape (texts, length); of ids, an array like that, themselves.

        Arguments:
            texts: a list or a one-dimensional array of strings, or ids that are made already.
            name: name of the argument, for messages.
            where: name of the public function, for messages.

        Raises:
            TypeError: it is no list of strings.
            ValueError: there is no text, or one has no token.
        """
        rows = []
        if _are_ids(texts, self.length):
            ids: np.ndarray = texts
            return ids
        for index, text in enumerate(_listed(texts, self.length, name, where)):
            if not isinstance(text, str):
                raise TypeError(
                    f"{where}: {name}[{index}] must be a text, which the model's preprocessing "
                    f"encodes, got {describe(text)}"
                )
            ids = self.tokenizer.encode(str(text))
            if not len(ids):
                raise ValueError(
                    f"{where}: {name}[{index}] = {text!r:.60} has no token, and nothing can be "
                    "learnt, or said, of it; remove it"
                )
            rows.append(ids)
        if not rows:
            raise ValueError(f"{where}: {name} is empty; at least one text is needed")
        return pad_sequences(rows, self.length, padding=self.padding, truncating=self.truncating)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encode:
        """The step, with its tokenizer, from what `get_config` returned."""
        return cls(**{**config, "tokenizer": made(config.get("tokenizer"), KIND, "tokenizer")})


def _are_ids(value: Any, length: int) -> bool:
    """Is it an array of ids, of rows of the right length?"""
    if not isinstance(value, np.ndarray):
        return False
    return value.dtype.kind in "iu" and value.ndim == 2 and value.shape[1] == length


def _listed(texts: Any, length: int, name: str, where: str) -> Any:
    needed = f"{where}: {name} must be a list of texts, which the model's preprocessing encodes"
    if isinstance(texts, str):
        raise TypeError(f"{needed}, got one string; give a list: [{name}]")
    if isinstance(texts, dict) or not (hasattr(texts, "__len__") and hasattr(texts, "__iter__")):
        raise TypeError(f"{needed}, got {type(texts).__name__}")
    shape, dtype = getattr(texts, "shape", None), getattr(texts, "dtype", None)
    if shape is not None and (len(shape) != 1 or getattr(dtype, "kind", "O") not in "UTO"):
        raise TypeError(
            f"{needed}, or an array of ids of shape (texts, {length}), got {describe(texts)}"
        )
    return texts
