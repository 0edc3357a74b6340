import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

from pyhash.encoders import VectorizerEncoder
from pyhash.errors import NotFittedError

TEXTS = ["canned food", "food for cats", "", "cats and cats"]


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer(n_features=64)])
def test_rows_are_those_of_the_vectorizer(vectorizer):
    vectorizer.fit(TEXTS)
    encoder = VectorizerEncoder(vectorizer, name="mine")
    features = encoder.encode(TEXTS, batch_size=3)
    assert isinstance(features, csr_array)
    assert features.dtype == np.float32
    assert np.allclose(features.toarray(), vectorizer.transform(TEXTS).toarray())
    assert encoder.n_features == features.shape[1]
    assert encoder.version.startswith("scikit-learn ")
    assert encoder.version == VectorizerEncoder(vectorizer, name="other").version


def test_the_version_tells_parameters_words_and_weights():
    made = [
        CountVectorizer().fit(TEXTS), CountVectorizer(binary=True).fit(TEXTS), CountVectorizer().fit(TEXTS[:2]),
        TfidfVectorizer().fit(TEXTS), TfidfVectorizer().fit([*TEXTS, "food"]),
        TfidfVectorizer(use_idf=False).fit(TEXTS), HashingVectorizer(), HashingVectorizer(n_features=8),
    ]  # fmt: skip
    assert len({VectorizerEncoder(vectorizer, name="mine").version for vectorizer in made}) == len(made)


def test_what_cannot_tell_its_version_needs_one():
    for vectorizer in (CountVectorizer(tokenizer=str.split, token_pattern=None).fit(TEXTS), Mine()):
        with pytest.raises(TypeError, match="version must be given for a vectorizer"):
            VectorizerEncoder(vectorizer, name="mine")
        assert VectorizerEncoder(vectorizer, name="mine", version="1").version == "1"
    assert VectorizerEncoder(Mine(), name="mine", version="1").encode(["ab"]).toarray().tolist() == [[2.0]]
    with pytest.raises(NotFittedError, match="vectorizer must be fitted, got a CountVectorizer that is not"):
        VectorizerEncoder(CountVectorizer(), name="mine")
    with pytest.raises(TypeError, match="vectorizer must have a method transform, got int"):
        VectorizerEncoder(3, name="mine")


class Mine:
    def transform(self, texts):
        return np.array([[len(text)] for text in texts])
