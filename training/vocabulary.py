"""Which token has which number."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.layers.config import Configured

from .json_files import read_json, write_json

PADDING_ID, UNKNOWN_ID = 0, 1


class Vocabulary(Configured):
    """Tokens and their ids: 0 fills up short sequences, 1 stands for every token not listed.

    The ids go on with the other special tokens, then the ordinary ones, in the order given.

    Arguments:
        tokens: the ordinary tokens, distinct strings.
        specials: special tokens besides the two, such as "[MASK]" and "[CLS]", from id 2 on.
        padding: how the token of id 0 is written.
        unknown: how the token of id 1 is written.

    Raises:
        TypeError: a token is no string.
        ValueError: a token is empty, or comes twice.

    >>> vocabulary = Vocabulary(["the", "cat"], specials=["[MASK]"])
    >>> list(vocabulary)
    ['[PAD]', '[UNK]', '[MASK]', 'the', 'cat']
    >>> vocabulary.to_ids(["the", "dog", "[MASK]"])
    array([3, 1, 2], dtype=int32)
    """

    def __init__(
        self,
        tokens: Iterable[str],
        specials: Iterable[str] = (),
        padding: str = "[PAD]",
        unknown: str = "[UNK]",
    ) -> None:
        self.tokens = _strings(tokens, "tokens")
        self.specials = _strings(specials, "specials")
        self.padding = padding
        self.unknown = unknown
        self._by_id = (*_strings([padding, unknown], "padding and unknown"), *self.specials)
        self._by_id += self.tokens
        self._ids = {token: number for number, token in enumerate(self._by_id)}
        if len(self._ids) < len(self._by_id):
            twice = next(each for each, count in Counter(self._by_id).items() if count > 1)
            raise ValueError(
                f"Vocabulary: the token {twice!r} comes twice; tokens and special tokens must "
                "all be different"
            )

    @classmethod
    def from_tokens(
        cls,
        tokens: Iterable[str] | Mapping[str, int],
        max_size: int | None = None,
        min_count: int = 1,
        specials: Iterable[str] = (),
    ) -> Vocabulary:
        """The vocabulary of the tokens of a text, the most frequent first.

        Tokens that are equally frequent keep the order in which they first came, so that the same
        text gives the same ids. A token that is a special one is counted as that.

        Arguments:
            tokens: the tokens, each as often as it comes, or how often each comes.
            max_size: at most this many ids, special tokens included; None for all.
            min_count: rarer tokens are left out.
            specials: as above.

        Raises:
            TypeError, ValueError: as above; or nothing would be left besides the special tokens.

        >>> list(Vocabulary.from_tokens("b a c a c c d".split(), max_size=5, min_count=1))[2:]
        ['c', 'a', 'b']
        """
        least = _at_least(1, min_count, "min_count")
        if isinstance(tokens, str):  # its characters would be taken for tokens
            raise TypeError("from_tokens: tokens is one string; give a list of them")
        counts, specials = Counter(tokens), _strings(specials, "specials")
        reserved = tuple(cls((), specials))
        ordered = [
            token
            for token, count in counts.most_common()  # a stable sort
            if count >= least and token not in reserved
        ]
        if max_size is not None:
            ordered = ordered[: _at_least(len(reserved) + 1, max_size, "max_size") - len(reserved)]
        if not ordered:
            raise ValueError(
                f"from_tokens: no token is left of {len(counts)} different ones "
                f"(min_count={min_count}); give more text, or a lower min_count"
            )
        return cls(ordered, specials)

    def to_ids(self, tokens: Iterable[str]) -> np.ndarray:
        """The ids of tokens, int32, shape (tokens,); `unknown_id` where one is not listed."""
        ids = self._ids
        return np.array([ids.get(each, UNKNOWN_ID) for each in tokens], np.int32)

    def to_tokens(self, ids: Any) -> list[str]:
        """The tokens of ids.

        Arguments: `ids`, integers, shape (tokens,).

        Raises:
            DtypeError, ShapeError: they are no integers, or have not one axis.
            ValueError: an id is outside the vocabulary; the message names it and its position.

        >>> Vocabulary(["a", "b"]).to_tokens([2, 3, 0])
        ['a', 'b', '[PAD]']
        """
        numbers = self.checked_ids(ids, "to_tokens")
        return [self._by_id[each] for each in numbers.tolist()]

    def checked_ids(self, ids: Any, where: str) -> np.ndarray:
        """The ids as an array, if each is one of this vocabulary; `where` is for messages."""
        numbers = np.asarray(ids)
        if numbers.ndim != 1:
            raise ShapeError(
                f"{where}: ids must have shape (tokens,), got {describe(numbers)}; take the rows "
                "of a batch one by one"
            )
        if numbers.size == 0:
            return numbers.astype(np.int32)
        if numbers.dtype.kind not in "iu":
            raise DtypeError(f"{where}: ids must be integers, got {describe(numbers)}")
        outside = (numbers < 0) | (numbers >= len(self))
        if outside.any():
            first = int(np.argmax(outside))
            raise ValueError(
                f"{where}: ids[{first}] = {numbers[first]} is outside the vocabulary, whose ids "
                f"are 0 to {len(self) - 1} ({np.count_nonzero(outside)} of {numbers.size} are)"
            )
        return numbers

    @property
    def padding_id(self) -> int:
        """The id that fills up short sequences: 0."""
        return PADDING_ID

    @property
    def unknown_id(self) -> int:
        """The id of every token that is not listed: 1."""
        return UNKNOWN_ID

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._by_id == other._by_id and self.specials == other.specials

    def __hash__(self) -> int:
        return hash((self._by_id, self.specials))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._by_id[:6]))
        return f"<Vocabulary of {len(self)}: {shown}{', ...' if len(self) > 6 else ''}>"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary from what `get_config` returned."""
        return cls(**config)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, which is complete or not there at all. Raises OSError."""
        write_json(self.to_config(), path, where="save")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """The vocabulary in a file that `save` wrote.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: it is damaged, or holds something else.
        """
        return loaded(cls, path)


def loaded(cls: Any, path: str | os.PathLike[str]) -> Any:
    """What `cls.from_config` makes of a JSON file of `{"class_name": ..., "config": {...}}`.

    Raises as `Vocabulary.load` does.
    """
    content, name = read_json(path, where="load"), cls.__name__
    found = content.get("class_name") if isinstance(content, dict) else None
    remedy = f"give a file that {name}.save has written"
    if found != name or not isinstance(content.get("config"), dict):
        but = f", but a {found}" if isinstance(found, str) and found != name else ""
        raise ValueError(f"load: {str(path)!r} holds no {name}{but}; {remedy}")
    try:
        return cls.from_config(content["config"])
    except Exception as error:  # whatever a constructor makes of what it was not written for
        raise ValueError(f"load: {str(path)!r} is damaged ({error}); {remedy}") from error


def _strings(values: Iterable[str], name: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"Vocabulary: {name} is one string, {values!r}; give a list of them")
    strings = tuple(values)
    for position, each in enumerate(strings):
        if not isinstance(each, str):
            raise TypeError(f"Vocabulary: {name}[{position}] must be a string, got {each!r}")
        if not each:
            raise ValueError(f"Vocabulary: {name}[{position}] is empty; leave it out")
    return strings


def _at_least(least: int, value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"from_tokens: {name} must be an integer, got {value!r}")
    if value < least:
        reason = ", so that one ordinary token is left" if name == "max_size" else ""
        raise ValueError(f"from_tokens: {name} must be at least {least}{reason}, got {value}")
    return int(value)
