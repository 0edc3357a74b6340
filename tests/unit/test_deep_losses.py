import math

import numpy as np
import pytest
import torch
from reference import deep_losses as reference

from pyhash.deep import losses
from pyhash.deep.losses import (
    BalanceLoss,
    CodeSimilarityLoss,
    IndependenceLoss,
    PairLikelihoodLoss,
    QuantizationLoss,
    RelationLoss,
    RowSparsityPenalty,
    WeightedCosineTripletLoss,
)

SHAPES = [(7, 9, 5), (1, 6, 4), (6, 1, 4), (1, 1, 1), (12, 12, 16)]
DENSITIES = [0.0, 0.3, 1.0]


def similarities(rng, n, m, density):
    return (rng.random((n, m)) < density).astype(float)


def levels(rng, n, m, density):
    return rng.integers(1, 4, size=(n, m)) * similarities(rng, n, m, density)


def tensors(*arrays, dtype=torch.float64):
    return [torch.tensor(array, dtype=dtype) for array in arrays]


def assert_equals(loss, expected, dtype):
    assert loss.shape == ()
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(expected, rel=1e-12 if dtype == torch.float64 else 2e-5, abs=1e-12)


def rounded(array, dtype):
    """The values that a tensor of this dtype holds, in double, so that the oracle sees the same."""
    return np.asarray(torch.tensor(array, dtype=dtype), dtype=np.float64)


both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
all_shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
all_densities = pytest.mark.parametrize("density", DENSITIES)


# --- against the equations ---


@both_dtypes
@all_shapes
@all_densities
@pytest.mark.parametrize("reduction", ["sum", "balanced"])
def test_pair_likelihood_is_the_equation(rng, dtype, shape, density, reduction):
    n, m, k = shape
    F, G = (rounded(rng.standard_normal((rows, k)), dtype) for rows in (n, m))
    S = similarities(rng, n, m, density)
    loss = PairLikelihoodLoss(reduction)(*tensors(F, G, S, dtype=dtype))
    assert_equals(loss, reference.pair_likelihood(F, G, S, reduction), dtype)


@both_dtypes
@all_shapes
@all_densities
@pytest.mark.parametrize("reduction", ["sum", "balanced"])
def test_code_similarity_is_the_equation(rng, dtype, shape, density, reduction):
    n, _, r = shape
    Z, S = rounded(rng.standard_normal((n, r)), dtype), similarities(rng, n, n, density)
    loss = CodeSimilarityLoss(reduction)(*tensors(Z, S, dtype=dtype))
    assert_equals(loss, reference.code_similarity(Z, S, reduction), dtype)


@both_dtypes
@all_shapes
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_quantization_is_the_equation(rng, dtype, shape, reduction):
    n, _, r = shape
    H = rounded(rng.standard_normal((n, r)), dtype)
    H[0, 0] = 0
    B = rng.choice([-1, 1], size=(n, r)).astype(np.int8)
    outputs = torch.tensor(H, dtype=dtype)
    assert_equals(QuantizationLoss(reduction)(outputs), reference.quantization(H, None, reduction), dtype)
    loss = QuantizationLoss(reduction)(outputs, torch.tensor(B))
    assert_equals(loss, reference.quantization(H, B, reduction), dtype)


@both_dtypes
@all_shapes
@pytest.mark.parametrize("divisor", ["bits", "samples"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_independence_is_the_equation(rng, dtype, shape, reduction, divisor):
    n, _, r = shape
    Z = rounded(rng.standard_normal((n, r)), dtype)
    loss = IndependenceLoss(reduction, divisor)(torch.tensor(Z, dtype=dtype))
    assert_equals(loss, reference.independence(Z, reduction, divisor), dtype)


@both_dtypes
@all_shapes
@pytest.mark.parametrize("form", ["norm", "mean"])
def test_balance_is_the_equation(rng, dtype, shape, form):
    n, _, r = shape
    Z = rounded(1 + rng.standard_normal((n, r)), dtype)
    assert_equals(BalanceLoss(form)(torch.tensor(Z, dtype=dtype)), reference.balance(Z, form), dtype)


@both_dtypes
@all_shapes
@all_densities
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_relation_is_the_equation(rng, dtype, shape, density, reduction):
    n, m, _ = shape
    R, S = rounded(rng.random((n, m)), dtype), similarities(rng, n, m, density)
    loss = RelationLoss(reduction)(*tensors(R, S, dtype=dtype))
    assert_equals(loss, reference.relation(R, S, reduction), dtype)


@both_dtypes
@all_shapes
def test_row_sparsity_is_the_equation(rng, dtype, shape):
    U = rounded(rng.standard_normal(shape[:2]), dtype)
    U[-1] = 0
    assert_equals(RowSparsityPenalty()(torch.tensor(U, dtype=dtype)), reference.row_sparsity(U), dtype)


@both_dtypes
@all_shapes
@all_densities
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_cosine_triplet_is_the_equation(rng, dtype, shape, density, reduction, weighted, margin):
    n, m, r = shape
    X, Y = (rounded(rng.standard_normal((rows, r)), dtype) for rows in (n, m))
    rel = levels(rng, n, m, density)
    loss = WeightedCosineTripletLoss(margin, reduction, weighted=weighted)(*tensors(X, Y, rel, dtype=dtype))
    assert_equals(loss, reference.cosine_triplet(X, Y, rel, margin, reduction, weighted=weighted), dtype)


def test_cosine_triplet_of_single_labels_is_the_equation(rng):
    X, Y = rng.standard_normal((30, 8)), rng.standard_normal((25, 8))
    rel = (rng.integers(0, 12, size=30)[:, None] == rng.integers(0, 12, size=25)).astype(int)
    loss = WeightedCosineTripletLoss(0.3)(*tensors(X, Y), torch.tensor(rel))
    assert loss.item() == pytest.approx(reference.cosine_triplet(X, Y, rel, 0.3), rel=1e-12)


# --- what follows from the equations ---


def test_balanced_losses_ignore_how_many_pairs_of_a_kind_there_are(rng):
    F, G = tensors(rng.standard_normal((3, 4)), rng.standard_normal((5, 4)))
    S = torch.zeros(3, 5, dtype=torch.float64)
    S[:, 0] = 1
    # Dissimilar candidates once more, similar ones not.
    G_more, S_more = torch.cat([G, G[1:]]), torch.cat([S, S[:, 1:]], dim=1)
    loss = PairLikelihoodLoss("balanced")
    torch.testing.assert_close(loss(F, G_more, S_more), loss(F, G, S))
    assert PairLikelihoodLoss()(F, G_more, S_more) > PairLikelihoodLoss()(F, G, S)


def test_codes_that_agree_with_all_similarities_cost_nothing():
    Z = torch.tensor([[1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    S = Z @ Z.T > 0
    assert CodeSimilarityLoss()(Z, S).item() == 0
    assert QuantizationLoss()(Z).item() == 0


def test_no_gradient_goes_through_signs(rng):
    outputs = torch.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    signs = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    QuantizationLoss()(outputs, signs).backward()
    assert signs.grad is None
    torch.testing.assert_close(outputs.grad, 2 * (outputs - signs).detach())


def test_the_sign_of_zero_is_minus_one():
    outputs = torch.tensor([[0.0, -0.0]], requires_grad=True)
    QuantizationLoss()(outputs).backward()
    assert outputs.grad.tolist() == [[2.0, 2.0]]


def test_triplets_depend_on_directions_alone(rng):
    X, Y, rel = tensors(rng.standard_normal((5, 4)), rng.standard_normal((6, 4)), levels(rng, 5, 6, 0.5))
    lengths_x, lengths_y = tensors(rng.uniform(0.1, 10, (5, 1)), rng.uniform(0.1, 10, (6, 1)))
    loss = WeightedCosineTripletLoss(0.2)
    torch.testing.assert_close(loss(lengths_x * X, lengths_y * Y, rel), loss(X, Y, rel))


def test_triplets_in_order_by_more_than_the_margin_cost_nothing():
    X, Y = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    rel = torch.tensor([[2, 1, 0]])
    assert WeightedCosineTripletLoss(0.2)(X, Y, rel).item() == 0
    assert WeightedCosineTripletLoss(0.2)(X, Y, rel.flip(1)).item() > 0


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("level", [0, 2])
def test_without_triplets_loss_and_gradients_are_zero(rng, reduction, weighted, level):
    X, Y = (torch.tensor(rng.standard_normal((4, 3)), requires_grad=True) for _ in range(2))
    loss = WeightedCosineTripletLoss(0.3, reduction, weighted=weighted)(X, Y, torch.full((4, 4), level))
    loss.backward()
    assert loss.item() == 0
    assert not X.grad.any()
    assert not Y.grad.any()


def test_triplets_take_memory_for_similar_pairs_alone(rng):
    X, Y = (torch.tensor(rng.standard_normal((60, 4)), requires_grad=True) for _ in range(2))
    rel = torch.eye(60)
    rel[3, 5] = 2
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        WeightedCosineTripletLoss(0.3)(X, Y, rel)
    assert max(kept) == 61 * 60


# --- extremes ---


@both_dtypes
def test_large_inner_products_stay_finite_and_exact(dtype):
    F, G = torch.tensor([[1e4], [-1e4]], dtype=dtype, requires_grad=True), torch.tensor([[1.0]], dtype=dtype)
    agreeing, opposed = torch.tensor([[1], [0]]), torch.tensor([[0], [1]])
    assert PairLikelihoodLoss()(F, G, agreeing).item() == 0
    loss = PairLikelihoodLoss()(F, G, opposed)
    loss.backward()
    assert loss.item() == 2e4
    assert F.grad.tolist() == [[1.0], [-1.0]]


@both_dtypes
def test_small_likelihood_losses_are_not_lost_to_rounding(dtype):
    F, G = torch.tensor([[30.0], [-30.0]], dtype=dtype), torch.tensor([[1.0]], dtype=dtype)
    loss = PairLikelihoodLoss()(F, G, torch.tensor([[True], [False]]))
    assert loss.item() == pytest.approx(2 * math.exp(-30), rel=1e-5, abs=0)


@both_dtypes
def test_zero_rows_have_cosine_zero_and_small_gradients(rng, dtype):
    X, Y, rel = rng.standard_normal((5, 4)), rng.standard_normal((6, 4)), levels(rng, 5, 6, 0.5)
    X[2] = Y[3] = 0
    rel[2] = [3, 2, 1, 0, 0, 1]
    queries, candidates = (torch.tensor(rounded(x, dtype), dtype=dtype, requires_grad=True) for x in (X, Y))
    loss = WeightedCosineTripletLoss(0.3)(queries, candidates, torch.tensor(rel))
    loss.backward()
    X, Y = rounded(X, dtype), rounded(Y, dtype)
    assert_equals(loss, reference.cosine_triplet(X, Y, rel, 0.3), dtype)
    assert queries.grad.abs().max() < 100
    assert candidates.grad.abs().max() < 100


@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e-42])
def test_nearly_zero_rows_do_not_blow_gradients_up(rng, scale):
    queries = torch.tensor(scale * rng.standard_normal((3, 4)), dtype=torch.float32, requires_grad=True)
    candidates = torch.tensor(rng.standard_normal((5, 4)), dtype=torch.float32)
    WeightedCosineTripletLoss(0.3)(queries, candidates, torch.tensor(levels(rng, 3, 5, 0.7))).backward()
    assert queries.grad.abs().max() < 100


@both_dtypes
def test_many_shared_labels_do_not_overflow(rng, dtype):
    X, Y = (rounded(rng.standard_normal((n, 4)), dtype) for n in (3, 5))
    rel = np.array([[900, 899, 3, 0, 0], [140, 1, 0, 2, 140], [1, 0, 0, 0, 0]])
    loss = WeightedCosineTripletLoss(0.3)(*tensors(X, Y, dtype=dtype), torch.tensor(rel))
    assert_equals(loss, reference.cosine_triplet(X, Y, rel, 0.3), dtype)


def test_row_sparsity_has_gradient_zero_at_zero_rows():
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    RowSparsityPenalty()(weight).backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


# --- every loss: gradients, arguments left alone, other dtypes ---


def cases(rng):
    """Each loss in each form, with arguments in double of which the floating ones have gradients."""
    X, Y, R, U = (
        torch.tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(4, 3), (5, 3), (4, 5), (5, 2)]
    )
    S, square = (torch.tensor(similarities(rng, 4, m, 0.4)) for m in (5, 4))
    rel, signs = torch.tensor(levels(rng, 4, 5, 0.6)), torch.tensor(rng.choice([-1.0, 1.0], (4, 3)))
    for reduction in ("sum", "balanced"):
        yield PairLikelihoodLoss(reduction), (X, Y, S)
        yield CodeSimilarityLoss(reduction), (X, square)
    for reduction in ("sum", "mean"):
        yield QuantizationLoss(reduction), (X,)
        yield QuantizationLoss(reduction), (X, signs)
        yield IndependenceLoss(reduction, "bits"), (X,)
        yield IndependenceLoss(reduction, "samples"), (X,)
        yield RelationLoss(reduction), (R, S)
        yield WeightedCosineTripletLoss(0.3, reduction), (X, Y, rel)
        yield WeightedCosineTripletLoss(0.3, reduction, weighted=False), (X, Y, rel)
    yield BalanceLoss("norm"), (X,)
    yield BalanceLoss("mean"), (X,)
    yield RowSparsityPenalty(), (U,)


def test_the_cases_are_all_losses(rng):
    assert {type(loss).__name__ for loss, _ in cases(rng)} == set(losses.__all__)


def test_gradients_are_those_of_differences(rng):
    for loss, arguments in cases(rng):
        assert torch.autograd.gradcheck(loss, arguments), loss
        (gradient,) = torch.autograd.grad(loss(*arguments), arguments[0])
        assert gradient.any(), loss


def test_forward_is_compute_and_leaves_its_arguments_alone(rng):
    for loss, arguments in cases(rng):
        before = [argument.detach().clone() for argument in arguments]
        value = loss(*arguments)
        value.backward()
        for argument, copy in zip(arguments, before, strict=True):
            assert torch.equal(argument, copy), loss
        computed = loss.compute(*arguments, *[None] * (isinstance(loss, QuantizationLoss) and len(arguments) == 1))
        assert torch.equal(computed, value), loss


def test_half_precision_works(rng):
    for loss, arguments in cases(rng):
        value = loss(*(argument.to(torch.bfloat16) for argument in arguments))
        assert value.dtype == torch.bfloat16
        assert value.item() == pytest.approx(loss(*arguments).item(), rel=0.1), loss


def test_similarities_may_be_of_any_real_dtype(rng):
    for loss, arguments in cases(rng):
        if not isinstance(loss, (PairLikelihoodLoss, CodeSimilarityLoss, RelationLoss)):
            continue
        *floating, similar = arguments
        for dtype in (torch.bool, torch.uint8, torch.int64, torch.float32):
            assert torch.equal(loss(*floating, similar.to(dtype)), loss(*arguments)), (loss, dtype)


def test_losses_have_no_parameters(rng):
    for loss, _ in cases(rng):
        assert not loss.state_dict()


# --- checks ---


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PairLikelihoodLoss("mean"), ValueError, "reduction must be one of 'sum', 'balanced', got 'mean'"),
        (lambda: CodeSimilarityLoss("mean"), ValueError, "reduction must be one of 'sum', 'balanced', got 'mean'"),
        (lambda: QuantizationLoss("balanced"), ValueError, "reduction must be one of 'sum', 'mean', got 'balanced'"),
        (lambda: IndependenceLoss("none"), ValueError, "reduction must be one of 'sum', 'mean', got 'none'"),
        (lambda: IndependenceLoss("sum", "n"), ValueError, "divisor must be one of 'bits', 'samples', got 'n'"),
        (lambda: BalanceLoss("sum"), ValueError, "form must be one of 'norm', 'mean', got 'sum'"),
        (lambda: RelationLoss(""), ValueError, "reduction must be one of 'sum', 'mean', got ''"),
        (lambda: WeightedCosineTripletLoss(-1), ValueError, "margin must be a finite number >= 0, got -1.0"),
        (lambda: WeightedCosineTripletLoss("a"), TypeError, "margin must be a finite number >= 0, got 'a'"),
        (lambda: WeightedCosineTripletLoss(0, "x"), ValueError, "reduction must be one of 'sum', 'mean', got 'x'"),
        (lambda: WeightedCosineTripletLoss(0, weighted=1), TypeError, "weighted must be a bool, got 1"),
    ],
)
def test_constructors_refuse(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


def floating(shape):
    return f"a floating-point tensor of shape {shape}, neither side 0"


LIKELIHOOD, TRIPLET, SIMILARITY = PairLikelihoodLoss(), WeightedCosineTripletLoss(0.3), CodeSimilarityLoss()
Z = torch.zeros(4, 3)
REAL = "a tensor of real numbers of shape"


@pytest.mark.parametrize(
    ("loss", "arguments", "error", "message"),
    [
        # Each argument of each loss is looked at under its own name.
        (LIKELIHOOD, ([1.0], Z, Z), TypeError, f"features must be {floating('(n, k)')}, got list"),
        (LIKELIHOOD, (Z, None, Z), TypeError, f"others must be {floating('(m, k)')}, got NoneType"),
        (LIKELIHOOD, (Z, Z, None), TypeError, f"similar must be {REAL} (4, 4), got NoneType"),
        (SIMILARITY, (None, Z), TypeError, f"Z must be {floating('(n, r)')}, got NoneType"),
        (SIMILARITY, (Z, None), TypeError, f"similar must be {REAL} (4, 4), got NoneType"),
        (QuantizationLoss(), (None,), TypeError, f"outputs must be {floating('(n, r)')}, got NoneType"),
        (QuantizationLoss(), (Z, [1]), TypeError, f"signs must be {REAL} (4, 3), got list"),
        (IndependenceLoss(), (None,), TypeError, f"Z must be {floating('(n, r)')}, got NoneType"),
        (BalanceLoss(), (None,), TypeError, f"Z must be {floating('(n, r)')}, got NoneType"),
        (RelationLoss(), (None, Z), TypeError, f"relations must be {floating('(n, m)')}, got NoneType"),
        (RelationLoss(), (Z, None), TypeError, f"similar must be {REAL} (4, 3), got NoneType"),
        (RowSparsityPenalty(), (None,), TypeError, f"weight must be {floating('(d, h)')}, got NoneType"),
        (TRIPLET, (None, Z, Z), TypeError, f"queries must be {floating('(n, r)')}, got NoneType"),
        (TRIPLET, (Z, None, Z), TypeError, f"candidates must be {floating('(m, r)')}, got NoneType"),
        (TRIPLET, (Z, Z, None), TypeError, f"n_shared must be {REAL} (4, 4), got NoneType"),
        # Each check.
        (BalanceLoss(), (Z.long(),), TypeError, f"Z must be {floating('(n, r)')}, got dtype torch.int64"),
        (BalanceLoss(), (Z.cfloat(),), TypeError, f"Z must be {floating('(n, r)')}, got dtype torch.complex64"),
        (BalanceLoss(), (Z[0],), ValueError, f"Z must be {floating('(n, r)')}, got shape (3,)"),
        (BalanceLoss(), (Z[:0],), ValueError, f"Z must be {floating('(n, r)')}, got shape (0, 3)"),
        (LIKELIHOOD, (Z, Z.double(), Z), TypeError, "others must have the dtype of features, torch.float32, got "
         "torch.float64"),
        (LIKELIHOOD, (Z, Z[:, :2], Z), ValueError, "others must have as many columns as features, 3, got 2"),
        (LIKELIHOOD, (Z, Z.to("meta"), Z), ValueError, "others must be on the device of features, cpu, got meta"),
        (LIKELIHOOD, (Z, Z[:2], Z[:2].T), ValueError, f"similar must be {REAL} (4, 2), got shape (3, 2)"),
        (SIMILARITY, (Z, Z[:, 0]), ValueError, f"similar must be {REAL} (4, 4), got shape (4,)"),
        (RelationLoss(), (Z, Z.cfloat()), TypeError, f"similar must be {REAL} (4, 3), got dtype torch.complex64"),
        (RelationLoss(), (Z, Z.to("meta")), ValueError, "similar must be on the device of relations, cpu, got meta"),
    ],
)  # fmt: skip
def test_arguments_are_checked(loss, arguments, error, message):
    with pytest.raises(error) as caught:
        loss(*arguments)
    assert str(caught.value) == message
