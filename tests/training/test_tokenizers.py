"""Text comes back from its ids, and what is not known is told, not guessed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.text import CharTokenizer, Vocabulary, WordTokenizer

TEXT = st.text(min_size=1, max_size=30)


@given(TEXT, st.data())
def test_characters_come_back_as_they_were(text, data):
    tokenizer = CharTokenizer().fit(text)
    again = "".join(data.draw(st.lists(st.sampled_from(text), max_size=20)))
    ids = tokenizer.encode(again)
    assert ids.dtype == np.int32 and ids.shape == (len(again),)
    assert tokenizer.decode(ids) == again
    assert ids.size == 0 or 2 <= ids.min() <= ids.max() < tokenizer.vocab_size
    assert tokenizer.vocab_size == 2 + len(set(text))


@given(TEXT, TEXT, st.integers(1, 2))
def test_characters_are_encoded_as_the_vocabulary_says(text, other, min_count):
    tokenizer = CharTokenizer(min_count=min_count, specials=["[CLS]"])
    try:
        tokenizer.fit([text, "aa"])
    except ValueError:
        pytest.fail("'aa' has a token that is frequent enough")
    expected = tokenizer.vocabulary.to_ids(list(other))
    np.testing.assert_array_equal(tokenizer.encode(other), expected)


@given(st.lists(TEXT, max_size=4))
def test_words_come_back_as_ids(texts):
    tokenizer = WordTokenizer(cleaning={"form": "NFKC"}).fit([*texts, "one two"])
    for text in texts:
        ids = tokenizer.encode(text)
        assert 1 not in ids  # all its words are listed
        np.testing.assert_array_equal(tokenizer.encode(tokenizer.decode(ids)), ids)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", ["The", "cat", "sat", "."]),
        ("don't o’clock 'tis dogs'", ["don't", "o’clock", "'", "tis", "dogs", "'"]),
        ("x_1 = 3.5e-2", ["x_1", "=", "3", ".", "5e", "-", "2"]),
        ("naïve—日本 \n\t ", ["naïve", "—", "日本"]),
        ("", []),
    ],
)
def test_what_a_word_is(text, words):
    assert list(WordTokenizer().split(text)) == words


def test_a_pattern_of_ones_own_may_have_groups():
    tokenizer = WordTokenizer(pattern=r"(\[\w+\])|(?P<w>\w+)", specials=["[MASK]"])
    tokenizer.fit("a [MASK] b")
    assert tokenizer.encode("b [MASK] c").tolist() == [4, 2, 1]
    assert list(WordTokenizer(pattern=r"(#)?(\w)+").split("#one two")) == ["#one", "two"]


def test_fitting_counts_over_all_texts_and_replaces_the_vocabulary():
    tokenizer = WordTokenizer(max_size=4).fit(["a b", "b c c", "c"])
    assert list(tokenizer.vocabulary)[2:] == ["c", "b"]
    assert list(tokenizer.fit(text for text in ["d"]).vocabulary)[2:] == ["d"]


def test_cleaning_is_done_in_fit_and_encode_and_kept_in_the_file(tmp_path):
    plain = WordTokenizer().fit("Zoë zoë")
    cleaned = WordTokenizer(cleaning={"strip_accents": True}).fit("Zoë zoë")
    assert (plain.vocab_size, cleaned.vocab_size) == (4, 3)
    cleaned.save(tmp_path / "words.json")
    again = WordTokenizer.load(tmp_path / "words.json")
    assert again.encode("ZOË Zoe you").tolist() == [2, 2, 1]
    assert again.to_config() == cleaned.to_config()


def test_half_of_a_surrogate_pair_is_a_character_too():
    tokenizer = CharTokenizer().fit("a\ud800")
    assert tokenizer.decode(tokenizer.encode("\ud800a\udc00")) == "\ud800a[UNK]"


def test_padding_is_left_out_and_the_unknown_is_shown():
    tokenizer = CharTokenizer(specials=["[MASK]"]).fit("ab")
    assert tokenizer.decode([0, 0, 3, 1, 2, 4, 0]) == "a[UNK][MASK]b"
    assert tokenizer.decode(cr.tensor([3, 4])) == "ab"
    assert tokenizer.decode([]) == ""


@pytest.mark.parametrize("make", [CharTokenizer, WordTokenizer])
def test_it_comes_back_from_plain_data_and_from_a_file(make, tmp_path):
    tokenizer = make(max_size=9, specials=["[CLS]"], cleaning={"lower": False}).fit("Abc, abc!")
    config = json.loads(json.dumps(tokenizer.to_config()))
    assert config["class_name"] == make.__name__
    tokenizer.save(tmp_path / "a.json")
    for again in (make.from_config(config["config"]), make.load(tmp_path / "a.json")):
        assert again.vocabulary == tokenizer.vocabulary
        assert again.to_config() == tokenizer.to_config()
        np.testing.assert_array_equal(again.encode("cab, x"), tokenizer.encode("cab, x"))
    with pytest.raises(ValueError, match="holds no Vocabulary, but a"):
        Vocabulary.load(tmp_path / "a.json")


def test_without_a_vocabulary_it_says_so(tmp_path):
    for use in (
        lambda t: t.encode("a"),
        lambda t: t.decode([2]),
        lambda t: t.vocab_size,
        lambda t: t.save(tmp_path / "a.json"),
    ):
        with pytest.raises(RuntimeError, match=r"has no vocabulary yet; call fit\(texts\)"):
            use(CharTokenizer())
    ready = CharTokenizer(vocabulary=Vocabulary(["a"]))
    assert ready.encode("ab").tolist() == [2, 1]


@pytest.mark.parametrize("make", [CharTokenizer, WordTokenizer])
def test_bad_input_is_refused(make):
    tokenizer = make().fit("a b")
    with pytest.raises(ValueError, match=r"decode: ids\[1\] = 99 is outside the vocabulary"):
        tokenizer.decode([2, 99])
    with pytest.raises(ShapeError, match="one by one"):
        tokenizer.decode([[2, 3]])
    with pytest.raises(DtypeError, match="must be integers"):
        tokenizer.decode([2.0])
    with pytest.raises(TypeError, match=r"encode: a text must be a string, got .*one by one"):
        tokenizer.encode(["a"])
    with pytest.raises(TypeError, match="fit: a text must be a string, got 3"):
        tokenizer.fit([3])
    with pytest.raises(ValueError, match="no token is left of 0"):
        tokenizer.fit("")
    with pytest.raises(TypeError, match="unexpected keyword"):
        make(cleaning={"upper": True})
    with pytest.raises(TypeError, match="vocabulary must be a Vocabulary"):
        make(vocabulary=["a"])


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [
        ("(", ValueError, "is no regular expression"),
        ("a{4294967295}", ValueError, "is no regular expression"),
        ("(" * 5000 + "a" + ")" * 5000, ValueError, "is no regular expression"),
        (r"\w*", ValueError, "finds empty tokens"),
        (7, TypeError, "pattern must be a string"),
    ],
)
def test_a_pattern_that_finds_no_tokens_is_refused(pattern, error, message):
    with pytest.raises(error, match=message):
        WordTokenizer(pattern=pattern)


def test_names_of_keras_are_answered():
    for name, remedy in (("fit_on_texts", r"fit\(texts\)"), ("texts_to_sequences", "encode")):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; write .*{remedy}"):
            getattr(WordTokenizer(), name)
    with pytest.raises(AttributeError, match=r"no attribute 'other'$"):
        WordTokenizer().other  # noqa: B018
    for name in ("Tokenizer", "TextVectorization"):
        with pytest.raises(ImportError, match="use WordTokenizer"):
            getattr(cr.text, name)


def test_the_packaged_text_has_no_unknown_character_in_its_validation_part():
    data = cr.datasets.python_docs()
    tokenizer = CharTokenizer().fit(data.train)
    assert tokenizer.vocab_size == 105
    assert 1 not in tokenizer.encode(data.validation)
    assert tokenizer.decode(tokenizer.encode(data.text)) == data.text
    assert repr(tokenizer) == "<CharTokenizer: 105 ids>"
    assert repr(WordTokenizer()) == "<WordTokenizer: no vocabulary yet>"


@pytest.mark.parametrize("vocabulary", [{}, {"config": 5}, {"config": {"tokens": 7}}, 5, [1]])
@pytest.mark.parametrize("tokenizer", [CharTokenizer, WordTokenizer])
def test_a_damaged_vocabulary_in_a_file_is_a_value_error(tokenizer, vocabulary, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer().fit("a b").save(path)
    content = json.loads(path.read_text())
    content["config"]["vocabulary"] = vocabulary
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is damaged"):
        tokenizer.load(path)
