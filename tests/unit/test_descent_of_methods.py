"""Every exact step of every alternating method finds the least of the objective that the paper states.

The methods' own loops run as they are; what their steps return is noted and put into objectives that keep all samples
and form all similarity matrices. SHOH's is in test_shoh.
"""

import functools
import itertools

import numpy as np
import pytest
from reference import batch as reference_batch
from reference import dch as reference_dch
from reference import dsfh as reference_dsfh
from reference import lemon as reference_lemon
from reference import seoch as reference_seoch
from reference.descent import (
    Descent,
    cosines,
    flipped,
    moved,
    share_a_label,
    squares,
    turned,
    turned_and_centred,
)

from pyhash import NotFittedError, codes
from pyhash.methods import (
    BATCH,
    BOCH,
    CCAITQ,
    DCH,
    DSFH,
    LEMON,
    PCAITQ,
    SEOCH,
    SHOH,
    Centering,
    batch,
    dch,
    dsfh,
    lemon,
    seoch,
)
from pyhash.methods.parts import itq
from pyhash.methods.parts.label_sets import LabelSets
from pyhash.methods.parts.ridge import RidgeSolver
from pyhash.methods.parts.state import store_state

pytestmark = pytest.mark.usefixtures("one_blas_thread")

SEEDS = range(3)
R = 8


@pytest.fixture
def watch(monkeypatch):
    """``watch(owner, name, note)``: each call of owner.name is followed by ``note(result, *its arguments)``."""

    def watch(owner, name, note):
        original = getattr(owner, name)

        def watched(*arguments, **options):
            result = original(*arguments, **options)
            note(result, *arguments)
            return result

        monkeypatch.setattr(owner, name, watched)

    return watch


@pytest.fixture
def watch_ridge(monkeypatch):
    """``watch_ridge(module, note)``: each solution of a module's RidgeSolver is followed by ``note(solution)``."""

    def watch_ridge(module, note):
        class Watched(RidgeSolver):
            def solve(self, F):
                solution = super().solve(F)
                note(solution)
                return solution

        monkeypatch.setattr(module, "RidgeSolver", Watched)

    return watch_ridge


def chunks(seed, sizes, c=5, widths=(6, 9)):
    """Views and labels of several a row, related; every class occurs in every chunk."""
    rng = np.random.default_rng(seed)
    out = []
    mix = [rng.standard_normal((c, d)) for d in widths]
    for n in sizes:
        L = (rng.random((n, c)) < 0.3).astype(float)
        L[np.arange(n), np.arange(n) % c] = 1
        views = {f"m{m}": L @ A + 0.5 * rng.standard_normal((n, A.shape[1])) for m, A in enumerate(mix)}
        out.append((views, L))
    return out


class InTurn:
    """The variables of several modalities, which a method updates one after the other: lists by modality."""

    def __init__(self, n):
        self.values = [None] * n
        self.turn = itertools.cycle(range(n))

    def put(self, value):
        """All values, where each modality has one; else None."""
        self.last = next(self.turn)
        self.values[self.last] = np.array(value)
        return None if any(value is None for value in self.values) else list(self.values)


def stack(parts, width):
    return np.concatenate([np.zeros((0, width)), *parts])


def signs(model):
    return codes.unpack(model.codes_, model.n_bits).astype(float)


class TestLEMON:
    WEIGHTS = ({"alpha": 1e4, "beta": 1e4, "gamma": 0.1}, {"alpha": 1e-4, "beta": 0.3, "gamma": 5.0})

    def learn(self, watch, seed, weights, sizes=(30, 25, 40), descents=None):
        """Labels, embeddings, codes and descents of each chunk, and the model."""
        model = LEMON(R, n_iter=4, seed=seed, record=True, **weights)
        Ls, Vs, Bs, descents = [], [], [], [] if descents is None else descents
        watch(lemon, "random_signs", lambda B, *_: descents[-1].take(B=B))
        watch(lemon, "random_balanced_factor", lambda V, *_: descents[-1].take(V=V))
        watch(lemon, "random_rotation", lambda R, *_: descents[-1].take(R=R))
        for step, near in (("P", moved), ("V", turned_and_centred), ("R", turned), ("B", flipped)):
            watch(
                lemon,
                f"update_{step}",
                lambda value, *_, step=step, near=near: descents[-1].take(
                    near if len(Ls[-1]) > R else None,  # steps are exact where V'V = n I is possible
                    **{step: value},
                ),
            )
        for views, L in chunks(seed, sizes):
            Ls.append(L)
            all_L = np.concatenate(Ls)
            descents.append(
                Descent(
                    functools.partial(
                        reference_lemon.objective,
                        L=all_L,
                        S=cosines(all_L, all_L),
                        old_V=stack(Vs, R),
                        old_B=stack(Bs, R),
                        **weights,
                    )
                )
            )
            model.partial_fit(views, L)
            Vs.append(descents[-1].now["V"])
            Bs.append(descents[-1].now["B"])
            np.testing.assert_array_equal(Bs[-1], signs(model))
        return Ls, Vs, Bs, descents, model

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_step_finds_the_least_of_the_objective(self, watch, seed, weights):
        _, Vs, _, descents, _ = self.learn(watch, seed, weights)
        for V, descent in zip(Vs, descents, strict=True):
            assert len(descent.values) == 16  # four steps, four times; the first P completes the variables
            assert descent.values[-1] < descent.values[0]
            np.testing.assert_allclose(V.T @ V / len(V), np.eye(R), atol=1e-6)
            np.testing.assert_allclose(V.mean(axis=0), 0, atol=1e-6)
            np.testing.assert_allclose(descent.now["R"].T @ descent.now["R"], np.eye(R), atol=1e-12)

    def test_sums_are_those_of_all_samples(self, watch):
        Ls, Vs, Bs, _, model = self.learn(watch, 0, self.WEIGHTS[1], sizes=(30, 1, 5, 40))
        expected = reference_lemon.sums(*(np.concatenate(parts) for parts in (Ls, Vs, Bs)))
        kept = vars(model._state.own)
        assert kept.keys() == {*expected, "pairs"}
        for name, value in expected.items():
            np.testing.assert_allclose(kept[name], value, atol=1e-9)

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize("seed", SEEDS)
    def test_the_history_is_the_objective_over_all_samples(self, watch, seed, weights):
        watched = []
        watch(lemon, "objective", lambda terms, *_: watched.append((terms, dict(descents[-1].now), len(descents))))
        sizes = (30, 25, 1, 5, 40)
        descents = []
        Ls, Vs, Bs, _, model = self.learn(watch, seed, weights, sizes, descents)
        assert [entry["terms"] for entry in model.history_] == [terms for terms, *_ in watched]
        assert [entry["chunk"] for entry in model.history_] == list(np.repeat([1, 2, 3, 4, 5], 4))
        for terms, now, chunk in watched:
            L = np.concatenate(Ls[:chunk])
            old_V, old_B = stack(Vs[: chunk - 1], R), stack(Bs[: chunk - 1], R)
            expected = reference_lemon.terms(**now, L=L, S=cosines(L, L), old_V=old_V, old_B=old_B, **weights)
            assert terms == pytest.approx(expected, rel=1e-9, abs=1e-9)


class TestSEOCH:
    WEIGHTS = (
        {"lambda_1": 1e3, "lambda_m": {"m0": 0.1, "m1": 1.0}, "alpha": 0.8, "beta": 1.0},
        {"lambda_1": 0.5, "lambda_m": {"m0": 3.0, "m1": 0.2}, "alpha": 2.0, "beta": 1e-3},
        {"lambda_1": 1e4, "lambda_m": {"m0": 0.1, "m1": 0.1}, "alpha": 0.1, "beta": 0.0},
        {"lambda_1": 0.0, "lambda_m": {"m0": 0.1, "m1": 1.0}, "alpha": 0.8, "beta": 1.0},
        {"lambda_1": 10.0, "lambda_m": {"m0": 0.0, "m1": 0.0}, "alpha": 0.8, "beta": 1.0},
        {"lambda_1": 0.0, "lambda_m": {"m0": 0.0, "m1": 0.5}, "alpha": 0.8, "beta": 0.0},
    )

    def learn(self, watch, watch_ridge, monkeypatch, seed, weights, solver, restart=False):
        model = SEOCH(R, n_concepts=6, n_iter=3, seed=seed, solver=solver, restart=restart, record=True, **weights)
        data = chunks(seed, (30, 25, 40))
        descents, Us, Bs, expected = [], InTurn(2), [], []

        def terms_of_reference(*_):
            descent = descents[-1]
            expected.append(reference_seoch.terms(**descent.now, **descent.objective.keywords))

        watch(seoch, "objective", terms_of_reference)

        def start(Q, P, U):
            descents[-1].take(Q=Q, P=P, U=list(U.values()))
            Us.values = list(U.values())

        watch(SEOCH, "_begin", lambda own, *_: start(own.Q, own.P, own.U))
        watch(seoch, "random_start", lambda drawn, *_: start(*drawn))
        watch(seoch, "random_signs", lambda B, *_: descents[-1].take(B=B))
        sign = seoch.sign

        def watched_sign(real):
            if solver == "relaxed":
                descents[-1].take(moved, B=real)  # the exact step, before its signs
            descents[-1].take(B=sign(real))
            return sign(real)

        monkeypatch.setattr(seoch, "sign", watched_sign)
        watch(seoch, "cyclic_descent", lambda _, B, *__: descents[-1].take(flipped, B=B))
        watch(seoch, "update_Q", lambda Q, *_: descents[-1].take(moved, Q=Q))
        watch(seoch, "update_P", lambda P, *_: descents[-1].take(moved, P=P))
        watch_ridge(seoch, lambda U: descents[-1].take(moved, U=Us.put(U), which=Us.last))
        for k, (views, L) in enumerate(data):
            old = data[:k]
            old_L = stack([labels for _, labels in old], 5)
            descents.append(
                Descent(
                    functools.partial(
                        reference_seoch.objective,
                        L=L,
                        X=list(views.values()),
                        S=share_a_label(L, old_L),
                        old_L=old_L,
                        old_X=[stack([before[name] for before, _ in old], x.shape[1]) for name, x in views.items()],
                        old_B=stack(Bs, R),
                        **{**weights, "lambda_m": list(weights["lambda_m"].values())},
                    )
                )
            )
            if k:
                own = model._state.own  # it goes on from where the last chunk ended
                start(own.Q, own.P, own.U)
            model.partial_fit(views, L)
            Bs.append(descents[-1].now["B"])
            np.testing.assert_array_equal(Bs[-1], signs(model))
        assert len(expected) == 3 * 3
        for entry, terms in zip(model.history_, expected, strict=True):
            scale = max(abs(value) for value in terms.values())
            assert entry["terms"] == pytest.approx(terms, rel=1e-9, abs=1e-9 * scale)
        return [L for _, L in data], Bs, descents, model

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize(
        ("solver", "restart"), [("relaxed", False), ("relaxed", True), ("signed", False), ("dcc", False)]
    )
    @pytest.mark.parametrize("seed", SEEDS[:2])
    def test_every_step_finds_the_least_of_the_objective(
        self, watch, watch_ridge, monkeypatch, seed, weights, solver, restart
    ):
        _, _, descents, _ = self.learn(watch, watch_ridge, monkeypatch, seed, weights, solver, restart)
        for descent in descents:
            # B (twice where it is solved first), Q, P and two U, three times.
            per_round = 3 + (solver == "relaxed") + 2 * (weights["lambda_1"] > 0)
            assert len(descent.values) == 1 + restart + 3 * per_round
            assert descent.values[-1] < descent.values[0]

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize("seed", SEEDS[:2])
    def test_by_cyclic_descent_no_round_raises_the_objective(self, seed, weights):
        model = SEOCH(R, n_concepts=6, n_iter=8, seed=seed, solver="dcc", record=True, **weights)
        for views, L in chunks(seed, (30, 25, 1, 40)):
            model.partial_fit(views, L)
        for chunk in range(1, 5):
            found = [entry["objective"] for entry in model.history_ if entry["chunk"] == chunk]
            assert (np.diff(found) <= 1e-9 * np.abs(found[:-1])).all()

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize("seed", SEEDS[:2])
    def test_the_signed_update_is_that_of_eq_5(self, watch, seed, weights):
        model = SEOCH(R, n_concepts=6, n_iter=3, seed=seed, solver="signed", **weights)
        data, Bs, found = chunks(seed, (30, 25, 40)), [], []
        # U_m is known from X_m U_m, since X_m has more rows than columns.
        watch(seoch, "update_B", lambda B, *inputs: found.append((B, inputs)))
        for k, (views, L) in enumerate(data):
            old_L = stack([labels for _, labels in data[:k]], 5)
            model.partial_fit(views, L)
            X = list(views.values())
            for B, (_, _, _, Q, P, _, XU, _) in found[-3:]:
                U = [np.linalg.lstsq(x, xu, rcond=None)[0] for x, xu in zip(X, XU.values(), strict=True)]
                expected = reference_seoch.signed_codes(
                    Q,
                    P,
                    U,
                    L=L,
                    X=X,
                    S=share_a_label(L, old_L),
                    old_B=stack(Bs, R),
                    lambda_1=weights["lambda_1"],
                    lambda_m=list(weights["lambda_m"].values()),
                    beta=weights["beta"],
                )
                np.testing.assert_array_equal(B, expected)
            Bs.append(signs(model))

    def test_sums_are_those_of_all_samples(self, watch, watch_ridge, monkeypatch):
        Ls, Bs, _, model = self.learn(watch, watch_ridge, monkeypatch, 0, self.WEIGHTS[0], "relaxed")
        L, B, own = np.concatenate(Ls), np.concatenate(Bs), model._state.own
        for kept, expected in ((own.BB, B.T @ B), (own.LB, L.T @ B), (own.LL, L.T @ L)):
            np.testing.assert_array_equal(kept, expected)


class TestBATCH:
    WEIGHTS = (
        {"eta": {"m0": 0.05, "m1": 0.05}, "eta_0": 0.9, "omega": 0.01},
        {"eta": {"m0": 40.0, "m1": 3.0}, "eta_0": 200.0, "omega": 50.0},
    )

    @pytest.mark.parametrize("weights", WEIGHTS)
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_step_finds_the_least_of_the_objective(self, watch, seed, weights):
        (views, L), Us = chunks(seed, [60])[0], InTurn(3)
        model = BATCH(R, n_iter=4, seed=seed, feature_maps=dict.fromkeys(views), record=True, **weights)
        known = {"L": L, "S": cosines(L, L), "K": list(views.values()), **weights, "eta": list(weights["eta"].values())}
        descent = Descent(functools.partial(reference_batch.objective, **known))
        recorded = []

        def mapped(U, *_):
            all_U = Us.put(U)
            if all_U is None:
                return
            if Us.last < 2:
                descent.take(moved, U=all_U[:2], which=Us.last)
            elif "U" in descent.now:
                descent.take(moved, U_0=all_U[2])
            else:
                descent.take(U=all_U[:2], U_0=all_U[2])

        watch(batch, "random_signs", lambda B, *_: descent.take(B=B))
        watch(batch, "random_balanced_factor", lambda V, *_: descent.take(V=V))
        watch(batch, "update_U", mapped)
        watch(batch, "update_V", lambda V, *_: descent.take(turned_and_centred, V=V))
        watch(batch, "update_B", lambda B, *_: descent.take(flipped, B=B))
        watch(batch, "objective", lambda *_: recorded.append(reference_batch.terms(**descent.now, **known)))
        model.fit(views, L)
        assert [entry["terms"] for entry in model.history_] == [pytest.approx(terms) for terms in recorded]
        assert len(recorded) == 4
        assert len(descent.values) == 1 + 2 + 3 * 5
        assert descent.values[-1] < descent.values[0]
        V = descent.now["V"]
        np.testing.assert_allclose(V.T @ V / 60, np.eye(R), atol=1e-6)
        np.testing.assert_array_equal(descent.now["B"], signs(model))


class TestDCH:
    @pytest.mark.parametrize("weights", [{"ridge": 1.0, "mu": 1e-5, "xi": 0.01}, {"ridge": 20.0, "mu": 0.7, "xi": 3.0}])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_step_finds_the_least_of_the_objective(self, watch, watch_ridge, seed, weights):
        (views, L), Ps = chunks(seed, [60])[0], InTurn(2)
        model = DCH(R, n_iter=4, seed=seed, feature_maps=dict.fromkeys(views), record=True, **weights)
        known = {"L": L, "K": list(views.values()), **weights, "mu": [weights["mu"]] * 2, "xi": [weights["xi"]] * 2}
        descent = Descent(functools.partial(reference_dch.objective, **known))
        recorded = []

        def regressed(P):
            all_P = Ps.put(P)
            if all_P:
                descent.take(moved, P=all_P, which=Ps.last)

        watch(dch, "random_signs", lambda B, *_: descent.take(B=B))
        watch(dch, "update_W", lambda W, *_: descent.take(moved, W=W))
        watch_ridge(dch, regressed)
        watch(dch, "cyclic_descent", lambda _, B, *__: descent.take(flipped, B=B))
        watch(dch, "objective", lambda *_: recorded.append(reference_dch.terms(**descent.now, **known)))
        model.fit(views, L)
        assert [entry["terms"] for entry in model.history_] == [pytest.approx(terms) for terms in recorded]
        assert len(recorded) == 4
        assert len(descent.values) == 1 + 1 + 3 * 4
        assert descent.values[-1] < descent.values[0]
        np.testing.assert_array_equal(descent.now["B"], signs(model))


class TestDSFH:
    @pytest.mark.parametrize(
        "options",
        [
            {"n_clusters": 0},
            {"n_clusters": 4},
            {"n_clusters": 400, "gamma": 3.0},
            {"n_clusters": 4, "instance_level": False},
        ],
    )
    @pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.3])
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_exact_step_finds_the_least_of_the_objective(self, watch, seed, options, alpha):
        """W's step drops a term that is not constant; what it maximises is a trace, and it does."""
        (views, L), Hs, Ws = chunks(seed, [60], widths=(12, 10))[0], InTurn(2), InTurn(2)
        K = list(views.values())
        model = DSFH(R, n_iter=4, seed=seed, alpha=alpha, feature_maps=dict.fromkeys(views), record=True, **options)
        descents, traces, rounds = [], [], []

        def noted(*_):
            now = descents[0].now
            dropped = sum(squares(k @ w) for k, w in zip(K, now["W"], strict=True))
            rounds.append((reference_dsfh.terms(**now, **descents[0].objective.keywords), dropped))

        watch(dsfh, "objective", noted)

        def similar(factor, *_):
            descents.append(
                Descent(functools.partial(reference_dsfh.objective, S=(factor @ factor.T).toarray(), K=K, alpha=alpha))
            )

        def rotated(W, M):
            m = len(traces) % 2
            H, before = descents[0].now["H"][m], descents[0].now.get("W")
            np.testing.assert_allclose(M, K[m].T @ H, atol=1e-9)
            np.testing.assert_allclose(W.T @ W, np.eye(R), atol=1e-12)
            traces.append(np.trace(W.T @ M))
            if before is not None:
                assert traces[-1] >= np.trace(before[m].T @ M) - 1e-9 * abs(traces[-1])
            all_W = Ws.put(W)
            if all_W:
                descents[0].take(W=all_W)

        def embedded(H, *_):
            all_H = Hs.put(H)
            if all_H:
                descents[0].take(turned_and_centred, H=all_H, which=Hs.last)

        watch(dsfh, "factor_of_similarity", similar)
        watch(dsfh, "random_signs", lambda B, *_: descents[0].take(B=B))
        watch(dsfh, "random_balanced_factor", embedded)
        watch(dsfh, "nearest_rotation", rotated)
        watch(dsfh, "update_H", embedded)
        watch(dsfh, "update_B", lambda B, *_: descents[0].take(flipped, B=B))
        model.fit(views, L)
        assert len(traces) == 8
        for entry, (terms, _) in zip(model.history_, rounds, strict=True):
            assert entry["terms"] == pytest.approx(terms, rel=1e-9)
        # The step of W drops a part of the objective; without it, no round raises the objective.
        kept = [entry["objective"] - dropped for entry, (_, dropped) in zip(model.history_, rounds, strict=True)]
        assert (np.diff(kept) <= 1e-9 * np.abs(kept[:-1])).all()
        assert len(descents[0].values) == 1 + 2 + 3 * 5
        np.testing.assert_array_equal(descents[0].now["B"], signs(model))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_of_the_itq_rotation_finds_the_least_loss(watch, seed):
    V = np.random.default_rng(seed).standard_normal((80, R)) * np.linspace(3, 0.2, R)
    descent = Descent(lambda B, R: squares(B - V @ R))
    watch(itq, "random_rotation", lambda R, *_: descent.take(R=R))
    watch(itq, "sign", lambda B, *_: descent.take(flipped, B=B))
    watch(itq, "nearest_rotation", lambda R, *_: descent.take(turned, R=R))
    found = itq.itq_rotation(V, 12, np.random.default_rng(seed))
    assert len(descent.values) == 24
    assert descent.values[-1] < descent.values[0]
    np.testing.assert_array_equal(descent.now["R"], found)
    np.testing.assert_allclose(found.T @ found, np.eye(R), atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_history_of_a_rotation_is_the_quantization_error(seed):
    """Where the number of steps is that of the entry, projections lie so far from their signs."""
    views, _ = chunks(seed, [60], widths=(12, 10))[0]
    for method, shared in ((CCAITQ, True), (PCAITQ, False)):
        history = method(R, n_iter=4, seed=seed, record=True).fit(views).history_
        for entry in history:
            model = method(R, n_iter=entry["iteration"], seed=seed).fit(views)
            V = {f"quantization.{name}": model.project(x, modality=name).astype(float) for name, x in views.items()}
            if shared:
                V = {"quantization": sum(V.values())}
            expected = {term: squares(np.where(rows > 0, 1, -1) - rows) for term, rows in V.items()}
            assert entry["terms"] == pytest.approx(expected, rel=1e-6)  # projections are float32


@pytest.mark.parametrize("seed", SEEDS)
def test_the_history_of_boch_is_that_of_lemon(seed):
    """Of its class bits, with several labels a row; the labels of a row are all that codes depend on."""
    data = chunks(seed, (30, 25, 40))
    boch, expected = (
        method(R + more, record=True, seed=seed, feature_maps={"m0": None, "m1": None}, **others)
        for method, more, others in ((BOCH, 4, {"class_bits": R, "encoder": "bits"}), (LEMON, 0, {}))
    )
    for k, (views, L) in enumerate(data):
        boch.partial_fit(views, L, validation=data[0] if k else None)
        expected.partial_fit(views, L)
    entries = boch.history_
    assert [entry["terms"] for entry in entries] == [entry["terms"] for entry in expected.history_]
    assert [entry["validation"] is None for entry in entries] == [True] * 5 + [False] * 10


def test_boch_has_no_history_where_classes_have_codes():
    views, L = chunks(0, [30])[0]
    model = BOCH(R, record=True).fit(views, L.argmax(axis=1))
    with pytest.raises(NotFittedError, match="BOCH has recorded no history_ and no objective_"):
        model.history_  # noqa: B018


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
def test_ridge_solutions_are_least(rng, scale):
    """Also where the Gram matrix is singular, and where its rounding swallows the ridge."""
    X = rng.standard_normal((30, 12)) @ np.diag([scale] * 6 + [0] * 6) @ rng.standard_normal((12, 12))
    B = rng.choice([-1.0, 1.0], size=(30, 4))
    W = RidgeSolver(X.T @ X, 0.3).solve(X.T @ B)
    rows, targets = np.vstack([X, np.sqrt(0.3) * np.eye(12)]), np.vstack([B, np.zeros((12, 4))])
    best = squares(rows @ np.linalg.lstsq(rows, targets, rcond=None)[0] - targets)
    assert squares(rows @ W - targets) <= best * (1 + 1e-6)


# --- sums over a stream ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: SHOH(R, feature_maps={"m1": Centering()}, encoder="posterior"),
        lambda: LEMON(R, feature_maps={"m1": Centering()}, encoder="auto"),
        lambda: SEOCH(R, n_concepts=4, feature_maps={"m1": Centering()}),
    ],
)
def test_sums_of_a_stream_are_those_of_the_whole(make):
    data = chunks(0, (30, 1, 5, 40))
    model, Bs = make(), []
    for views, L in data:
        Bs.append(signs(model.partial_fit(views, L)))
    B, L = np.concatenate(Bs), np.concatenate([labels for _, labels in data])
    X = {name: np.concatenate([views[name] for views, _ in data]) for name in ("m0", "m1")}
    X["m1"] = X["m1"] - data[0][0]["m1"].mean(axis=0)  # centred by the first chunk
    for name, sums in model._state.sums.items():
        for kept, expected in ((sums.XX, X[name].T @ X[name]), (sums.XB, X[name].T @ B), (sums.XL, X[name].T @ L)):
            np.testing.assert_allclose(kept, expected, atol=1e-9)
    seen = {}
    for labels, code in zip(L, B, strict=True):
        count, total = seen.get(tuple(labels), (0, 0))
        seen[tuple(labels)] = (count + 1, total + code)
    sets = model._state.label_sets
    assert {tuple(labels) for labels in sets.matrix} == seen.keys()
    for labels, count, total, mean in zip(sets.matrix, sets.counts, sets.code_sums, sets.mean_codes, strict=True):
        assert count == seen[tuple(labels)][0]
        np.testing.assert_array_equal(total, seen[tuple(labels)][1])
        np.testing.assert_allclose(mean, total / count)


def test_label_sets_stay_as_they_are_when_more_come(rng):
    first = LabelSets.empty(3, 4).add(np.eye(3), np.ones((3, 4), np.int8))
    before = first.sets.tobytes(), first.counts.tobytes(), first.code_sums.tobytes()
    second = first.add(np.ones((2, 3)), -np.ones((2, 4), np.int8)).add(np.eye(3)[:1], np.ones((1, 4), np.int8))
    assert (first.sets.tobytes(), first.counts.tobytes(), first.code_sums.tobytes()) == before
    assert sorted(second.counts) == [1, 1, 2, 2]


def test_what_seoch_keeps_does_not_grow_with_samples():
    """200,000 samples of 10 labels: at most 1023 label sets, each a count, a sum of 16 signs and two bytes."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((10, 8))
    model, sizes, n_sets = SEOCH(16, n_concepts=10, n_iter=2), [], []
    for _ in range(20):
        L = rng.random((10_000, 10)) < 0.5
        L[~L.any(axis=1), 0] = True
        model.partial_fit({"image": L @ mix[:, :5], "text": L @ mix[:, 5:]}, L)
        state = model._state
        _, arrays = model._own_to_file(state.own)
        store_state(state, 16, arrays)
        sizes.append(sum(array.nbytes for array in arrays.values()))
        n_sets.append(len(state.label_sets.counts))
    assert model.n_samples_seen_ == 200_000
    assert n_sets[-1] == 1023
    complete = n_sets.index(1023)
    assert complete < 10
    assert len(set(sizes[complete:])) == 1
    assert sizes[-1] < 1023 * (16 * 8 + 8 + 2) + 20_000


def test_the_number_of_concepts_has_a_limit():
    views, L = chunks(0, (30,))[0]
    with pytest.raises(ValueError, match="n_concepts must be an integer from 1 to 16777216, got"):
        SEOCH(R, n_concepts=10**30).fit(views, L)
