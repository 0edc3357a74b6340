"""The presets: experiments of the papers on SHOH, SEOCH, DSFH, SDCH and DHSL."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from pyhash._inputs.checks import check_choice
from pyhash.comparison.preset import PerView, Preset
from pyhash.evaluation.protocol import Protocol

_NO_CUTOFF = "The paper names no cutoff of mAP and no order of ties: here the full list, ties by id."

# --- SHOH: label hierarchies, rows in chunks --------------------------------------------------------------------------

_FASHIONVC = Preset(
    name="shoh/fashionvc",
    paper="Han et al.: Supervised Hierarchical Online Hashing for Cross-modal Retrieval, TOMM 2024",
    results="Table 4, Figures 5 and 6; Table 7 with a file of its features",
    n_rows=19862,
    n_features={"image": 512, "text": 2685},
    n_classes=(8, 27),
    methods={"shoh/paper": {}, "lemon": {}, "lemon@level1+level2": {}},
    bits=(16, 32, 64, 128),
    split="fashionvc",
    labels="hierarchy",
    notes=(
        "lemon is LEMON-fine and lemon@level1+level2 LEMON-full; the weighted columns of shoh/paper are SHOH-WRS.",
        "The paper names no parameters of LEMON: those of its own paper. DOCH, OMGH and OSCMFH are not in pyhash.",
        "The paper prints 6 chunks of 2,000 and one of 3,696 here, and 7 and one of 3,862 for Ssense; the totals fit "
        "the other way round.",
    ),
)
_SSENSE = replace(
    _FASHIONVC,
    name="shoh/ssense",
    results="Table 5, Figure 5; Table 7 with a file of its features",
    n_rows=15696,
    n_classes=(4, 28),
    split="ssense",
    notes=(
        *_FASHIONVC.notes[:2],
        "The paper prints 7 chunks of 2,000 and one of 3,862 here, and 6 and one of 3,696 for FashionVC; the totals "
        "fit the other way round, with 5 chunks of 2,000 and one of 3,696 here.",
    ),
)
_SHOH_NUS_WIDE = replace(
    _FASHIONVC,
    name="shoh/nus-wide",
    results="Table 8",
    n_rows=195834,
    n_features={"image": 4096, "text": 1000},
    n_classes=(21,),
    split="nus-wide-5000",
    chunk_size=10_000,
    notes=(
        *_FASHIONVC.notes[:2],
        "The paper draws the hierarchy over the 21 classes in its Figure 4 only; the file must have it.",
        "The paper names no parameters of SHOH for NUS-WIDE: those of FashionVC and Ssense.",
        "The paper prints 17 chunks of 10,000 and one of 10,834, which are 10,000 rows too few: here 18 and one.",
    ),
)
_SHOH = (
    _FASHIONVC,
    _SSENSE,
    replace(
        _SSENSE,
        name="shoh/ssense/ablation",
        results="Table 6, Figures 7 and 8",
        methods={
            "shoh/paper": {},
            "shoh/hard-labels": {"init": "random"},
            "shoh/flat@level1+level2": {"init": "random"},
            "shoh/flat": {"init": "random"},
        },
        notes=(
            "shoh/hard-labels is SHOH-1, shoh/flat@level1+level2 SHOH-2, shoh/flat SHOH-3. Figure 8 has 32 bits.",
            "The lengths of Figure 7 are in the picture only: here those of Table 5.",
            _SSENSE.notes[-1],
        ),
    ),
    replace(
        _SSENSE,
        name="shoh/ssense/sensitivity",
        results="Figure 9",
        methods={"shoh/paper": {}},
        sweep={
            "shoh/paper": [
                {"alpha": [(0, 1), (0.1, 0.9), (0.2, 0.8), (0.4, 0.6), (0.6, 0.4), (0.8, 0.2), (1, 0)]},
                {"gamma": [0, 0.1, 1, 3, 10, 100]},
                {"eta": [0, 1e-4, 1e-2, 1, 10, 100, 10_000]},
                {"mu": [0, 10, 1000, 10_000, 100_000]},
            ]
        },
        bits=(32,),
        notes=(
            "The paper says that alpha^1 is in [0, 1] with alpha^2 = 1 - alpha^1, and that eta from 1e-4 to 100 and "
            "mu = 1000 do well. The other values of Figure 9 are in the picture only: these are ours.",
            _SSENSE.notes[-1],
        ),
    ),
    _SHOH_NUS_WIDE,
)

# --- SEOCH: several labels a row, rows in chunks ----------------------------------------------------------------------

_SEOCH_MIRFLICKR_PARAMETERS = {
    "lambda_1": 1000,
    "lambda_m": PerView(image=0.1, text=1),
    "alpha": 0.8,
    "beta": 1,
    "n_concepts": 50,
}
_SEOCH_MIRFLICKR = Preset(
    name="seoch/mirflickr",
    paper="Zhang et al.: Semantic embedding based online cross-modal hashing method, Scientific Reports 2024",
    results="Tables 1 and 4, Figure 1",
    n_rows=20015,
    n_features={"image": 512, "text": 1386},
    n_classes=(24,),
    methods={"scm-seq": {}, "dch": {}, "seoch/paper": _SEOCH_MIRFLICKR_PARAMETERS},
    bits=(8, 16, 32, 64, 128),
    split="mirflickr",
    rounds="shallow",
    notes=(
        _NO_CUTOFF,
        "The paper names no number of iterations of SEOCH: here 5.",
        "Baselines have the parameters of their own papers, as the paper says. SRLCH, JIMFH, OLSH and OCMFH are not in "
        "pyhash.",
    ),
)
_SEOCH = (
    _SEOCH_MIRFLICKR,
    replace(
        _SEOCH_MIRFLICKR,
        name="seoch/mirflickr/ablation",
        results="Table 3",
        methods={
            "seoch/no-labels": _SEOCH_MIRFLICKR_PARAMETERS | {"restart": True, "lambda_1": 0},
            "seoch/no-features": _SEOCH_MIRFLICKR_PARAMETERS | {"restart": True, "lambda_m": 0},
            "seoch/no-similarity": _SEOCH_MIRFLICKR_PARAMETERS | {"restart": True, "beta": 0},
            "seoch/paper": _SEOCH_MIRFLICKR_PARAMETERS,
        },
        notes=(
            "seoch/no-labels is SEOCH-I, seoch/no-features SEOCH-II, seoch/no-similarity SEOCH-III.",
            *_SEOCH_MIRFLICKR.notes[:2],
        ),
    ),
    replace(
        _SEOCH_MIRFLICKR,
        name="seoch/nus-wide",
        results="Table 2, Figure 2",
        n_rows=186577,
        n_features={"image": 500, "text": 1000},
        n_classes=(10,),
        methods={
            "scm-seq": {},
            "dch": {},
            "seoch/paper": {"lambda_1": 10_000, "lambda_m": 0.1, "alpha": 0.1, "beta": 0.1, "n_concepts": 100},
        },
        split="nus-wide",
        chunk_size=10_000,
    ),
)

# --- DSFH: several labels a row, all rows at once ---------------------------------------------------------------------

_DSFH_MIRFLICKR = Preset(
    name="dsfh/mirflickr",
    paper="Liu et al.: Dual Semantic Fusion Hashing for Multi-Label Cross-Modal Retrieval, IJCAI 2024",
    results="Tables 1 and 3; Table 2 with a file of its features",
    n_rows=20015,
    n_features={"image": 512, "text": 1386},
    n_classes=(24,),
    methods={"batch": {}, "dsfh": {"alpha": 1e-3, "xi": 1e-3, "n_clusters": 400}},
    bits=(8, 16, 32, 64),
    split="mirflickr",
    notes=(
        _NO_CUTOFF,
        "The paper's lambda is xi here. It names no width of the kernels: here the mean distance to the anchors.",
        "BATCH has the parameters of its own paper, as the paper says. The other baselines are not in pyhash.",
    ),
)
_DSFH_IAPR = replace(
    _DSFH_MIRFLICKR,
    name="dsfh/iapr-tc12",
    results="Tables 1 and 3",
    n_rows=20000,
    n_features={"image": 512, "text": 2912},
    n_classes=(255,),
    methods={"batch": {}, "dsfh": {"alpha": 1e-4, "xi": 1e-3, "n_clusters": 300}},
    split="iapr-tc12",
)
_DSFH_NUS_WIDE = replace(
    _DSFH_MIRFLICKR,
    name="dsfh/nus-wide",
    results="Tables 1 and 3, Figures 3 and 4",
    n_rows=186577,
    n_features={"image": 500, "text": 1000},
    n_classes=(10,),
    methods={"batch": {}, "dsfh": {"alpha": 1e-4, "xi": 1e-4, "n_clusters": 400}},
    split="nus-wide",
    notes=(
        *_DSFH_MIRFLICKR.notes,
        "The paper gives 184,710 as the number of pairs before 1,867 queries are drawn; others have 186,577 with them.",
        "The text does not say the length of Figure 3's codes; Figure 4 has 8 bits.",
    ),
)


def _dsfh_ablation(preset: Preset) -> Preset:
    dsfh = preset.methods["dsfh"]
    return replace(
        preset,
        name=f"{preset.name}/ablation",
        results="Table 4",
        methods={
            "dsfh/clusters-only": dsfh,
            "dsfh/labels-only": {name: value for name, value in dsfh.items() if name != "n_clusters"},
            "dsfh": dsfh,
        },
        notes=(
            "dsfh/clusters-only is DSFH-w/o ISP, dsfh/labels-only DSFH-w/o CSP. The text of Section 4.9 has the terms "
            "the other way round; its figures are those of these names.",
            *preset.notes[:2],
        ),
    )


_DSFH = (
    _DSFH_MIRFLICKR,
    _dsfh_ablation(_DSFH_MIRFLICKR),
    _DSFH_IAPR,
    _dsfh_ablation(_DSFH_IAPR),
    _DSFH_NUS_WIDE,
    _dsfh_ablation(_DSFH_NUS_WIDE),
    replace(
        _DSFH_NUS_WIDE,
        name="dsfh/nus-wide/sensitivity",
        results="Figures 5 and 6",
        methods={"dsfh": _DSFH_NUS_WIDE.methods["dsfh"]},
        sweep={
            "dsfh": [
                {"alpha": [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100], "xi": [1e-4, 1e-3, 1e-2, 0.1]},
                {"n_clusters": [100, 200, 300, 400, 500]},
            ]
        },
        bits=(8,),
        notes=_DSFH_NUS_WIDE.notes[:2],
    ),
)

# --- SDCH: deep -------------------------------------------------------------------------------------------------------

_SDCH_MIRFLICKR = Preset(
    name="sdch/mirflickr",
    paper="Yan et al.: Cross-modal Hashing with Semantic Deep Embedding, Neurocomputing 2019",
    results="Tables 2, 3 and 4, Figures 4 and 5",
    n_rows=20015,
    n_features={"image": 4096, "text": 1386},
    n_classes=(24,),
    methods={"scm-seq": {}, "sdch/paper": {}},
    bits=(16, 32, 64),
    split=None,
    database="encoded",
    protocols=(Protocol(cutoff=500),),
    seeds=5,
    notes=(
        "The paper trains AlexNet on the pictures; a file has features, such as the 4,096 of its seventh layer that "
        "the paper gives to the other methods. From Python, backbones= trains on pictures.",
        "The paper does not say how many rows are queries, or are learned: here the split of the file, or a tenth.",
        "The paper does not say by what the sum of precisions at 500 is divided: here the hits among them; ties by id.",
        "The paper does not say which form of SCM it compares: here SCM-seq. The other baselines are not in pyhash.",
        "The paper counts the pairs only as those of 25,000 with at least 20 tags, which others find to be 20,015.",
    ),
)
_SDCH = (
    _SDCH_MIRFLICKR,
    replace(
        _SDCH_MIRFLICKR,
        name="sdch/mirflickr/sensitivity",
        results="Figure 6",
        methods={"sdch/paper": {}},
        sweep={
            "sdch/paper": [
                {"gamma": [0.001, 0.01, 0.1, 0.5, 1, 2]},
                *(
                    {"beta_1": [1], "beta_2": [1], "beta_3": [1]} | {beta: [0.01, 0.1, 1, 10, 20]}
                    for beta in ("beta_1", "beta_2", "beta_3")
                ),
            ]
        },
        bits=(64,),
        notes=(
            *_SDCH_MIRFLICKR.notes[:3],
            "The paper gives the ranges, gamma in [0.001, 2] and beta in (0.01, 20) with the other betas 1; the values "
            "within them are ours.",
        ),
    ),
    replace(
        _SDCH_MIRFLICKR,
        name="sdch/iapr-tc12",
        n_rows=20000,
        n_features={"image": 4096, "text": 2912},
        n_classes=(22,),
        notes=(*_SDCH_MIRFLICKR.notes[:4], "The paper keeps the 22 most frequent classes; how many rows is not said."),
    ),
    replace(
        _SDCH_MIRFLICKR,
        name="sdch/nus-wide",
        n_rows=195834,
        n_features={"image": 4096, "text": 1000},
        n_classes=(21,),
        notes=_SDCH_MIRFLICKR.notes[:4],
    ),
)

# --- DHSL: deep, on features ------------------------------------------------------------------------------------------

_DHSL_MIRFLICKR = Preset(
    name="dhsl/mirflickr",
    paper="Ma et al.: Deep Hashing Similarity Learning for Cross-Modal Retrieval, IEEE Access 2024",
    results="Tables 1 and 4, Figures 2 and 4",
    n_rows=20015,
    n_features={"image": 4096, "text": 1386},
    n_classes=(24,),
    methods={"scm-seq": {}, "dhsl/paper": {}},
    bits=(16, 32, 64),
    split="mirflickr",
    database="encoded",
    learn_rows=10_000,
    notes=(
        _NO_CUTOFF,
        "The paper does not say which form of SCM it compares: here SCM-seq. The other baselines are not in pyhash.",
    ),
)
_DHSL_NUS_WIDE = replace(
    _DHSL_MIRFLICKR,
    name="dhsl/nus-wide",
    results="Table 2, Figures 3 and 5",
    n_rows=195834,
    n_features={"image": 4096, "text": 1000},
    n_classes=(21,),
    methods={"scm-seq": {}, "dhsl/paper-nus-wide": {}},
    split="nus-wide-2100",
)


def _dhsl_ablation(preset: Preset, full: str) -> Preset:
    names = ("no-penalty", "no-selector", "no-relations-within", "no-relation-network")
    return replace(
        preset,
        name=f"{preset.name}/ablation",
        results="Table 3",
        methods={**{f"dhsl/{name}": {"preset": full} for name in names}, f"dhsl/{full}": {}},
        notes=(f"{', '.join(f'dhsl/{name}' for name in names)} are DHSL1, 2, 3 and 4.", preset.notes[0]),
    )


_DHSL = (
    _DHSL_MIRFLICKR,
    _dhsl_ablation(_DHSL_MIRFLICKR, "paper"),
    replace(
        _DHSL_MIRFLICKR,
        name="dhsl/mirflickr/sensitivity",
        results="Figure 6",
        methods={"dhsl/paper": {}},
        sweep={
            "dhsl/paper": [
                {"eta": [0.001, 0.01, 0.1, 1, 10]},
                {"sigma": [0.001, 0.01, 0.1, 1, 10]},
                {"mu": [(x, y) for x in range(1, 6) for y in range(1, 6)]},
            ]
        },
        bits=(16,),
        notes=(_NO_CUTOFF, "The values of Figure 6 are in the picture only: these are ours."),
    ),
    _DHSL_NUS_WIDE,
    _dhsl_ablation(_DHSL_NUS_WIDE, "paper-nus-wide"),
)

PRESETS = MappingProxyType({preset.name: preset for preset in (*_SHOH, *_SEOCH, *_DSFH, *_SDCH, *_DHSL)})


def find_preset(name: str) -> Preset:
    """Return the preset of a name.

    Parameters
    ----------
    name : str
        One of ``PRESETS``.

    Returns
    -------
    Preset

    Raises
    ------
    ValueError
        If there is no such preset. The message lists them.

    Examples
    --------
    >>> find_preset("shoh/fashionvc").bits
    (16, 32, 64, 128)
    """
    return PRESETS[check_choice("name", name, tuple(PRESETS))]
