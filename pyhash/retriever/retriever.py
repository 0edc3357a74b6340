"""Retriever: from raw items to answers."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyhash._inputs.checks import check_bool, check_choice, check_codes, check_integer, check_n_bits, is_sparse, listed
from pyhash._inputs.ids import MIN_ID, check_ids
from pyhash._inputs.paths import check_path
from pyhash.errors import NotFittedError
from pyhash.index import CodeIndex
from pyhash.index.editable_codes import next_ids
from pyhash.index.owned_index import Content as Codes
from pyhash.index.searchable_codes import SearchableCodes
from pyhash.methods.contract import HashingMethod
from pyhash.methods.online import OnlineMethod
from pyhash.methods.recipes import parse_name
from pyhash.methods.registry import names_of_classes
from pyhash.retriever.catalogue import Catalogue, is_filter
from pyhash.retriever.encoder_set import EncoderSet
from pyhash.retriever.evaluation_file import read_evaluation, write_evaluation
from pyhash.retriever.item_rows import ItemRows
from pyhash.retriever.learning import NewModel, encoded, learn, learn_further, named_model, projected, unfitted
from pyhash.retriever.payload_tables import payload_table
from pyhash.retriever.results import Results
from pyhash.retriever.retriever_files import Content, RetrieverFiles
from pyhash.retriever.retriever_index import RetrieverIndex

if TYPE_CHECKING:
    from typing_extensions import Self

    from pyhash.encoders import Encoder

_DEFAULT_BITS = 64


class _Memory(NamedTuple):
    """What a Retriever has in memory at one moment: none of it ever changes."""

    model: HashingMethod | None
    encoders: EncoderSet
    catalogue: Catalogue
    codes: Codes


class Retriever:
    """Learns from items such as pictures and texts, keeps their codes and what to show of them, and searches them.

    Encoders turn items into features, a method learns from features, an index holds the codes, and a table of Arrow the
    payload. A folder keeps them all, committed as one.

    Parameters
    ----------
    encoders : mapping of str to Encoder, str or None
        The encoder of each modality, or its name in ``pyhash.encoders.make_encoder``. None: items of this modality are
        rows of features already, an array or a sparse matrix. Encoders that learn a vocabulary, such as BagOfWords, are
        copied.
    method : str or HashingMethod
        A name that ``pyhash.make_method`` takes, or a model, which is copied. A fitted one goes on from what it has
        learned, from features of these encoders.
    n_bits : int, optional
        Length of codes in bits; by default 64, or that of the model.
    seed : int
        Seed of a method that is given by name.
    batch_size : int
        Items that an encoder takes at once.
    parameters : mapping of str to object, optional
        Further parameters of a method that is given by name, as for ``pyhash.make_method``.

    Raises
    ------
    TypeError
        If `encoders` is not a mapping of str to Encoder, str or None.
        If `method` is neither a str nor a method, or a number is not an integer.
    ValueError
        If there is no modality, one is named as an argument of ``search``, or an encoder or method is unknown.
        If `n_bits` is not that of the model, or `parameters` are given beside a model.
        If a number is out of range.
    ImportError
        If the package of an encoder or method is not installed.

    Notes
    -----
    Payloads need pyarrow: ``pip install "pyhash-crossmodal[arrow]"``; without payloads it is not needed.

    A call that raises, or is interrupted, leaves everything as it was. Searches may run while another thread adds,
    removes or learns. One process writes a folder, any number reads it.

    Examples
    --------
    >>> from pyhash import Retriever
    >>> texts = ["red apple", "green apple", "grey cat", "black cat", "red cherry", "white cat"] * 20
    >>> labels = ["fruit", "fruit", "cat", "cat", "fruit", "cat"] * 20
    >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=16)
    >>> retriever.learn({"text": texts}, labels)
    Retriever({'text': 'bag-of-words'}, BOCH(n_bits=16)) with 0 items
    >>> ids = retriever.add({"text": texts[:6]}, payload={"words": texts[:6], "class": labels[:6]})
    >>> [result.payload["words"] for result in retriever.search(text="a grey cat", k=1)]
    ['grey cat']
    >>> [result.id for result in retriever.search(text="cherry", k=6, where={"class": "fruit"})]
    [0, 1, 4]
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder | str | None],
        method: str | HashingMethod = "boch",
        n_bits: int | None = None,
        *,
        seed: int = 0,
        batch_size: int = 32,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        encoder_set = EncoderSet.of(encoders)
        self._seed = check_integer("seed", seed, 0)
        self._batch_size = check_integer("batch_size", batch_size, 1)
        model: HashingMethod | None = None
        if isinstance(method, HashingMethod):
            if parameters is not None:
                raise ValueError("parameters must be None for a model, which has its own")
            n_bits = _bits_of(method, n_bits)
            name = names_of_classes().get(type(method).__name__, type(method).__name__)
            model = copy.copy(method)
        else:
            name = method
            parse_name("method", name)
            n_bits = _DEFAULT_BITS if n_bits is None else check_n_bits(n_bits)
        self._take(encoder_set, model, Catalogue.empty(tuple(encoder_set)), RetrieverIndex(n_bits), name)
        if model is None:
            self._make_model: NewModel = named_model(name, n_bits, self._seed, parameters)
        if model is not None and model._state is not None:
            self._check_modalities(model)

    def _take(
        self,
        encoders: EncoderSet,
        model: HashingMethod | None,
        catalogue: Catalogue,
        index: RetrieverIndex,
        method: str,
    ) -> None:
        self._encoders, self._model, self._catalogue, self._index = encoders, model, catalogue, index
        self._method = method
        self._make_model = self._model_like_before
        self._files: RetrieverFiles | None = None
        self._read_only = False
        self._lock = threading.RLock()  # of one change
        self._moment = threading.Lock()  # of the step that makes a change seen, all of it at once

    def _check_modalities(self, model: HashingMethod) -> None:
        for name in model.modalities_:
            if name not in self._encoders:
                raise ValueError(f"encoders must be of all modalities of the model, {name!r} is missing")

    def __repr__(self) -> str:
        model = f"{self._method!r}" if self._model is None else repr(self._model)
        where = "" if self._files is None else f" at {self._files.path}"
        return f"Retriever({self._encoders!r}, {model}) with {len(self)} items{where}"

    def _repr_html_(self) -> str:
        from pyhash import _html

        described = [self._encoders.described(name) for name in self._encoders]
        rows = [
            (each.modality, each.kind or "features", "none: rows of features" if each.name is None else each.name)
            for each in described
        ]
        schema = self._catalogue.schema
        values: dict[str, Any] = {"items": f"{len(self):,}", "bits": self.n_bits}
        if schema is not None:
            values["payload"] = ", ".join(schema.names)
        if self._files is not None:
            values["at"] = self._files.path
        model = _html.note(f"method {self._method}, has not learned anything yet")
        if self._model is not None:
            model = _html.details(f"Model {type(self._model).__name__}", _html.Html(self._model._repr_html_()))
        return _html.section(
            "Retriever", _html.properties(values), _html.table(["modality", "items are", "encoder"], rows), model
        )

    def __len__(self) -> int:
        return len(self._index)

    # --- its parts ----------------------------------------------------------------------------------------------------

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities, in the order of `encoders`."""
        return tuple(self._encoders)

    @property
    def encoders(self) -> Mapping[str, Encoder | None]:
        """The encoder of each modality, None where items are features; a folder's are made at the first look."""
        return self._encoders

    @property
    def kinds(self) -> dict[str, str | None]:
        """What the items of each modality are: "text", "image", or None where they are features."""
        return {name: self._encoders.described(name).kind for name in self._encoders}

    @property
    def model(self) -> HashingMethod | None:
        """The model, None before the first ``learn``; learning replaces it, so one who holds it sees one state."""
        return self._model

    @property
    def index(self) -> CodeIndex:
        """The index of the codes; items are added and removed by the Retriever."""
        return self._index

    @property
    def payload(self) -> Any:
        """The payload as a pyarrow.Table; row i is that of ``index.ids[i]``, null where it has none."""
        return self._catalogue.table()

    @property
    def n_bits(self) -> int:
        """Length of a code in bits."""
        return self._index.n_bits

    def modalities_of(self, ids: ArrayLike) -> list[tuple[str, ...]]:
        """Return the modalities that items were added with.

        Parameters
        ----------
        ids : array_like of shape (n,), integer

        Returns
        -------
        list of tuple of str
            Empty tuples for ids that are not there.

        Raises
        ------
        TypeError
            If `ids` are not integers.
        ValueError
            If `ids` are not a list.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> _ = retriever.learn({"text": ["a cat", "a dog"]}, ["cat", "dog"], add=True)
        >>> retriever.modalities_of([1, 7])
        [('text',), ()]
        """
        return self._catalogue.modalities_of(check_ids(ids))

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn(
        self,
        items: Mapping[str, Any],
        labels: Any = None,
        *,
        add: bool = False,
        ids: ArrayLike | None = None,
        payload: Any = None,
        chunk_size: int = 2000,
        progress: bool = False,
    ) -> Self:
        """Learn items from scratch.

        Parameters
        ----------
        items : mapping of str to sequence of shape (n,)
            Items of some of the modalities, rows aligned. None in place of an item: the row lacks this modality, which
            methods that learn chunk by chunk allow. Each row has one item at least.
        labels : array_like or list, optional
            Labels of the rows, as the method takes them: class indices, names, sets of names, a 0/1 matrix, or for a
            hierarchy a list with one entry for each layer. Methods without labels ignore them.
        add : bool
            Whether to add the items to the index, with the codes that were learned.
        ids, payload
            As for ``add``; only with ``add=True``.
        chunk_size : int
            Rows that are learned at once. The features of one chunk are in memory at a time, where the method learns
            chunk by chunk. Rows sorted by class make poor chunks: shuffle them.
        progress : bool
            Whether to show a progress bar on stderr.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `items` is not a mapping of sequences of items that the encoders take, or labels are missing.
        ValueError
            If the index holds items: their codes are of the model before.
            If rows are not equally many, a row has no item, or a modality is unknown.
            If a row lacks a modality, and the method learns whole data.
            If `ids` or `payload` is given without ``add=True``.
        TypeError, ValueError
            As for ``add``; or what the method raises for labels and features.
        ImportError
            If there is a payload and pyarrow is not installed.
        IndexLockedError, IndexChangedError
            If it is on disk, and another process writes there.

        Notes
        -----
        Encoders with a vocabulary learn the words of all items first, and go on from those that they have.
        """
        check_bool("add", add)
        chunk_size = check_integer("chunk_size", chunk_size, 1)
        progress = check_bool("progress", progress)
        with self._changing():
            self._check_empty()
            rows = self._rows("items", items)
            given = self._check_added(add, ids, payload, rows.n)
            encoders = self._encoders.learned(rows)
            model, codes = learn(
                self._make_model,
                encoders,
                rows,
                labels,
                chunk_size=chunk_size,
                batch_size=self._batch_size,
                progress=progress,
            )
            self._change(model, encoders, codes, self._modalities_in(rows), given, from_scratch=True)
        return self

    def partial_learn(
        self,
        items: Mapping[str, Any],
        labels: Any = None,
        *,
        add: bool = False,
        ids: ArrayLike | None = None,
        payload: Any = None,
    ) -> Self:
        """Learn one more chunk of items; for methods that learn chunk by chunk.

        Parameters
        ----------
        items, labels, add, ids, payload
            As for ``learn``. The first chunk fixes the modalities.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If the method learns whole data.
        TypeError, ValueError, ImportError, IndexLockedError, IndexChangedError
            As for ``learn``.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> for texts, labels in [(["a cat", "a dog"], ["cat", "dog"]), (["an owl", "two cats"], ["owl", "cat"])]:
        ...     _ = retriever.partial_learn({"text": texts}, labels, add=True)
        >>> len(retriever), retriever.model.n_samples_seen_
        (4, 4)
        """
        check_bool("add", add)
        with self._changing():
            rows = self._rows("items", items)
            given = self._check_added(add, ids, payload, rows.n)
            encoders = self._encoders.learned(rows)
            model = self._model
            if model is None or model._state is None:
                self._check_online(self._make_model({name: np.zeros((1, 1)) for name in rows.items}))
                options: dict[str, Any] = {"chunk_size": rows.n, "batch_size": self._batch_size, "progress": False}
                model, codes = learn(self._make_model, encoders, rows, labels, **options)
            else:
                online = self._check_online(model)
                model, codes = learn_further(online, encoders, rows, labels, self._batch_size)
            self._change(model, encoders, codes, self._modalities_in(rows), given, from_scratch=False)
        return self

    def _model_like_before(self, views: Mapping[str, Any]) -> HashingMethod:
        if self._model is None:
            raise RuntimeError("internal error in pyhash: a Retriever has neither a model nor a method")
        return unfitted(self._model)

    @staticmethod
    def _check_online(model: HashingMethod) -> OnlineMethod[Any, Any]:
        if not isinstance(model, OnlineMethod):
            raise TypeError(
                f"method must learn chunk by chunk for partial_learn, as 'boch' does; {type(model).__name__} learns "
                "whole data: call learn"
            )
        return model

    def _check_empty(self) -> None:
        if len(self._index):
            raise ValueError(
                f"the index must be empty for learn, which begins a new model: it holds {len(self._index)} items with "
                "codes of the model before; remove(retriever.index.ids) first, or make a new Retriever"
            )

    # --- items --------------------------------------------------------------------------------------------------------

    def add(
        self,
        items: Mapping[str, Any],
        ids: ArrayLike | None = None,
        payload: Any = None,
        *,
        progress: bool = False,
    ) -> NDArray[np.int64]:
        """Encode items, and add them to the index.

        Parameters
        ----------
        items : mapping of str to sequence of shape (n,)
            Items of some of the modalities, rows aligned; None in place of an item that a row lacks. The code of a row
            is that of all its items together.
        ids : array_like of shape (n,), integer, optional
            Unique and new; by default the integers after the greatest id, from 0 on.
        payload : mapping of str to sequence, data frame, or pyarrow.Table, optional
            Columns with a value for each row, which results show and ``where`` filters by: strings, numbers, dates,
            lists, bytes such as small pictures. Columns may be new, or missing: they are null where there is no value.
        progress : bool
            Whether to show a progress bar on stderr.

        Returns
        -------
        ndarray of shape (n,), int64
            The ids.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError
            If `items` is not a mapping of sequences of items that the encoders take.
            If values of a column are not of the type of those before; the message names the column.
        ValueError
            If rows are not equally many, a row has no item, or a modality is unknown.
            If an id is there already.
        ImportError
            If there is a payload and pyarrow is not installed.
        IndexLockedError, IndexChangedError
            If it is on disk, and another process writes there.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> _ = retriever.learn({"text": ["a cat", "a dog", "an owl"]}, ["cat", "dog", "owl"])
        >>> retriever.add({"text": ["one cat", "one dog"]}, ids=[7, 5], payload={"shelf": ["a", "b"]})
        array([7, 5])
        >>> retriever.search(text="dog", k=1)[0].payload
        {'shelf': 'b'}
        """
        progress = check_bool("progress", progress)
        with self._changing():
            model = self._fitted_model()
            rows = self._rows("items", items)
            given = self._check_added(True, ids, payload, rows.n)
            codes = encoded(model, self._encoders, rows, self._batch_size, progress)
            return self._change(model, self._encoders, codes, self._modalities_in(rows), given, from_scratch=False)

    def add_codes(
        self,
        codes: ArrayLike,
        ids: ArrayLike | None = None,
        payload: Any = None,
        *,
        modalities: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """Add items to the index whose codes are known, such as those that the model has learned.

        Parameters
        ----------
        codes : array_like of shape (n, ceil(n_bits / 8)), uint8
            Packed codes of the model, such as ``model.codes_``.
        ids, payload
            As for ``add``.
        modalities : sequence of str, optional
            The modalities that the items have, for results to tell; by default all that were learned.

        Returns
        -------
        ndarray of shape (n,), int64
            The ids.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        TypeError, ValueError
            If `codes` are not packed codes of this length; or as for ``add``.
        ValueError
            If `modalities` has a name that is none of the Retriever's, or none.
        ImportError, IndexLockedError, IndexChangedError
            As for ``add``.

        Examples
        --------
        >>> import numpy as np
        >>> from pyhash import LEMON, Retriever
        >>> model = LEMON(n_bits=8).partial_fit({"image": np.eye(4)}, [0, 1, 0, 1])
        >>> retriever = Retriever({"image": None}, model)
        >>> retriever.add_codes(model.codes_, payload={"name": ["a", "b", "c", "d"]})
        array([0, 1, 2, 3])
        >>> [result.payload["name"] for result in retriever.search(image=np.eye(4)[0], k=2)]
        ['a', 'c']
        """
        with self._changing():
            model = self._fitted_model()
            given = check_codes("codes", codes, self.n_bits)
            names = [name for name in self._encoders if name in model.modalities_] if modalities is None else modalities
            names = listed("modalities", names, "names")
            if not names:
                raise ValueError("modalities must hold at least one name, got none")
            mask = 0
            for name in names:
                mask |= 1 << self.modalities.index(check_choice("modalities", name, self.modalities))
            masks = np.full(len(given), mask, dtype=np.uint32)
            added = self._check_added(True, ids, payload, len(given))
            return self._change(model, self._encoders, given, masks, added, from_scratch=False)

    def remove(self, ids: ArrayLike) -> None:
        """Remove items with their payload.

        Parameters
        ----------
        ids : array_like of shape (n,), integer

        Raises
        ------
        KeyError
            If an id is not there; nothing is removed then.
        TypeError, ValueError, IndexLockedError, IndexChangedError
            As ``CodeIndex.remove``.
        """
        with self._changing():
            unwanted = check_ids(ids)
            catalogue = self._catalogue.without(unwanted)
            with self._moment:
                self._index.discard(unwanted)
                self._catalogue = catalogue

    def encode(self, items: Mapping[str, Any], *, progress: bool = False) -> NDArray[np.uint8]:
        """Return the packed codes of items, as ``add`` would.

        Parameters
        ----------
        items, progress
            As for ``add``.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), uint8

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As for ``add``.
        """
        progress = check_bool("progress", progress)
        model, encoders = self._fitted_model(), self._encoders
        return encoded(model, encoders, self._rows("items", items), self._batch_size, progress)

    def project(self, items: Mapping[str, Any], *, progress: bool = False) -> NDArray[np.float32]:
        """Return the projections of items: codes before the sign, as weighted searches take them.

        Parameters
        ----------
        items, progress
            As for ``add``.

        Returns
        -------
        ndarray of shape (n, n_bits), float32

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As for ``add``.
        """
        progress = check_bool("progress", progress)
        model, encoders = self._fitted_model(), self._encoders
        return projected(model, encoders, self._rows("items", items), self._batch_size, progress)

    def _fitted_model(self) -> HashingMethod:
        return _fitted(self._model)

    def _rows(self, what: str, items: object) -> ItemRows:
        return ItemRows.of(what, items, self._encoders.is_features)

    @staticmethod
    def _check_added(add: bool, ids: ArrayLike | None, payload: Any, n: int) -> Any:
        """Return ids and payload of n rows, checked; None where they are not added."""
        if not add:
            for name, value in (("ids", ids), ("payload", payload)):
                if value is not None:
                    raise ValueError(f"{name} must be None unless add=True")
            return None
        checked = None if ids is None else check_ids(ids, n, unique=True, of="row")
        return checked, None if payload is None else payload_table(payload, n)

    def _modalities_in(self, rows: ItemRows) -> NDArray[np.uint32]:
        """Return which modalities each row has, as bits in their order."""
        masks = np.zeros(rows.n, dtype=np.uint32)
        for position, name in enumerate(self._encoders):
            masks |= rows.has(name).astype(np.uint32) << np.uint32(position)
        return masks

    def _change(
        self,
        model: HashingMethod,
        encoders: EncoderSet,
        codes: NDArray[np.uint8],
        masks: NDArray[np.uint32],
        added: tuple[NDArray[np.int64] | None, Any] | None,
        *,
        from_scratch: bool,
    ) -> NDArray[np.int64]:
        """Take a model and encoders, and codes with the ids and payload of `added`; `masks` tell their modalities."""
        catalogue, ids = self._catalogue, np.empty(0, dtype=np.int64)
        if added is not None:
            given, payload = added
            ids = next_ids(catalogue.ids[-1:].tolist(), len(codes)) if given is None else given
            catalogue = catalogue.added(ids, masks, payload)
        with self._moment:
            if from_scratch:
                self._index.restore(((), None))
            if added is not None:
                self._index.insert(codes, ids, model)
            self._model, self._encoders, self._catalogue = model, encoders, catalogue
        return ids

    # --- searching ----------------------------------------------------------------------------------------------------

    def search(
        self, *, k: int = 10, where: Any = None, weighted: bool = True, like: int | None = None, **queries: Any
    ) -> Results:
        """Return the nearest items of a query, or of an item that is there.

        Parameters
        ----------
        k : int
            The number of items, at least 1; fewer where there are fewer.
        where : mapping of str to value or list of values, or pyarrow.compute.Expression, optional
            Restricts the search to items whose payload has the value, or one of the values, in each column; in a column
            of lists, among its values. None stands for null.
        weighted : bool
            Whether bits count by how sure the model is of them in this query, see ``CodeIndex.search_weighted``; or all
            alike. Not used with `like`.
        like : int, optional
            An id: the items nearest to this one, by its code, without itself.
        **queries
            One item of one modality or more, such as ``text="canned food"`` or ``image="photo.jpg"``. Several are
            joined by the model, see ``project_fused``. None is as if it was not given.

        Returns
        -------
        Results

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        KeyError
            If there is no item `like`.
        TypeError
            If an item is none of those that the encoder takes, or `where` no filter.
        ValueError
            If there is no query, or one beside `like`.
            If a modality is unknown, or was not learned.
            If a text has no word that its encoder knows.
            If ``k < 1``, or `where` has a column or value that does not fit the payload.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> _ = retriever.learn({"text": ["a cat", "a dog", "two cats"]}, ["cat", "dog", "cat"], add=True)
        >>> retriever.search(text="cats", k=2).ids
        array([0, 2])
        >>> retriever.search(like=0, k=1).ids
        array([2])
        """
        check_bool("weighted", weighted)
        k = check_integer("k", k, 1)
        given = {name: query for name, query in queries.items() if query is not None}
        if like is not None:
            if given:
                raise ValueError(f"like must be None where there is a query, got one of {next(iter(given))!r}")
            return self._search_like(check_integer("like", like, MIN_ID), k, where)
        if not given:
            names = ", ".join(f"{name}=..." for name in self._encoders)
            raise ValueError(f"search must have a query, {names} or like=id")
        is_features = self._encoders.is_features
        items = {name: _feature_row(name, query) if is_features.get(name) else [query] for name, query in given.items()}
        return self._search(items, k, where, weighted, "queries")[0]

    def search_many(
        self, queries: Mapping[str, Any], k: int = 10, where: Any = None, weighted: bool = True
    ) -> list[Results]:
        """Return the nearest items of each query.

        Parameters
        ----------
        queries : mapping of str to sequence of shape (n_queries,)
            Items of some of the modalities, rows aligned; None in place of an item that a query lacks.
        k, where, weighted
            As for ``search``.

        Returns
        -------
        list of Results
            One for each query.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As for ``search``.

        Examples
        --------
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> _ = retriever.learn({"text": ["a cat", "a dog", "two cats"]}, ["cat", "dog", "cat"], add=True)
        >>> [results.ids.tolist() for results in retriever.search_many({"text": ["dog", "cats"]}, k=1)]
        [[1], [0]]
        """
        check_bool("weighted", weighted)
        return self._search(queries, check_integer("k", k, 1), where, weighted, "queries")

    def _search(self, queries: Mapping[str, Any], k: int, where: Any, weighted: bool, what: str) -> list[Results]:
        now = self._memory()
        encoders, catalogue = now.encoders, now.catalogue
        model, index = _fitted(now.model), SearchableCodes(self.n_bits, *now.codes)
        rows = ItemRows.of(what, queries, encoders.is_features)
        allowed = catalogue.matching(where) if is_filter(where) else None
        make, search = (projected, index.search_weighted) if weighted else (encoded, index.search)
        encoders.refuse_unknown_words(rows)
        hits = search(make(model, encoders, rows, self._batch_size), k, allowed=allowed, model=model)
        return [Results(*of_query, catalogue) for of_query in zip(hits.ids, hits.distances, strict=True)]

    def _search_like(self, like: int, k: int, where: Any) -> Results:
        now = self._memory()
        catalogue, index = now.catalogue, SearchableCodes(self.n_bits, *now.codes)
        code = index.reconstruct([like])
        allowed = catalogue.matching(where) if is_filter(where) else None
        hits = index.search(code, k + 1, allowed=allowed)
        others = hits.ids[0] != like
        return Results(hits.ids[0][others][:k], hits.distances[0][others][:k], catalogue)

    # --- on disk ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a new folder, whole or not at all; later commits go there too.

        Parameters
        ----------
        path : path-like
            A directory that is made, or is empty; or the folder where it is already, as ``commit``.

        Raises
        ------
        NotFittedError
            If nothing was learned yet.
        FileExistsError
            If `path` is a file, or a directory that holds something else.
        TypeError
            If `path` is not a path.
        TypeError, ValueError
            If the model cannot be saved, as ``save`` of its class says.
        IndexLockedError, IndexChangedError
            If another process writes there.
        OSError
            If it cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> from pyhash import Retriever
        >>> retriever = Retriever({"text": "bag-of-words"}, n_bits=8)
        >>> _ = retriever.learn({"text": ["a cat", "a dog", "two cats"]}, ["cat", "dog", "cat"], add=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     retriever.save(f"{folder}/animals")
        ...     _ = retriever.add({"text": ["dogs and a dog"]})
        ...     retriever.commit()
        ...     retriever.close()
        ...     len(Retriever.open(f"{folder}/animals", read_only=True))
        4
        """
        target = check_path("path", path).absolute()  # a later change of the working directory must not move it
        with self._lock:
            before = self._files
            if before is not None and os.path.realpath(before.path) == os.path.realpath(target):
                self.commit()
                return
            self._hold(self._written_to(target))
            self._read_only = False
            if before is not None:
                before.index.release()

    def save_copy(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a new folder, whole or not at all; later commits go where they went before.

        Parameters
        ----------
        path : path-like
            A directory that is made, or is empty.

        Raises
        ------
        NotFittedError, FileExistsError, TypeError, ValueError, IndexLockedError, IndexChangedError, OSError
            As ``save``.
        """
        target = check_path("path", path).absolute()
        with self._lock:
            self._written_to(target).index.release()

    def _written_to(self, target: Path) -> RetrieverFiles:
        """Return the files of a new folder, locked, that everything was written to."""
        content, evaluation = self._content(), self.evaluation
        made = not target.exists()
        files = RetrieverFiles.create(target, self.n_bits)
        try:
            files.index.restore(self._index.content)
            files.commit(content)
            if evaluation is not None:
                write_evaluation(target, evaluation, content.model.fingerprint, content.model.n_samples_seen_)
        except BaseException:
            files.abandon(made=made)
            raise
        return files

    def commit(self) -> None:
        """Make all changes since the last commit durable, together.

        A process that dies at any moment leaves the last commit, whole.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            If the model cannot be saved.
        ValueError
            If it is not on disk: ``save`` it first. If it was closed, or opened with ``read_only=True``.
        IndexLockedError, IndexChangedError
            If another process writes there, or has.
        OSError
            If the disk is full, or fails; the last commit is in place then.
        """
        with self._lock:
            files = self._files_to("commit")
            self._check_writable()
            before = files.manifest
            try:
                files.commit(self._content())
            finally:
                # Also after an error that came when the commit was made: numbers of its files must not be given again.
                if files.manifest is not before:
                    self._hold(files)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoders: Mapping[str, Encoder | str | None] | None = None,
        backbones: Mapping[str, Any] | None = None,
        read_only: bool = False,
        mmap: bool = False,
    ) -> Self:
        """Return the Retriever of a folder, as of its last commit.

        Parameters
        ----------
        path : path-like
        encoders : mapping of str to Encoder, str or None, optional
            Encoders to use in place of those that the folder names. Needed for those that cannot be made by name, such
            as functions. The others are made when they are first used.
        backbones : mapping of str to torch Module, optional
            For deep methods trained behind networks of your own: those networks by modality, as ``load`` takes them.
        read_only : bool
            Whether to read only, also while another process writes. Readers take no lock.
        mmap : bool
            Whether to map codes and payload from the files without a look at them: opening then reads little, and they
            are not checked.

        Returns
        -------
        Retriever

        Raises
        ------
        TypeError
            If `path` is not a path, or `read_only` or `mmap` not a bool.
            If `encoders` is not a mapping of str to Encoder, str or None.
            If a backbone is missing or is not a torch Module, or if the method takes none.
        ValueError
            If `encoders` has a modality that the folder has not, or `backbones` one that was not learned.
        ModelFormatError
            If it is no folder of a Retriever, or a file is missing, damaged or written by a newer version.
        ImportError
            If there is a payload, and pyarrow is not installed; or if the package of the model is not installed.
        IndexLockedError
            If another process writes there, and `read_only` is False.
        IndexChangedError
            If the index of the folder was committed alone.
        OSError
            If it cannot be read.

        Notes
        -----
        The first use of an encoder raises ValueError if it cannot be made by its name, or the one that is installed is
        of another version than the one that encoded the items. It loads the model that the folder names, from its hub
        where it is not on this machine. Code that a folder or its model names is never run.
        """
        folder = check_path("path", path).absolute()
        read_only, mmap = check_bool("read_only", read_only), check_bool("mmap", mmap)
        files = RetrieverFiles.open(folder, encoders=encoders, backbones=backbones, read_only=read_only, mmap=mmap)
        content = files.committed_content
        retriever = cls.__new__(cls)
        retriever._take(content.encoders, content.model, content.catalogue, files.index, content.method)
        retriever._seed, retriever._batch_size = content.seed, content.batch_size
        retriever._files, retriever._read_only = files, read_only
        return retriever

    def close(self) -> None:
        """Release the lock of the folder. Everything stays in memory, to be searched, and is not written any more."""
        if self._files is not None:
            self._files.index.release()
            self._read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The evaluation that ``write_evaluation`` wrote; None where there is none of what the model is now."""
        if self._files is None or self._model is None:
            return None
        return read_evaluation(self._files.path, self._model.fingerprint, self._model.n_samples_seen_)

    def write_evaluation(self, evaluation: Mapping[str, Any]) -> None:
        """Write how well the model retrieves to its folder, for pages and reports.

        Parameters
        ----------
        evaluation : mapping
            ``rows``, the number of rows that were searched; ``labels``, a str that says by which labels; and
            ``directions``, by the name of the query's modality, or a name such as "image+text": a mapping with the
            scores of "plain" searches, of "weighted" ones or both. Scores are numbers from 0 to 1 by name, such as
            ``map``, ``ndcg``, ``mrr`` and ``precision_at_10``, and ``curve``, a mapping with lists "recall" and
            "precision". Optional: ``rounds``, a list of mappings, with ``n_seen``, rows learned, and scores by
            direction.

        Raises
        ------
        TypeError, ValueError
            If it is not of this form; or if the Retriever is not on disk, was closed, or opened with
            ``read_only=True``.
        IndexLockedError, IndexChangedError
            If another process writes there, or has.
        OSError
            If it cannot be written.
        """
        with self._lock:
            files = self._files_to("write_evaluation")
            self._check_writable()
            model = self._fitted_model()
            files.check_own()
            write_evaluation(files.path, evaluation, model.fingerprint, model.n_samples_seen_)

    # --- within -------------------------------------------------------------------------------------------------------

    def _content(self) -> Content:
        return Content(
            self._fitted_model(), self._encoders, self._catalogue, self._method, self._seed, self._batch_size
        )

    def _hold(self, files: RetrieverFiles) -> None:
        """Take what was committed for what is in memory: the same, in the files of the folder."""
        self._files, self._index, self._catalogue = files, files.index, files.committed_content.catalogue

    def _files_to(self, do: str) -> RetrieverFiles:
        if self._files is None:
            raise ValueError(f"{do} needs a Retriever on disk: save it to a folder first")
        return self._files

    def _check_writable(self) -> None:
        if self._read_only and self._files is not None:
            raise ValueError(f"{self._files.path} must be open for writing, it is closed or was opened read-only")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Make one change wholly or not at all."""
        with self._lock:
            self._check_writable()
            before = self._memory()
            try:
                yield
            except BaseException:
                with self._moment:
                    self._index.restore(before.codes)
                    self._model, self._encoders, self._catalogue = before[:3]
                raise

    def _memory(self) -> _Memory:
        with self._moment:
            return _Memory(self._model, self._encoders, self._catalogue, self._index.content)


def _fitted(model: HashingMethod | None) -> HashingMethod:
    if model is None or model._state is None:
        raise NotFittedError("this Retriever has not learned anything yet: call learn first")
    return model


def _bits_of(model: HashingMethod, n_bits: int | None) -> int:
    if n_bits is not None and n_bits != model.n_bits:
        raise ValueError(f"n_bits must be {model.n_bits} as that of the model, or None, got {n_bits!r}")
    return check_n_bits(model.n_bits)


def _feature_row(name: str, query: Any) -> Any:
    """Return the features of one query as a matrix of one row."""
    if is_sparse(query):
        return query if query.ndim == 2 else query.reshape(1, -1)
    array = np.asarray(query)
    if array.ndim > 1 and len(array) != 1:
        raise ValueError(f"{name} must be the features of one item, got shape {array.shape}")
    return array if array.ndim > 1 else array[None]
