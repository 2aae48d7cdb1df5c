"""Texts become ids of one length."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.engine.making import made, making
from chainrule.preprocessing import Encode, Preprocessing
from chainrule.text import CharTokenizer, Vocabulary, WordTokenizer, pad_sequences
from chainrule.training.preprocessing_steps import KIND

TEXTS = ["the cat sat", "a dog", "the dog sat by the cat and slept"]


def words(**options):
    return WordTokenizer(cleaning={}, **options).fit(TEXTS)


@pytest.mark.parametrize("tokenizer", [words(), words(max_size=5), CharTokenizer().fit(TEXTS)])
@pytest.mark.parametrize("sides", [("pre", "pre"), ("post", "post"), ("pre", "post")])
def test_it_is_the_tokenizer_and_padding(tokenizer, sides):
    step = Encode(tokenizer, 4, *sides)
    expected = pad_sequences(
        [tokenizer.encode(each) for each in TEXTS], 4, padding=sides[0], truncating=sides[1]
    )
    forms = (TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object))
    for texts in forms:
        found = Preprocessing(step)(texts)
        assert found.dtype == np.int32
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "tokenizer",
    [
        words(),
        WordTokenizer(pattern=r"\w+", specials=["[CLS]"], max_size=6).fit(TEXTS),
        CharTokenizer(cleaning={"lower": False}, min_count=2).fit(TEXTS),
        CharTokenizer(vocabulary=Vocabulary(["a", "é", "😀"], padding="<p>", unknown="<u>")),
    ],
)
def test_it_comes_back_from_json_with_its_vocabulary(tokenizer):
    step = Encode(tokenizer, 7, "post")
    again = made(json.loads(json.dumps(step.to_config())), KIND)
    assert again.tokenizer.vocabulary == tokenizer.vocabulary
    assert type(again.tokenizer) is type(tokenizer)
    unseen = [*TEXTS, "An é😀 CAT!", "[CLS] cat"]
    assert (again.encode(unseen) == step.encode(unseen)).all()
    assert again.get_config() == step.get_config()


class Vowels(CharTokenizer):
    """A tokenizer of one's own."""

    def encode(self, text):
        return super().encode("".join(each for each in text if each in "aeiou"))


def test_a_tokenizer_of_ones_own_is_given_when_it_is_read():
    step = Encode(Vowels().fit("aeiou"), 3)
    with pytest.raises(ValueError, match=r"tokenizer: class_name 'Vowels' is unknown.*custom_obj"):
        made(step.to_config(), KIND)
    with making(custom_objects={"Vowels": Vowels}):
        again = made(step.to_config(), KIND)
    assert (again.encode(["a cat"]) == step.encode(["a cat"])).all()


def test_ids_that_are_made_already_are_left_as_they_are():
    step = Preprocessing(Encode(words(), 4))
    ids = step(TEXTS)
    assert step.prepare(ids)[0] is ids


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("the cat", TypeError, r"x must be a list of texts.* got one string; give a list: \[x\]"),
        ([], ValueError, "x is empty"),
        (["a", 3], TypeError, r"x\[1\] must be a text, .*, got 3"),
        (["a", None], TypeError, r"x\[1\] must be a text, .*, got None"),
        (["a cat", "  "], ValueError, r"x\[1\] = '  ' has no token"),
        (["a", ""], ValueError, r"x\[1\] = '' has no token"),
        (np.array([["a"], ["b"]]), TypeError, r"got shape \(2, 1\)"),
        (np.array([[1, 2]]), TypeError, r"ids of shape \(texts, 3\), got shape \(1, 2\), int64"),
        (np.array([[1.0, 2.0, 3.0]]), TypeError, r"ids of shape \(texts, 3\)"),
        ([[1, 2, 3]], TypeError, r"x\[0\] must be a text, .* got \[1, 2, 3\]"),
        ([b"a"], TypeError, r"x\[0\] must be a text"),
        (5, TypeError, "got int"),
        (iter(["a"]), TypeError, "got list_iterator"),
        ({"x": ["a"]}, TypeError, "got dict"),
    ],
)
def test_what_is_no_list_of_texts(texts, error, message):
    with pytest.raises(error, match=message):
        Preprocessing(Encode(words(), 3))(texts)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((WordTokenizer(), 3), RuntimeError, r"no vocabulary yet; call tokenizer\.fit\(texts\)"),
        ((str.split, 3), TypeError, "must be a CharTokenizer or a WordTokenizer"),
        ((words(), 0), ValueError, "length must be a positive integer"),
        ((words(), 2.5), TypeError, "length must be a positive integer"),
        ((words(), 3, "left"), ValueError, "padding must be one of 'pre', 'post'"),
        ((words(), 3, "pre", 1), ValueError, "truncating must be one of 'pre', 'post'"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Encode(*arguments)
