"""Write the figures of a run into docs/performance.md: python -m benchmarks.report RESULTS.json PERFORMANCE.md.

Only the text between the two markers is replaced. The rest of the file is written by hand.
"""

import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from benchmarks import charts, targets

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_STUB = f"# Performance\n\n{BEGIN}\n\n{END}\n"
_WIDTH = 100  # of Markdown, as in .mdformat.toml


def main(results_file, page):
    results = json.loads(Path(results_file).read_text())
    page = Path(page)
    text = page.read_text() if page.exists() else _STUB
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    folder = page.with_suffix("")
    drawn = charts.draw(results, folder)
    tables = [*_tables(results), _curves(results)]
    parts = [_machine(results), _summary(results), *tables, _charts(drawn, folder.name)]
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
                ["date", f"{m['date']}; tables with a column *measured* have dates of their own"],
                ["CPU", f"{m['cpu']}, {m['cores']} cores; pyhash uses its {m['cpu_level']} kernels"],
                ["memory", f"{m['memory_gib']} GiB"],
                ["system", m["system"]],
                ["versions", f"{versions}; FAISS built with {m['faiss_options']}"],
                ["duration", f"{results['minutes']:.1f} minutes; load average before it: {m['load']}"],
                ["spread", f"interquartile range of the rounds: {spread:.1%} of the median (median over all figures)"],
            ],
        ),
    ]
    roof = results["roofline"]
    if roof is not None:
        lines += [
            "",
            _wrapped(
                f"One core reads {roof['bytes_per_second'] / 1e9:.1f} GB/s from memory. In its first-level cache it "
                f"counts the bits of {roof['words_per_second'] / 1e9:.1f} · 10⁹ 64-bit words per second (measured in "
                f"{roof['by']})."
            ),
        ]
    if results["quick"]:
        lines += ["", "**This was a quick run on small data. It only shows that the benchmarks work.**"]
    if results["failed"]:
        lines += ["", f"**These benchmarks failed, so their figures are missing: {', '.join(results['failed'])}.**"]
    return "\n".join(lines)


def _summary(results):
    judged = [(r, v) for r in results["records"] for v in targets.verdicts(r)]
    if not judged:
        return ""
    missed = [(r, v) for r, v in judged if not v.met]
    lines = ["## Targets", "", f"{len(judged) - len(missed)} of {len(judged)} targets were met."]
    if missed:
        rows = [[r["table"].replace("_", "-"), _case(r), v.peer, f"{v.ratio:.2f}", f"{v.target:g}"] for r, v in missed]
        lines += [
            "",
            "Targets that were missed:",
            "",
            *_table(["benchmark", "case", "against", "times as fast", "target"], rows),
        ]
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
            if any(r["date"] != results["machine"]["date"] for r in records):
                columns = {**columns, "measured": lambda r: r["date"]}
            rows = [[column(r) for column in columns.values()] for r in records]
            yield "\n".join([f"## {title}", "", _wrapped(text), "", *_table(list(columns), rows)])


def _curves(results):
    """Return the table of time by recall: a row for each set of codes and recall, a column for each kind of index."""
    records = [r for r in results["records"] if r["table"] == "curves"]
    if not records:
        return ""
    kinds = dict.fromkeys(kind for r in records for _, of_level in _at_recall(r) for kind in of_level)
    rows = []
    for r in records:
        case, judged = r["case"], {v.peer.partition(",")[0]: v for v in targets.verdicts(r)}
        for level, of_level in _at_recall(r):
            peer = {0.95: "FAISS-HNSW", 0.997: "FAISS-IVF"}.get(level)  # at the recall of its target
            verdict = judged.get(peer)
            against = "" if verdict is None else f"{verdict.ratio:.2f} × {peer.removeprefix('FAISS-')}: "
            rows.append(
                [case["data"], f"{case['codes']:,}", str(case["queries"]), f"{level:g}", _microseconds("ours")(r)]
                + [of_level.get(kind, "") or "–" for kind in kinds]
                + [against + _judged(verdict) if verdict else "", r["date"]]
            )
    text = (
        "Microseconds of CPU time a query, one thread, 64 bits, the 10 nearest: the fastest setting of each kind of "
        "index with at least this recall, which is the fraction of hits that are as near as the true 10th; pyhash is "
        "exact. FAISS IVF has 4,096 lists and is told all queries in a call or one, as the column *at once* says; so "
        "are the others. FAISS HNSW has 32 neighbors (16 for ten million codes), usearch 16; MultiHash has 4 maps of "
        "16 bits. –: no setting reached it, or the index was not built. Targets: faster than IVF at a recall of .997 "
        "or more, and than HNSW at .95 or more."
    )
    header = ["codes", "n", "at once", "recall ≥", "pyhash (recall 1)", *kinds, "times as fast, target", "measured"]
    return "\n".join(["## Time by recall", "", _wrapped(text), "", *_table(header, rows)])


def _table(header, rows):
    return [
        f"| {' | '.join(header)} |",
        f"|{' -- |' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _wrapped(text):
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _of_case(name):
    return lambda r: str(r["case"][name])


def _sizes(record):
    return _size(record["case"])


def _note(name, form="{}"):
    return lambda r: form.format(r["notes"][name]) if name in r["notes"] else ""


def _gcodes(prefix):
    """Return a column: 10^9 codes x queries per second, of the fastest contestant with that prefix."""

    def cell(record):
        name = targets.fastest(record, prefix)
        return "" if name is None else f"{charts.throughput(record, name):.3g}"

    return cell


def _seconds(name):
    return lambda r: f"{targets.seconds(r, name):.4f}" if name in r["times"] else ""


def _milliseconds(prefix):
    return lambda r: f"{targets.seconds(r, targets.fastest(r, prefix)) * 1e3:.2f}"


def _ratio(prefix, form="{:.1f}"):
    def cell(record):
        name = targets.fastest(record, prefix)
        return "" if name is None else form.format(targets.ratio(record, name))

    return cell


def _faiss_ratio(record):
    """Return the ratio to the fastest FAISS setting, and its name."""
    name = targets.fastest(record, "FAISS")
    return f"{targets.ratio(record, name):.2f} ({name.removeprefix('FAISS ').removeprefix('flat, ')})"


def _target(record):
    return "; ".join(_judged(v) for v in targets.verdicts(record))


def _targets_by_peer(record):
    return "; ".join(f"{v.peer}: {_judged(v)}" for v in targets.verdicts(record))


def _judged(verdict):
    return f"{verdict.target:g} {'met' if verdict.met else '**not met**'}"


def _microseconds(prefix, recall=0.0):
    """Return a column: microseconds a query, of the fastest contestant with that prefix and recall."""

    def cell(record):
        name = targets.fastest(record, prefix, recall)
        if name is None:
            return ""
        time = _rounded(charts.microseconds(record, name))
        _, _, setting = name.partition(", ")
        return time + (f" ({setting})" if setting else "")

    return cell


def _rounded(value):
    return f"{float(f'{value:.3g}'):,g}"


def _at_recall(record):
    """Return the fastest of each kind of index, in microseconds a query, by the recall that it has at least."""
    kinds = dict.fromkeys(name.partition(",")[0] for name in record["times"] if name != "ours")
    for level in (0.95, 0.99, 0.997, 1.0):
        yield level, {kind: _microseconds(kind, level)(record) for kind in kinds}


_SIZE = {"codes × queries": _sizes}
_BITS_K = {"bits": _of_case("bits"), "k": _of_case("k")}
_RATES = {"pyhash": _gcodes("ours"), "FAISS": _gcodes("FAISS"), "numpy": _gcodes("numpy")}
_AGAINST = {"times FAISS (which)": _faiss_ratio, "target": _target}
_AGAINST_SCAN = {
    "queries at once": _of_case("queries"),
    "scan": _microseconds("scan"),
    "chosen": _microseconds("ours"),
    "times the scan": _ratio("scan", "{:.2f}"),
    "target": _target,
}

_PIPELINES = {
    "pyhash": "ours",
    "numpy + FAISS flat": "numpy + FAISS flat",
    "numpy + FAISS IVF": "numpy + FAISS IVF",
}


def _stage_seconds(name):
    return lambda r: f"{targets.seconds(r, name):.3g}"


def _stage_megabytes(name):
    return lambda r: f"{r['notes']['bytes'][name] / 1e6:.0f}"


_LEVELS = ("scalar", "portable", "neon", "avx2", "avx512")


def _at_level(level):
    def cell(record):
        name = "ours" if record["notes"]["best"] == level else level
        return f"{targets.seconds(record, name) * 1e3:.3g}" if name in record["times"] else "not run"

    return cell


_SECTIONS = {
    "top_k": (
        "The k nearest",
        'By scans, CodeIndex(layout="scan"), in 10⁹ codes × queries per second of CPU time, one thread. *distinct*: '
        "the number of distinct codes, if the index found that codes repeat and scanned each distinct code once.",
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
    "multi_index": (
        "The layout that an index chooses",
        'CodeIndex as it comes against CodeIndex(layout="scan"), one thread, in microseconds of CPU time a query. '
        "Each call has other queries than the one before. At 128 bits tables may take 170 bytes a code. *mixture*: "
        "signs of random projections of points from 2,000 Gaussians. *itq*: the same points, with projections that "
        "ITQ learned. The other codes are those of the table above. *bytes*: of tables, for each code.",
        {
            "codes": _of_case("data"),
            "n": lambda r: f"{r['case']['codes']:,}",
            **_BITS_K,
            **_AGAINST_SCAN,
            "layout": _note("layout"),
            "bytes": _note("bytes a code", "{:.0f}"),
        },
    ),
    "multi_index_radius": (
        "All within a radius, by the layout that an index chooses",
        "As in the table above.",
        {
            "codes": _of_case("data"),
            "n": lambda r: f"{r['case']['codes']:,}",
            "bits": _of_case("bits"),
            "d ≤": _of_case("radius"),
            **_AGAINST_SCAN,
            "layout": _note("layout"),
        },
    ),
    "multi_index_weighted": (
        "Weighted distance, by the layout that an index chooses",
        "As in the table above.",
        {
            "codes": _of_case("data"),
            "n": lambda r: f"{r['case']['codes']:,}",
            **_BITS_K,
            **_AGAINST_SCAN,
        },
    ),
    "growth": (
        "Time by number of codes",
        "64 centers, 64 bits, the 10 nearest, one thread, in microseconds of CPU time a query. Of 10⁸ codes, tables "
        "were asked for.",
        {
            "codes": lambda r: f"{r['case']['codes']:,}",
            "queries at once": _of_case("queries"),
            "pyhash": _microseconds("ours"),
            "pyhash, scan": _microseconds("scan"),
            "FAISS flat": _microseconds("FAISS flat"),
            "layout": _note("layout"),
            "times the scan": _ratio("scan", "{:.1f}"),
            "times FAISS": _ratio("FAISS", "{:.1f}"),
        },
    ),
    "learned": (
        "Learned codes",
        "Codes that SHOH learned from the built-in data, repeated to a million. Queries are encoded texts. In 10⁹ "
        "codes × queries per second.",
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
        "In 10⁹ codes × queries per second. pyhash is exact in float64. FAISS (IndexPQFastScan over nibbles) quantizes "
        "distances to 8 bits. numpy uses a float32 product and argpartition. Recall is the fraction of their hits "
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
        "In wall time.",
        {
            "distance": lambda r: r["case"].get("distance", "Hamming"),
            "codes": _of_case("data"),
            **_SIZE,
            **_BITS_K,
            "1 thread, s": _seconds("ours, 1 thread"),
            "2 threads, s": _seconds("ours"),
            "times as fast": lambda r: f"{targets.ratio(r, 'ours, 1 thread'):.2f}",
            "target": _target,
        },
    ),
    "shards": (
        "An index in shards",
        "The median wall time of a call that finds the 10 nearest, against one index of the same codes with as "
        "many threads. *workers*: two processes of one thread each, beside the client and the scheduler on the same "
        "cores; one shard is in one of them. *here*: the shards are in the process that asks. How it scales: "
        "[howto/scale-out.md](howto/scale-out.md).",
        {
            "codes × queries": _sizes,
            "shards": _of_case("shards"),
            "where": _of_case("where"),
            "one index, ms": _milliseconds("one index"),
            "shards, ms": _milliseconds("ours"),
            "more, ms": lambda r: f"{(targets.seconds(r, 'ours') - targets.seconds(r, 'one index')) * 1e3:.2f}",
            "more, %": lambda r: f"{(1 / targets.ratio(r, 'one index') - 1) * 100:.0f}",
            "target": _target,
        },
    ),
    "map": (
        "Mean average precision",
        "With 24 labels. CPU time for one thread, wall time for all threads.",
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
        "Queries of 1500 features against 87 classes, where each class is one label set, compared with the plain "
        "projection of the same model. In CPU time.",
        {
            "label sets × queries": _sizes,
            "bits": _of_case("bits"),
            "posterior, s": _seconds("ours"),
            "projection, s": _seconds("bits"),
            "times the plain projection's speed": lambda r: f"{targets.ratio(r, 'bits'):.2f}",
            "target": _target,
        },
    ),
    "bayes": (
        "Bayes codes",
        "Codes and weights of queries whose posterior is a softmax of this sharpness over the classes, against the "
        "same steps in numpy. In CPU time, with one thread.",
        {
            "classes": _of_case("classes"),
            "queries": _of_case("queries"),
            "bits": _of_case("bits"),
            "sharpness": _of_case("sharpness"),
            "pyhash, s": _seconds("ours"),
            "times numpy": _ratio("numpy"),
        },
    ),
    "descent": (
        "Discrete cyclic descent",
        "7 sweeps in float32, with all threads, in wall time.",
        {
            "codes": _sizes,
            "bits": _of_case("bits"),
            "pyhash, s": _seconds("ours"),
            "times numpy float32": _ratio("numpy float32"),
            "times numpy float64": _ratio("numpy float64"),
            "target": _targets_by_peer,
        },
    ),
    "encode": (
        "Encoding",
        "Features to packed codes, against the float32 matrix products that are the least that this needs. *RBF*: "
        "1,500 anchors. In CPU time, with one thread.",
        {
            "rows": lambda r: f"{r['case']['codes']:,}",
            "features": lambda r: f"{r['case']['width']}, {r['case']['features']}",
            "bits": _of_case("bits"),
            "pyhash, s": _seconds("ours"),
            "products, s": _seconds("matrix products"),
            "products / pyhash": _ratio("matrix products", "{:.2f}"),
            "target": _target,
        },
    ),
    "answers": (
        "From labels to answers",
        "Ten million rows with two modalities of 64 features and one of 87 labels come in chunks of 100,000. pyhash "
        "learns from all (BOCH, linear), encodes the images, and finds the 10 nearest of 1,000 texts in one call. "
        "numpy learns projections to random codes of the labels by least squares, and FAISS searches (IVF: 4,096 "
        "lists, nprobe 16). CPU seconds with one thread, and the most memory that the process had in that stage; the "
        "rows are not timed. *precision*: the fraction of hits with the label of the query.",
        {
            "stage": _of_case("stage"),
            **{
                f"{label}, {unit}": column(name)
                for label, name in _PIPELINES.items()
                for unit, column in (("s", _stage_seconds), ("MB", _stage_megabytes))
            },
            "precision": lambda r: ", ".join(f"{value:.3f}" for value in r["notes"]["precision"].values()),
        },
    ),
    "levels": (
        "The kernels of each CPU level",
        "Milliseconds of CPU time, one thread. The levels are those that this machine runs; the kernels of others give "
        "the same answers in the tests, but are not timed here.",
        {
            "kernel": _of_case("kernel"),
            "n": lambda r: f"{r['case']['codes']:,}",
            **{level: _at_level(level) for level in _LEVELS},
        },
    ),
    "stream": (
        "A stream of ten million rows",
        "Chunks of 10,000 rows with two modalities, one thread. The chunk after the last is learned in turns by the "
        "model as it was before the 10th chunk and by the model of the whole stream: a ratio of 1 means that a chunk "
        "costs the same at the end. Memory is that of the process. The CPU hours for 10⁹ rows follow from the time of "
        "a chunk, since neither time nor memory grows.",
        {
            "rows": lambda r: f"{r['case']['codes']:,}",
            "method": _of_case("method"),
            "features": _of_case("features"),
            "bits": _of_case("bits"),
            "seconds a chunk": _seconds("ours"),
            "times as fast as chunk 10": _ratio("chunk 10", "{:.2f}"),
            "MB at chunk 10": _note("MB at chunk 10", "{:.0f}"),
            "MB at the end": _note("MB at the end", "{:.0f}"),
            "hours for 10⁹": lambda r: f"{targets.seconds(r, 'ours') * 1e9 / r['notes']['rows a chunk'] / 3600:.1f}",
            "target": _target,
        },
    ),
}


# --- its charts -------------------------------------------------------------------------------------------------------


def _charts(drawn, folder):
    if not drawn:
        return ""
    text = _wrapped(
        "Throughput is that of scans of uniform codes, k = 10, one thread. Dashed: the limit for one query that reads "
        "every code completely, given by the memory bandwidth. Dotted: the rate of one core that only counts the bits "
        "of each code with the instruction for it. Searches over bit planes and nibble tables count many codes at "
        "once, so they may be above."
    )
    images = [f"![{caption}]({folder}/{file})" for file, caption in drawn.items()]
    return "\n\n".join(["## Charts", text, *images])


if __name__ == "__main__":
    main(*sys.argv[1:])
