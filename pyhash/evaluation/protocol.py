"""What a score means: the choices that move it, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pyhash._inputs.checks import check_choice, check_integer

DENOMINATORS = ("hits", "relevant", "min")
GROUPED_TIES = ("expected", "best", "worst")
TIES = ("id", *GROUPED_TIES)
EMPTY_QUERIES = ("skip", "zero")


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation that move its scores.

    Parameters
    ----------
    cutoff : int or None
        Ranks that count, R of mAP@R; None: the full list.
    denominator : {"hits", "relevant", "min"}
        What the sum of precisions at the hits is divided by: relevant items found within the cutoff; all relevant
        items of the database; or the lesser of the cutoff and all relevant items.
    empty_queries : {"skip", "zero"}
        Queries whose denominator is zero are left out of the mean, or count 0.
    ties : {"id", "expected", "best", "worst"}
        Order of items at equal distance: by ascending position in the database; the exact mean over all orders;
        relevant ones first; relevant ones last.

    Raises
    ------
    ValueError
        If a choice is not among those listed, or the cutoff is below 1.

    Notes
    -----
    With the full list, "hits" and "relevant" agree. "best" and "worst" bound the score of every order, except with a
    cutoff under "hits": there the divisor depends on the order too. ``Protocol.preset`` knows published evaluations
    by name. The mean over orders follows McSherry and Najork, Computing information retrieval performance measures
    efficiently in the presence of tied scores, ECIR 2008.

    Examples
    --------
    >>> Protocol(cutoff=50, denominator="min").describe()
    'cutoff 50, denominator min, empty queries skip, ties id'
    >>> Protocol.preset("shoh")
    Protocol(cutoff=None, denominator='hits', empty_queries='zero', ties='id')
    """

    cutoff: int | None = None
    denominator: str = "hits"
    empty_queries: str = "skip"
    ties: str = "id"

    presets: ClassVar[dict[str, Protocol]]

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            object.__setattr__(self, "cutoff", check_integer("cutoff", self.cutoff, 1))
        check_choice("denominator", self.denominator, DENOMINATORS)
        check_choice("empty_queries", self.empty_queries, EMPTY_QUERIES)
        check_choice("ties", self.ties, TIES)

    @classmethod
    def preset(cls, name: str) -> Protocol:
        """The protocol of a published evaluation: "shoh" (Han et al., TOMM 2024, as their code scores)."""
        return cls.presets[check_choice("preset", name, tuple(cls.presets))]

    def describe(self) -> str:
        """The protocol in one line."""
        cutoff = "full list" if self.cutoff is None else f"cutoff {self.cutoff}"
        return f"{cutoff}, denominator {self.denominator}, empty queries {self.empty_queries}, ties {self.ties}"


Protocol.presets = {"shoh": Protocol(empty_queries="zero")}


def resolve_protocol(protocol: Protocol | str | None) -> Protocol:
    """A protocol, or the name of a preset; None is the default protocol."""
    if protocol is None:
        return Protocol()
    if isinstance(protocol, str):
        return Protocol.preset(protocol)
    if not isinstance(protocol, Protocol):
        raise TypeError(f"protocol must be a Protocol or the name of a preset, got {type(protocol).__name__}")
    return protocol
