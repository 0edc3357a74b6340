"""Protocols: the named choices that change a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pyhash._inputs.checks import check_choice, check_integer

Denominator = Literal["hits", "relevant", "min"]
EmptyQueries = Literal["skip", "zero"]
Ties = Literal["id", "expected", "best", "worst"]

DENOMINATORS: tuple[str, ...] = get_args(Denominator)
GROUPED_TIES = ("expected", "best", "worst")


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation that change its scores.

    Parameters
    ----------
    cutoff : int or None
        Number of ranks that count, the R of mAP@R. None: the full list.
    denominator : {"hits", "relevant", "min"}
        Divisor of the sum of precisions at the hits. "hits": the relevant items within the cutoff. "relevant": all
        relevant items of the database. "min": the cutoff or the number of all relevant items, whichever is smaller.
    empty_queries : {"skip", "zero"}
        Queries whose divisor is zero are left out of the mean ("skip") or count as 0 ("zero").
    ties : {"id", "expected", "best", "worst"}
        Order of items at equal distance. "id": by position in the database, ascending. "expected": the exact mean
        over all orders. "best": relevant items first. "worst": relevant items last.

    Raises
    ------
    TypeError
        If the cutoff is not an integer.
    ValueError
        If cutoff < 1.
    ValueError
        If denominator, empty_queries or ties is none of the choices listed.

    Notes
    -----
    With the full list, "hits" and "relevant" give the same score. "best" and "worst" bound the score of every order,
    except with a cutoff and denominator "hits", where the divisor depends on the order. ``Protocol.preset`` returns
    the protocols of published evaluations by name. The mean over orders follows McSherry and Najork, Computing
    information retrieval performance measures efficiently in the presence of tied scores, ECIR 2008.

    Examples
    --------
    >>> Protocol(cutoff=50, denominator="min").describe()
    'cutoff 50, denominator min, empty queries skip, ties id'
    >>> Protocol.preset("shoh")
    Protocol(cutoff=None, denominator='hits', empty_queries='zero', ties='id')
    """

    cutoff: int | None = None
    denominator: Denominator = "hits"
    empty_queries: EmptyQueries = "skip"
    ties: Ties = "id"

    presets: ClassVar[dict[str, Protocol]]

    def __post_init__(self) -> None:
        if self.cutoff is not None:
            object.__setattr__(self, "cutoff", check_integer("cutoff", self.cutoff, 1))
        check_choice("denominator", self.denominator, DENOMINATORS)
        check_choice("empty_queries", self.empty_queries, get_args(EmptyQueries))
        check_choice("ties", self.ties, get_args(Ties))

    @classmethod
    def preset(cls, name: str) -> Protocol:
        """Return the protocol of a published evaluation.

        Parameters
        ----------
        name : {"shoh"}
            "shoh": the evaluation of SHOH (Han et al., TOMM 2024), as its published code computes it.

        Returns
        -------
        Protocol

        Raises
        ------
        ValueError
            If there is no preset of that name.

        Examples
        --------
        >>> Protocol.preset("shoh").empty_queries
        'zero'
        """
        return cls.presets[check_choice("name", name, tuple(cls.presets))]

    def describe(self, *, denominator: bool = True) -> str:
        """Return the protocol in one line.

        Parameters
        ----------
        denominator : bool
            Whether to name the denominator, which only average precision has.

        Returns
        -------
        str
        """
        cutoff = "full list" if self.cutoff is None else f"cutoff {self.cutoff}"
        divisor = f", denominator {self.denominator}" if denominator else ""
        return f"{cutoff}{divisor}, empty queries {self.empty_queries}, ties {self.ties}"


Protocol.presets = {"shoh": Protocol(empty_queries="zero")}


def resolve_protocol(protocol: Protocol | str | None, name: str = "protocol") -> Protocol:
    """Return the protocol itself, the preset of that name, or the default for None; errors call the argument `name`."""
    if protocol is None:
        return Protocol()
    if isinstance(protocol, Protocol):
        return protocol
    if not isinstance(protocol, str):
        raise TypeError(f"{name} must be a Protocol or the name of a preset, got {type(protocol).__name__}")
    return Protocol.presets[check_choice(name, protocol, tuple(Protocol.presets))]
