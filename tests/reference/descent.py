"""Steps of an alternating descent, each checked against the objective."""

import inspect

import numpy as np


class Descent:
    """Current variables of a descent; ``take`` checks that a step does not raise the objective.

    `objective` takes the variables as keywords; what else it takes is bound by ``functools.partial``. Until all have a
    value there is nothing to compare.
    """

    def __init__(self, objective):
        self.objective = objective
        self.now = {}
        self.values = []  # the objective at first, once all variables are known, and after each step

    def value(self):
        parameters = inspect.signature(self.objective).parameters.values()
        known = all(p.name in self.now for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD)
        return self.objective(**self.now) if known else None

    def take(self, near=None, which=None, **variables):
        """A step's new variables, arrays or lists of them (of which `which` is new).

        `near` gives the result of an exact step, and its neighbours among the feasible: none may be better, nor may
        the variable's value before. Without it the step may raise the objective.
        """
        before = self.value()
        for name, value in variables.items():
            self.now[name] = [one.astype(float) for one in value] if isinstance(value, list) else value.astype(float)
        after = self.value()
        if after is None:
            return
        self.values.append(after)
        if near is None:
            return
        ((name, value),) = ((name, self.now[name]) for name in variables)
        if before is not None:
            assert after <= before + 1e-9 * abs(before), f"{name}: from {before!r} to {after!r}"
        least = None
        for other in near(value if which is None else value[which]):
            others = other if which is None else [*value[:which], other, *value[which + 1 :]]
            found = self.objective(**{**self.now, name: others})
            least = found if least is None else least
            assert found >= least - 1e-12 * abs(least), f"{name} is not the best: {found!r} below {least!r}"


def moved(value):
    """Return a real value, and neighbours in random directions and their opposites."""
    rng = np.random.default_rng(0)
    yield value
    for size in (1e-5, 1e-3, 1.0):
        direction = size * rng.standard_normal(value.shape)
        yield value + direction
        yield value - direction


def turned(value):
    """Return a value with orthogonal columns of one length, and neighbours of the same kind."""
    length = np.sqrt(np.mean(np.sum(value**2, axis=0)))
    for other in moved(value / length):
        left, _, right = np.linalg.svd(other, full_matrices=False)
        yield length * left @ right


def turned_and_centred(value):
    """Return the same with columns of mean zero."""
    length = np.sqrt(np.mean(np.sum(value**2, axis=0)))
    for other in moved(value / length):
        left, _, right = np.linalg.svd(other - other.mean(axis=0), full_matrices=False)
        yield length * left @ right


def flipped(signs):
    """Return signs, and neighbours with one sign flipped."""
    rng = np.random.default_rng(0)
    yield signs
    for _ in range(12):
        other = signs.copy()
        other[rng.integers(signs.shape[0]), rng.integers(signs.shape[1])] *= -1
        yield other


def share_a_label(labels, others):
    """Return S with S[i, j] = 1 where sample i of `labels` and j of `others` have a label in common, pair by pair."""
    return np.array([[float(any(a and b for a, b in zip(x, y, strict=True))) for y in others] for x in labels]).reshape(
        len(labels), len(others)
    )


def cosines(labels, others):
    """Return the cosine of every two label rows."""
    return np.array([[sum(x * y) / np.sqrt(sum(x * x)) / np.sqrt(sum(y * y)) for y in others] for x in labels]).reshape(
        len(labels), len(others)
    )


def squares(matrix):
    return float(np.sum(matrix**2))
