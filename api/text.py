"""Text as numbers: cleaning, vocabularies, tokenizers, padding, windows.

tokenizer = cr.text.CharTokenizer().fit(data.train)
x, y = cr.text.windows(tokenizer.encode(data.train), length=20)
"""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.cleaning import clean
from chainrule.training.sequences import pad_sequences, windows
from chainrule.training.tokenizers import CharTokenizer, WordTokenizer
from chainrule.training.vocabulary import Vocabulary

__all__ = ["CharTokenizer", "Vocabulary", "WordTokenizer", "clean", "pad_sequences", "windows"]

#: What Keras has under these names, and what it is here.
_KERAS = {
    "Tokenizer": "use WordTokenizer(max_size=num_words + 1, cleaning={}), or CharTokenizer(); the "
    "token of unknown words always has id 1",
    "TextVectorization": "use WordTokenizer(max_size=max_tokens, cleaning={}) and pad_sequences",
    "text_to_word_sequence": "use WordTokenizer(cleaning={}).split(text)",
    "to_categorical": "use chainrule.utils.to_categorical",
}

__getattr__ = names_elsewhere("chainrule.text", _KERAS)
