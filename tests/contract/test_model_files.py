"""A model's file whose parts contradict each other is refused when it is read, whatever its checksums say."""

import copy

import numpy as np
import pytest
from scipy.sparse import csr_array

from pyhash import ModelFormatError, RBFAnchors, Standardizing
from pyhash._files.archive import Archive
from pyhash._files.reading import read_archive
from pyhash.datasets import make_hierarchical
from pyhash.deep import TrainingOptions
from pyhash.methods.registry import METHODS, method_class, names_of_classes

pytestmark = pytest.mark.usefixtures("one_blas_thread")

DATA = make_hierarchical(60, n_classes=(2, 4), n_features={"image": 9, "text": 11, "tags": 8}, seed=2)
VIEWS = {**DATA.views, "tags": csr_array(DATA.views["tags"] * (DATA.views["tags"] > 0))}
MAPS = {"image": RBFAnchors(12, centered=True), "text": Standardizing(), "tags": RBFAnchors(10)}
TRAINING = TrainingOptions(epochs=2, validation_fraction=0.2)
PARAMETERS = {
    "boch": {"class_bits": 5},
    "shoh": {"hierarchy": DATA.hierarchy},
    "sdch": {"training": TRAINING, "hidden": [8], "feature_width": 6},
    "dhsl": {"training": TRAINING, "hidden": [8], "selector_hidden": [6, 6], "relation_hidden": 6, "relation_rows": 8},
}
# A file may lack the trial of encoders; the history of a training is for its reader alone.
# Earlier files lack all but the trial.
OPTIONAL = {
    ("state", "trial"),
    ("state", "plan", "backbone_widths"),
    ("state", "evaluated_by"),
    ("state", "classes"),
    ("state", "code_seed"),
}
UNUSED = {"parameters", "settings", "history"}


@pytest.fixture(scope="module", params=METHODS)
def archive(request, tmp_path_factory):
    method = method_class(request.param)
    parameters = {"n_bits": 8, "feature_maps": MAPS, **PARAMETERS.get(request.param, {})}
    labels = [DATA.labels["level2"]] if method.is_supervised else []
    if method.is_supervised:
        parameters["encoder"] = "auto"
    path = tmp_path_factory.mktemp("models") / "model"
    method(**parameters).fit(VIEWS, *labels).save(path)
    return read_archive(path)


def is_refused(archive, fields, arrays):
    """Whether the content is a ModelFormatError; no other error may come."""
    try:
        method_class(names_of_classes()[archive.kind]).from_archive(Archive(archive.path, archive.kind, fields, arrays))
    except ModelFormatError as error:
        return str(archive.path) in str(error)
    return False


def spoiled_arrays(array):
    """The array removed, of another dtype, and of other shapes."""
    yield "removed", None
    yield "retyped", array.astype(np.float32 if array.dtype == np.float64 else np.float64)
    yield "with an axis more", array[None]
    for axis, length in enumerate(array.shape):
        if length > 0:
            yield f"shorter by one along axis {axis}", np.take(array, range(length - 1), axis=axis)


def test_the_file_as_it_was_is_taken(archive):
    assert not is_refused(archive, archive.fields, archive.arrays)


def test_arrays_that_disagree_are_refused(archive):
    taken = []
    for name, array in archive.arrays.items():
        if name.endswith("num_batches_tracked"):  # torch takes any number, and does without
            continue
        for what, spoiled in spoiled_arrays(array):
            if what == "retyped" and name.startswith("network."):  # torch converts weights
                continue
            if what == "retyped" and name == "sets.counts":  # float64 where decay weighs rows
                continue
            arrays = {**archive.arrays, name: spoiled}
            if spoiled is None:
                del arrays[name]
            if not is_refused(archive, archive.fields, arrays):
                taken.append((name, what))
    assert not taken, taken


def test_sparse_anchors_whose_rows_end_in_0_are_refused(archive):
    """scipy's own check takes them, and crashes in the first product."""
    name = next(name for name in archive.arrays if name.endswith("anchors.indptr"))
    rising = archive.arrays[name].copy()
    rising[1:] = 32771000
    rising[-1] = 0
    stem = name.removesuffix("indptr")
    empty = {f"{stem}{part}": archive.arrays[f"{stem}{part}"][:0] for part in ("data", "indices")}
    assert is_refused(archive, archive.fields, {**archive.arrays, **empty, name: rising})


def places(value, path=()):
    """The paths of all that a header holds."""
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(entry, (*path, key))


def test_header_fields_that_are_missing_or_of_another_kind_are_refused(archive):
    """All but parameters, which a model checks when it learns, and what nothing is made of."""
    taken = []
    for *above, last in places(archive.fields):
        if not UNUSED.isdisjoint([*above, last]):
            continue
        for value in ("removed", "a text", [], [[1.0]], -1, float("nan")):
            fields = copy.deepcopy(archive.fields)
            holder = fields
            for key in above:
                holder = holder[key]
            if value == "removed":
                if (*above, last) in OPTIONAL:
                    continue
                del holder[last]
            elif type(value) is type(holder[last]) and value != [[1.0]]:
                continue
            else:
                holder[last] = value
            if not is_refused(archive, fields, archive.arrays):
                taken.append((*above, last, value))
    assert not taken, taken
