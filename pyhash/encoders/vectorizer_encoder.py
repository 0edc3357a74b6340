"""Vectorizers of scikit-learn."""

from __future__ import annotations

import hashlib
from importlib.metadata import version as version_of
from typing import Any

from scipy.sparse import csr_array

from pyhash.encoders.callable_encoder import check_text
from pyhash.encoders.contract import Encoder
from pyhash.encoders.items import Kind
from pyhash.errors import NotFittedError


class VectorizerEncoder(Encoder):
    """A vectorizer of scikit-learn, fitted, as an encoder.

    Parameters
    ----------
    vectorizer : CountVectorizer, TfidfVectorizer or HashingVectorizer
        Or any object whose ``transform`` takes a list of str and returns a sparse matrix, given with `version`.
    name : str
        The user's own name of the encoder.
    version : str, optional
        The user's own version. By default it follows from parameters, vocabulary and weights of the vectorizer; needed
        where a parameter is a function, or the vectorizer is of another class.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from pyhash.encoders import VectorizerEncoder
    >>> encoder = VectorizerEncoder(CountVectorizer().fit(["canned food", "food for cats"]), name="counts")
    >>> encoder.encode(["food, food", "cats"]).toarray()
    array([[0., 0., 2., 0.],
           [0., 1., 0., 0.]], dtype=float32)
    """

    kind: Kind = "text"
    is_sparse = True

    def __init__(self, vectorizer: Any, *, name: str, version: str | None = None) -> None:
        if not callable(getattr(vectorizer, "transform", None)):
            raise TypeError(f"vectorizer must have a method transform, got {type(vectorizer).__name__}")
        self.vectorizer = vectorizer
        self.name = check_text("name", name)
        self.version = _version(vectorizer) if version is None else check_text("version", version)

    def _encode_batch(self, items: list[Any]) -> Any:
        return csr_array(self.vectorizer.transform(items))


def _version(vectorizer: Any) -> str:
    kind = type(vectorizer).__name__
    if type(vectorizer).__module__ != "sklearn.feature_extraction.text":
        raise TypeError(f"version must be given for a vectorizer of type {kind}, got None")
    parameters = vectorizer.get_params()
    functions = [key for key, value in parameters.items() if callable(value) and not isinstance(value, type)]
    if functions:
        raise TypeError(f"version must be given for a vectorizer whose {functions[0]} is a function, got None")
    parts = [kind, repr(sorted(parameters.items(), key=lambda entry: entry[0]))]
    if kind != "HashingVectorizer":
        if not hasattr(vectorizer, "vocabulary_"):
            raise NotFittedError(f"vectorizer must be fitted, got a {kind} that is not: call its fit first")
        parts.append(repr(sorted((word, int(column)) for word, column in vectorizer.vocabulary_.items())))
    if kind == "TfidfVectorizer" and vectorizer.use_idf:
        parts.append(repr(vectorizer.idf_.tolist()))
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"scikit-learn {version_of('scikit-learn')}, {digest}"
