"""Clean text has one spelling, and stays as it is when cleaned again."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.text import clean

OPTIONS = st.fixed_dictionaries(
    {
        "form": st.sampled_from(["NFC", "NFKC"]),
        "lower": st.booleans(),
        "strip_accents": st.booleans(),
        "strip_punctuation": st.booleans(),
        "collapse_whitespace": st.booleans(),
    }
)
# Letters with marks, ligatures, ends of line, apostrophes and controls come often.
TEXTS = st.text(
    st.one_of(st.sampled_from("aÉe\u0301ﬁİ'’—_ \t\r\n\x0b\x00\x85\ufeff1"), st.characters())
)


@given(TEXTS, OPTIONS)
def test_cleaning_again_changes_nothing(text, options):
    once = clean(text, **options)
    assert clean(once, **options) == once
    assert unicodedata.is_normalized(options["form"], once)


@given(TEXTS, OPTIONS)
def test_what_is_wanted_gone_is_gone(text, options):
    found = clean(text, **options)
    for each in found:
        kind = unicodedata.category(each)
        assert kind not in ("Cc", "Cs") or each in "\t\n"
        if options["strip_punctuation"]:
            assert kind[0] not in "PS" or each in "'’"
        if options["strip_accents"]:
            assert kind != "Mn"
    if options["lower"]:
        assert found == found.lower()
    if options["collapse_whitespace"]:
        assert found == " ".join(found.split())


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("Zoe\u0308", {}, "zoë"),
        ("ZOË", {"lower": False}, "ZOË"),
        ("한글", {"strip_accents": True}, "한글"),  # its syllables are taken apart on the way
        ("Zoë à Málaga", {"strip_accents": True}, "zoe a malaga"),
        ("one\r\ntwo\rthree\u2028four", {"collapse_whitespace": False}, "one\ntwo\nthree\nfour"),
        (" a \t b\n\nc ", {}, "a b c"),
        ("don't 'quote' the dogs' x_y!", {"strip_punctuation": True}, "don't quote the dogs x y"),
        ("a\x00b\x07\ufeff\ud800c", {}, "abc"),
        ("ﬁne ｗｉｄｅ", {"form": "NFKC"}, "fine wide"),
        ("ﬁne", {}, "ﬁne"),
        ("3 > 2 € — naïve…", {"strip_punctuation": True}, "3 2 naïve"),
        ("", {}, ""),
    ],
)
def test_examples(text, options, expected):
    assert clean(text, **options) == expected


def test_what_is_no_text_is_refused():
    with pytest.raises(TypeError, match=r"clean: text must be a string, got bytes; decode"):
        clean(b"abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got list"):
        clean(["abc"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="form must be one of NFC, NFKC, got 'NFD'"):
        clean("abc", form="NFD")
