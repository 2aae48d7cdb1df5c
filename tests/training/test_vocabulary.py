"""Tokens and ids: an order that the text decides, errors that name the id and its place."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.text import Vocabulary

TOKENS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40)


@given(TOKENS, st.integers(1, 3), st.one_of(st.none(), st.integers(4, 12)))
def test_the_order_is_by_count_then_by_first_occurrence(tokens, min_count, max_size):
    expected = sorted(set(tokens), key=lambda each: (-tokens.count(each), tokens.index(each)))
    expected = [each for each in expected if tokens.count(each) >= min_count]
    if max_size is not None:
        expected = expected[: max_size - 3]
    if not expected:
        with pytest.raises(ValueError, match="no token is left"):
            Vocabulary.from_tokens(tokens, max_size, min_count, ["[MASK]"])
        return
    vocabulary = Vocabulary.from_tokens(tokens, max_size, min_count, ["[MASK]"])
    assert list(vocabulary) == ["[PAD]", "[UNK]", "[MASK]", *expected]
    assert max_size is None or len(vocabulary) <= max_size
    assert (vocabulary.padding_id, vocabulary.unknown_id) == (0, 1)


@given(TOKENS)
def test_known_tokens_come_back_and_others_are_unknown(tokens):
    vocabulary = Vocabulary(list("abcd"), specials=["[CLS]"])
    ids = vocabulary.to_ids(tokens)
    assert ids.dtype == np.int32
    known = [each if each in "abcd" else "[UNK]" for each in tokens]
    assert vocabulary.to_tokens(ids) == known
    assert [each in vocabulary for each in tokens] == [each in "abcd" for each in tokens]


def test_a_special_token_in_the_text_keeps_its_id():
    vocabulary = Vocabulary.from_tokens(["a", "[MASK]", "[MASK]"], specials=["[MASK]"])
    assert list(vocabulary) == ["[PAD]", "[UNK]", "[MASK]", "a"]
    assert vocabulary.to_ids(["[MASK]", "[PAD]", "b"]).tolist() == [2, 0, 1]


def test_ids_outside_are_named_with_their_place():
    vocabulary = Vocabulary(["a"])
    with pytest.raises(ValueError, match=r"to_tokens: ids\[2\] = 3 is outside .* 0 to 2 \(2 of 4"):
        vocabulary.to_tokens([0, 1, 3, -1])
    with pytest.raises(ValueError, match=r"ids\[0\] = -1 "):
        vocabulary.to_tokens(np.array([-1], np.int8))
    with pytest.raises(ShapeError, match=r"ids must have shape \(tokens,\), got shape \(1, 2\)"):
        vocabulary.to_tokens([[0, 1]])
    with pytest.raises(DtypeError, match=r"ids must be integers, got shape .*float64"):
        vocabulary.to_tokens([0.0, 1.0])
    assert vocabulary.to_tokens([]) == []


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Vocabulary(["a", "b", "a"]), ValueError, "token 'a' comes twice"),
        (lambda: Vocabulary(["a"], ["[PAD]"]), ValueError, r"'\[PAD\]' comes twice"),
        (lambda: Vocabulary(["a", ""]), ValueError, r"tokens\[1\] is empty"),
        (lambda: Vocabulary(["a", 7]), TypeError, r"tokens\[1\] must be a string, got 7"),
        (lambda: Vocabulary("abc"), TypeError, "tokens is one string"),
        (lambda: Vocabulary(["a"], "[MASK]"), TypeError, "specials is one string"),
        (lambda: Vocabulary.from_tokens("abc"), TypeError, "tokens is one string"),
        (lambda: Vocabulary.from_tokens([]), ValueError, "no token is left of 0"),
        (lambda: Vocabulary.from_tokens(["a"], 2), ValueError, "max_size must be at least 3"),
        (lambda: Vocabulary.from_tokens(["a"], 9.5), TypeError, "max_size must be an integer"),
        (lambda: Vocabulary.from_tokens(["a"], None, 0), ValueError, "min_count must be at least"),
        (lambda: Vocabulary.from_tokens(["a"], None, True), TypeError, "min_count must be an int"),
    ],
)
def test_what_makes_no_vocabulary_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=5))
def test_it_comes_back_from_plain_data(tokens):
    vocabulary = Vocabulary(tokens, ["[MASK] 1"], "<0>", "<1>")
    config = vocabulary.to_config()
    assert config["class_name"] == "Vocabulary"
    assert Vocabulary.from_config(json.loads(json.dumps(config))["config"]) == vocabulary


def test_it_comes_back_from_a_file(tmp_path):
    vocabulary = Vocabulary(["é", "\ud800", "b\n"], ["[MASK]"])
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    assert os.listdir(tmp_path) == ["vocabulary.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged, or no JSON"),
        (b"\xff", "is damaged, or no JSON"),
        (b"[" * 100_000, "is damaged, or no JSON"),
        (b"[]", "holds no Vocabulary; give"),
        (b'{"class_name": "CharTokenizer", "config": {}}', "no Vocabulary, but a CharTokenizer"),
        (b'{"class_name": "Vocabulary", "config": {"tokens": [1]}}', r"damaged \(.*tokens\[0\]"),
        (b'{"class_name": "Vocabulary", "config": {"other": 1}}', r"damaged \(.*other"),
        (b'{"class_name": "Vocabulary", "config": 3}', "holds no Vocabulary; give"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load: cannot read '.*a\.json'"):
        Vocabulary.load(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="save: cannot write"):
        Vocabulary(["a"]).save(tmp_path / "nowhere" / "a.json")


def test_equality_and_what_is_printed():
    one, other = Vocabulary(["a"], ["b"]), Vocabulary(["b", "a"])
    assert one == Vocabulary(["a"], ["b"]) and hash(one) == hash(Vocabulary(["a"], ["b"]))
    assert one != other and one != "a"  # the same ids, but b is special in one only
    assert repr(other) == "<Vocabulary of 4: '[PAD]', '[UNK]', 'b', 'a'>"
    assert repr(Vocabulary(list("abcdefg"))).endswith("'a', 'b', 'c', 'd', ...>")
