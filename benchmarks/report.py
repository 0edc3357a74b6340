"""Turns what a run measured into docs/performance.md: python -m benchmarks.report RESULTS.json PERFORMANCE.md.

Only what stands between the two markers is written; everything else in the file is by hand and stays.
"""

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks import charts, targets

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_STUB = f"# Performance\n\n{BEGIN}\n{END}\n"


def main(results_file, page):
    results = json.loads(Path(results_file).read_text())
    page = Path(page)
    text = page.read_text() if page.exists() else _STUB
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    folder = page.with_suffix("")
    drawn = charts.draw(results, folder)
    parts = [_machine(results), _summary(results), *_tables(results), _charts(drawn, folder.name)]
    measured = "\n\n".join(part for part in parts if part)
    page.write_text(f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}")


# --- the run ----------------------------------------------------------------------------------------------------------


def _machine(results):
    m = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    spread = np.median([t["spread"] for r in results["records"] for t in r["times"].values()])
    lines = [
        "## The run",
        "",
        *_table(
            ["", ""],
            [
                ["date", m["date"]],
                ["CPU", f"{m['cpu']}, {m['cores']} cores; pyhash uses its {m['cpu_level']} kernels"],
                ["memory", f"{m['memory_gib']} GiB"],
                ["system", m["system"]],
                ["versions", f"{versions}; FAISS built with {m['faiss_options']}"],
                ["duration", f"{results['minutes']:.1f} minutes; load average before it {m['load']}"],
                ["spread", f"quartiles of the rounds lie {spread:.1%} of the median apart (median over all figures)"],
            ],
        ),
    ]
    roof = results["roofline"]
    if roof is not None:
        lines += [
            "",
            f"One core reads {roof['bytes_per_second'] / 1e9:.1f} GB/s from memory, and counts the bits of "
            f"{roof['words_per_second'] / 1e9:.1f} · 10⁹ 64-bit words a second in its first cache (a probe in "
            f"{roof['by']}).",
        ]
    if results["quick"]:
        lines += ["", "**A quick run on small data: it shows that the benchmarks work, its figures say nothing.**"]
    if results["failed"]:
        lines += ["", f"**These benchmarks failed, their figures are missing: {', '.join(results['failed'])}.**"]
    return "\n".join(lines)


def _summary(results):
    judged = [(r, v) for r in results["records"] for v in targets.verdicts(r)]
    if not judged:
        return ""
    missed = [(r, v) for r, v in judged if not v.met]
    lines = ["## Targets", "", f"{len(judged) - len(missed)} of {len(judged)} targets are met."]
    if missed:
        rows = [[r["table"].replace("_", "-"), _case(r), v.peer, f"{v.ratio:.2f}", f"{v.target:g}"] for r, v in missed]
        lines += ["", "Missed:", "", *_table(["benchmark", "case", "against", "times as fast", "target"], rows)]
    return "\n".join(lines)


def _case(record):
    case = dict(record["case"])
    size = _size(case)
    named = {name: value for name, value in case.items() if name not in ("codes", "queries", "data")}
    return ", ".join([size, *(f"{name} {value}" for name, value in named.items()), *filter(None, [case.get("data")])])


def _size(case):
    return f"{case['codes']:,}" + (f" × {case['queries']:,}" if "queries" in case else "")


# --- its tables -------------------------------------------------------------------------------------------------------


def _tables(results):
    for name, (title, text, columns) in _SECTIONS.items():
        records = [r for r in results["records"] if r["table"] == name]
        if records:
            rows = [[column(r) for column in columns.values()] for r in records]
            yield "\n".join([f"## {title}", "", *([text, ""] if text else []), *_table(list(columns), rows)])


def _table(header, rows):
    return [
        f"| {' | '.join(header)} |",
        f"|{' --- |' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _of_case(name):
    return lambda r: str(r["case"][name])


def _sizes(record):
    return _size(record["case"])


def _note(name, form="{}"):
    return lambda r: form.format(r["notes"][name]) if name in r["notes"] else ""


def _gcodes(prefix):
    """10^9 codes x queries a second, of the fastest contestant of that name."""

    def cell(record):
        name = targets.fastest(record, prefix)
        return "" if name is None else f"{charts.throughput(record, name):.3g}"

    return cell


def _seconds(name):
    return lambda r: f"{targets.seconds(r, name):.4f}" if name in r["times"] else ""


def _ratio(prefix):
    def cell(record):
        name = targets.fastest(record, prefix)
        return "" if name is None else f"{targets.ratio(record, name):.1f}"

    return cell


def _faiss_ratio(record):
    """Ratio to the fastest FAISS, and which it was."""
    name = targets.fastest(record, "FAISS")
    return f"{targets.ratio(record, name):.2f} ({name.removeprefix('FAISS ').removeprefix('flat, ')})"


def _target(record):
    return "; ".join(_judged(v) for v in targets.verdicts(record))


def _targets_by_peer(record):
    return "; ".join(f"{v.peer}: {_judged(v)}" for v in targets.verdicts(record))


def _judged(verdict):
    return f"{verdict.target:g} {'met' if verdict.met else '**not met**'}"


_SIZE = {"codes × queries": _sizes}
_BITS_K = {"bits": _of_case("bits"), "k": _of_case("k")}
_RATES = {"pyhash": _gcodes("ours"), "FAISS": _gcodes("FAISS"), "numpy": _gcodes("numpy")}
_AGAINST = {"times FAISS (which)": _faiss_ratio, "target": _target}

_SECTIONS = {
    "top_k": (
        "The k nearest",
        "In 10⁹ codes × queries per second of CPU time, one thread. *distinct*: where the index saw that codes repeat, "
        "it scans each code once; that many there are.",
        {
            "codes": _of_case("data"),
            **_SIZE,
            **_BITS_K,
            **_RATES,
            "usearch": _gcodes("usearch"),
            **_AGAINST,
            "distinct": _note("distinct", "{:,}"),
        },
    ),
    "learned": (
        "Learned codes",
        "Codes that SHOH learned of the built-in data, repeated to a million; queries are encoded texts. In 10⁹ codes "
        "× queries per second.",
        {
            **_SIZE,
            **_BITS_K,
            "distinct": _note("distinct", "{:,}"),
            **_RATES,
            "usearch": _gcodes("usearch"),
            **_AGAINST,
        },
    ),
    "radius": (
        "All within a radius",
        "In 10⁹ codes × queries per second.",
        {
            "codes": _of_case("data"),
            **_SIZE,
            "bits": _of_case("bits"),
            "d ≤": _of_case("radius"),
            "hits": _note("hits", "{:,}"),
            **_RATES,
            **_AGAINST,
        },
    ),
    "weighted": (
        "Weighted distance, the k nearest",
        "In 10⁹ codes × queries per second. pyhash is exact in float64. FAISS (IndexPQFastScan over nibbles) quantises "
        "the distances to 8 bits, numpy takes a float32 product and argpartition: recall is the part of their hits "
        "that are as near as the k-th.",
        {
            "codes": _of_case("data"),
            **_SIZE,
            **_BITS_K,
            **_RATES,
            **_AGAINST,
            "times numpy": _ratio("numpy"),
            "recall of FAISS": _note("recall of FAISS", "{:.3f}"),
        },
    ),
    "threads": (
        "Two threads",
        "Wall time.",
        {
            "codes": _of_case("data"),
            **_SIZE,
            **_BITS_K,
            "1 thread, s": _seconds("ours, 1 thread"),
            "2 threads, s": _seconds("ours"),
            "times as fast": lambda r: f"{targets.ratio(r, 'ours, 1 thread'):.2f}",
            "target": _target,
        },
    ),
    "map": (
        "Mean average precision",
        "24 labels. With one thread CPU time counts, with all of them wall time.",
        {
            **_SIZE,
            "bits": _of_case("bits"),
            "threads": _of_case("threads"),
            "pyhash, s": _seconds("ours"),
            "times numpy argsort": _ratio("numpy argsort"),
            "times numpy radix sort": _ratio("numpy radix sort"),
            "target": _targets_by_peer,
        },
    ),
    "posterior": (
        "Posterior encoding",
        "Queries of 1500 features against 87 classes, each a label set of its own (the codes of the case), and the "
        "plain projection of the same model. CPU time.",
        {
            "label sets × queries": _sizes,
            "bits": _of_case("bits"),
            "posterior, s": _seconds("ours"),
            "projection, s": _seconds("bits"),
            "times the plain projection's speed": lambda r: f"{targets.ratio(r, 'bits'):.2f}",
            "target": _target,
        },
    ),
    "descent": (
        "Discrete cyclic descent",
        "7 sweeps in float32, all threads, wall time.",
        {
            "codes": _sizes,
            "bits": _of_case("bits"),
            "pyhash, s": _seconds("ours"),
            "times numpy float32": _ratio("numpy float32"),
            "times numpy float64": _ratio("numpy float64"),
            "target": _targets_by_peer,
        },
    ),
}


# --- its charts -------------------------------------------------------------------------------------------------------


def _charts(drawn, folder):
    if not drawn:
        return ""
    text = (
        "Uniform codes, k = 10, one thread. Dashed: no search of one query that reads every code whole can be above "
        "it. Dotted: what one core reaches that counts the bits of each code with the instruction for it and does "
        "nothing else; searches over bit planes and tables of nibbles, which count many codes at once, may be above."
    )
    images = [f"![{caption}]({folder}/{file})" for file, caption in drawn.items()]
    return "\n\n".join(["## Charts", text, *images])


if __name__ == "__main__":
    main(*sys.argv[1:])
