"""Preprocessing that is kept with a model: scaling, text to ids, names of classes.

model.preprocessing = Preprocessing(Standardize.fit(x_train), classes=["no", "yes"])
"""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.preprocessing import Preprocessing
from chainrule.training.preprocessing_steps import MinMax, Rescale, Standardize, Step
from chainrule.training.text_encoding import Encode

__all__ = ["Encode", "MinMax", "Preprocessing", "Rescale", "Standardize", "Step"]

#: What Keras and scikit-learn have under these names, and what it is here.
_ELSEWHERE = {
    "StandardScaler": "it is called Standardize: Standardize.fit(x_train)",
    "MinMaxScaler": "it is called MinMax: MinMax.fit(x_train)",
    "Normalization": "it is called Standardize; the layer is chainrule.layers.Normalization",
    "Rescaling": "it is called Rescale",
    "LabelEncoder": "Preprocessing(classes=np.unique(y)) takes names for targets",
    "StringLookup": "Preprocessing(classes=np.unique(y)) takes names for targets",
    "TextVectorization": "Encode(WordTokenizer(cleaning={}).fit(texts), length) makes ids of texts",
    "ImageDataGenerator": "use cr.data.from_image_folder(folder, size=(height, width)), and for "
    "augmentation its map(function) after batch()",
    "image_dataset_from_directory": "use cr.data.from_image_folder(folder, size=(height, width))",
    "text_dataset_from_directory": "use cr.data.from_text_file(path, tokenizer, length=40)",
    "image": "there is chainrule.images",
    "text": "there is chainrule.text",
    "sequence": "pad_sequences is in chainrule.text",
}

__getattr__ = names_elsewhere("chainrule.preprocessing", _ELSEWHERE)
