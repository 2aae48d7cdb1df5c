"""Text as ids, and ids as text: by characters, or by words."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from chainrule.layers.config import Configured

from .cleaning import clean
from .json_files import write_json
from .vocabulary import PADDING_ID, UNKNOWN_ID, Vocabulary, loaded

AnyTokenizer = TypeVar("AnyTokenizer", bound="BaseTokenizer")

#: A word: letters, digits and underscores, apostrophes within; or one mark of anything else.
WORDS = r"\w+(?:['’]\w+)*|[^\w\s]"

#: What Keras calls it, and what to write here.
_KERAS = {
    "fit_on_texts": "fit(texts)",
    "adapt": "fit(texts)",
    "texts_to_sequences": "[tokenizer.encode(text) for text in texts]",
    "sequences_to_texts": "[tokenizer.decode(ids) for ids in sequences]",
    "word_index": "tokenizer.vocabulary, whose to_ids(tokens) gives ids",
    "index_word": "list(tokenizer.vocabulary), the tokens by id",
    "get_vocabulary": "list(tokenizer.vocabulary), the tokens by id",
    "vocabulary_size": "tokenizer.vocab_size",
}


class BaseTokenizer(Configured):
    """What the tokenizers share; a subclass says how a text is cut, and how it is joined."""

    def __init__(
        self,
        max_size: int | None = None,
        min_count: int = 1,
        specials: Iterable[str] = (),
        cleaning: Mapping[str, Any] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.max_size = max_size
        self.min_count = min_count
        self.specials = tuple(specials)
        self.cleaning = None if cleaning is None else dict(cleaning)
        self.vocabulary = vocabulary
        clean("", **(self.cleaning or {}))  # refuses what it does not know
        if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
            raise TypeError(
                f"{type(self).__name__}: vocabulary must be a Vocabulary, got {vocabulary!r}"
            )

    def split(self, text: str) -> Iterable[str]:
        """The tokens of a text, in order."""
        raise NotImplementedError(f"{type(self).__name__} must define split(text)")

    def join(self, tokens: Iterable[str]) -> str:
        """A text of these tokens."""
        raise NotImplementedError(f"{type(self).__name__} must define join(tokens)")

    def fit(self: AnyTokenizer, texts: str | Iterable[str]) -> AnyTokenizer:
        """Make the vocabulary from a text, or several, in place of an earlier one; returns itself.

        Fit it on the texts to train with alone: what is held back for validation must not show.

        Raises:
            TypeError: `texts` holds something else than strings.
            ValueError: there is no token in them.
        """
        counts: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(self.split(self._cleaned(text, "fit")))
        self.vocabulary = Vocabulary.from_tokens(
            counts, self.max_size, self.min_count, self.specials
        )
        return self

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's tokens, int32, shape (tokens,); 1 for each that is not known.

        Raises:
            RuntimeError: there is no vocabulary yet.
            TypeError: `text` is no string.
        """
        vocabulary = self._fitted("encode")
        return vocabulary.to_ids(self.split(self._cleaned(text, "encode")))

    def decode(self, ids: Any) -> str:
        """The text of ids; padding is left out, other special tokens are written out.

        Arguments: `ids`, integers, shape (tokens,).

        Raises:
            RuntimeError: there is no vocabulary yet.
            DtypeError, ShapeError: they are no integers, or have not one axis.
            ValueError: an id is outside the vocabulary; the message names it and its position.
        """
        vocabulary = self._fitted("decode")
        numbers = vocabulary.checked_ids(ids, "decode")
        return self.join(vocabulary.to_tokens(numbers[numbers != PADDING_ID]))

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special ones included: an Embedding's `input_dim`."""
        return len(self._fitted("vocab_size"))

    @classmethod
    def from_config(cls: type[AnyTokenizer], config: Mapping[str, Any]) -> AnyTokenizer:
        """The tokenizer, with its vocabulary, from what `get_config` returned."""
        options = dict(config)
        if isinstance(vocabulary := options.get("vocabulary"), Mapping):
            options["vocabulary"] = Vocabulary.from_config(vocabulary["config"])
        return cls(**options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, which is complete or not there at all.

        Raises RuntimeError if there is no vocabulary yet, OSError if it cannot be written.
        """
        self._fitted("save")
        write_json(self.to_config(), path, where="save")

    @classmethod
    def load(cls: type[AnyTokenizer], path: str | os.PathLike[str]) -> AnyTokenizer:
        """The tokenizer in a file that `save` wrote.

        Raises:
            OSError: the file is missing or cannot be read.
            ValueError: it is damaged, or holds something else.
        """
        tokenizer: AnyTokenizer = loaded(cls, path)
        return tokenizer

    def __repr__(self) -> str:
        size = "no vocabulary yet" if self.vocabulary is None else f"{len(self.vocabulary)} ids"
        return f"<{type(self).__name__}: {size}>"

    def __getattr__(self, name: str) -> Any:
        remedy = f"; write {_KERAS[name]}" if name in _KERAS else ""
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}{remedy}")

    def _cleaned(self, text: Any, where: str) -> str:
        if not isinstance(text, str):
            remedy = "encode the texts one by one" if where == "encode" else "give a list of them"
            raise TypeError(f"{where}: a text must be a string, got {text!r:.60}; {remedy}")
        return text if self.cleaning is None else clean(text, **self.cleaning)

    def _fitted(self, where: str) -> Vocabulary:
        if self.vocabulary is None:
            raise RuntimeError(
                f"{where}: the {type(self).__name__} has no vocabulary yet; call fit(texts) first"
            )
        return self.vocabulary


class CharTokenizer(BaseTokenizer):
    """Characters (Unicode code points) and their ids.

    A text whose characters are all known comes back from its ids as it was:
    `decode(encode(text)) == text`.

    Arguments:
        max_size: at most this many ids, special tokens included; None for all.
        min_count: rarer characters are not listed.
        specials: special tokens besides padding (id 0) and unknown (id 1).
        cleaning: options of `clean`, done to every text first; None leaves texts as they are.
        vocabulary: one that is ready, in place of `fit`.

    >>> tokenizer = CharTokenizer().fit("hello")
    >>> tokenizer.encode("hole!")
    array([3, 5, 2, 4, 1], dtype=int32)
    >>> tokenizer.decode([3, 5, 2, 4, 1, 0, 0]), tokenizer.vocab_size
    ('hole[UNK]', 6)
    """

    def split(self, text: str) -> Iterable[str]:
        """The characters."""
        return text

    def join(self, tokens: Iterable[str]) -> str:
        """The characters, one after the other."""
        return "".join(tokens)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text's characters, int32, shape (characters,); 1 for each unknown one.

        Raises:
            RuntimeError: there is no vocabulary yet.
            TypeError: `text` is no string.
        """
        table = self._table(self._fitted("encode"))
        content = self._cleaned(text, "encode").encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(content, "<u4")
        return table[np.minimum(codes, len(table) - 1)]

    def _table(self, vocabulary: Vocabulary) -> np.ndarray:
        """The id of every code point up to the highest listed, and of all above, at the end."""
        codes = {ord(token): number for number, token in enumerate(vocabulary) if len(token) == 1}
        table = np.full(max(codes, default=0) + 2, UNKNOWN_ID, np.int32)
        table[list(codes)] = list(codes.values())
        return table


class WordTokenizer(BaseTokenizer):
    r"""Words and marks, and their ids.

    A token is what the regular expression finds, from left to right; what lies between is
    dropped, white space as a rule. The usual one takes runs of letters, digits and underscores
    with apostrophes within for words, and every other mark but white space for a token of its own:
    `\w+(?:['’]\w+)*|[^\w\s]`. `decode` puts a space between tokens.

    Arguments:
        max_size: at most this many ids, special tokens included; None for all.
        min_count: rarer tokens are not listed.
        specials: special tokens besides padding (id 0) and unknown (id 1).
        cleaning: options of `clean`, done to every text first, as `{}` or `{"lower": False}`;
            None leaves texts as they are.
        vocabulary: one that is ready, in place of `fit`.
        pattern: the regular expression of a token.

    Raises ValueError for a pattern that is no regular expression, or finds empty tokens, TypeError
    for one that is no string.

    >>> tokenizer = WordTokenizer(cleaning={}).fit(["The cat sat.", "Don't sit, cat!"])
    >>> list(tokenizer.split("don't sit, cat!"))
    ["don't", 'sit', ',', 'cat', '!']
    >>> tokenizer.decode(tokenizer.encode("A cat sat!"))
    '[UNK] cat sat !'
    """

    def __init__(
        self,
        max_size: int | None = None,
        min_count: int = 1,
        specials: Iterable[str] = (),
        cleaning: Mapping[str, Any] | None = None,
        vocabulary: Vocabulary | None = None,
        pattern: str = WORDS,
    ) -> None:
        super().__init__(max_size, min_count, specials, cleaning, vocabulary)
        self.pattern = pattern
        if not isinstance(pattern, str):
            raise TypeError(f"WordTokenizer: pattern must be a string, got {pattern!r}")
        try:
            self._compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(
                f"WordTokenizer: pattern {pattern!r} is no regular expression ({error})"
            ) from error
        if self._compiled.match(""):
            raise ValueError(
                f"WordTokenizer: pattern {pattern!r} finds empty tokens; a token has at least one "
                "character: + in place of *"
            )

    def split(self, text: str) -> Iterable[str]:
        """What the pattern finds, in order."""
        return [found for each in self._compiled.finditer(text) if (found := each.group())]

    def join(self, tokens: Iterable[str]) -> str:
        """The tokens with a space between."""
        return " ".join(tokens)


#: All tokenizers: a configuration can name these, and no others.
TOKENIZERS: tuple[type[BaseTokenizer], ...] = (CharTokenizer, WordTokenizer)
