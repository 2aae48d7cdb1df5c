"""Cleaning text before it is cut into tokens."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, get_args

Form = Literal["NFC", "NFKC"]
FORMS = get_args(Form)

# The line ends that str.splitlines knows.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters but tab and line feed; halves of surrogate pairs, which no file can hold; the
# byte order mark.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_SPACES = re.compile(r"\s+")


def clean(
    text: str,
    *,
    form: Form = "NFC",
    lower: bool = True,
    strip_accents: bool = False,
    strip_punctuation: bool = False,
    collapse_whitespace: bool = True,
) -> str:
    r"""The same text in one spelling, in this order:

    1. Every end of line becomes `"\n"`; control characters (but tab and line feed), byte order
       marks and lone surrogates go.
    2. Unicode normalisation, so that é is one character however it was typed.
    3. `lower`, `strip_accents`, `strip_punctuation`, `collapse_whitespace`, as far as wanted.

    To clean a clean text again changes nothing.

    Arguments:
        text: the text.
        form: "NFC", or "NFKC", which also turns ligatures, full-width letters and the like into
            plain ones.
        lower: to lower case?
        strip_accents: drop the marks over and under letters: naïve to naive?
        strip_punctuation: a space for each punctuation mark and symbol? An apostrophe between
            letters or digits stays.
        collapse_whitespace: one space for each run of white space, none at the ends? Keep the
            line feeds (False) where a model shall learn to write them.

    Raises:
        TypeError: `text` is no string.
        ValueError: `form` is unknown.

    Source: Unicode Standard Annex 15 (normalisation forms).

    >>> clean("  Cafe\u0301,\r\nDON'T  run! ")
    "café, don't run!"
    >>> clean("Naïve résumé — don't!", strip_accents=True, strip_punctuation=True)
    "naive resume don't"
    """
    if not isinstance(text, str):
        raise TypeError(f"clean: text must be a string, got {type(text).__name__}; {_READ}")
    if form not in FORMS:
        raise ValueError(f"clean: form must be one of {', '.join(FORMS)}, got {form!r}")
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    text = unicodedata.normalize(form, text)
    if lower:
        text = text.lower()
    if strip_accents:
        apart = unicodedata.normalize("NFD", text)
        text = "".join(each for each in apart if unicodedata.category(each) != "Mn")
    if strip_punctuation:
        text = _without_punctuation(text)
    if collapse_whitespace:
        text = _SPACES.sub(" ", text).strip()
    return unicodedata.normalize(form, text)


_READ = 'decode bytes first, data.decode("utf-8"), and clean the texts of a list one by one'


def _without_punctuation(text: str) -> str:
    marks = {each for each in set(text) if unicodedata.category(each)[0] in "PS"}
    table = str.maketrans(dict.fromkeys(marks - {"'", "’"}, " "))
    # What is left of punctuation is apostrophes: those between letters stay.
    return re.sub(r"(?<![^\W_])['’]|['’](?![^\W_])", " ", text.translate(table))
