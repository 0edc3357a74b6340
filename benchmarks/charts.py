"""Charts: throughput with the limits of the machine, time by number of codes, recall by time."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks import targets

_SERIES = {
    "pyhash": ("ours", "o-", "tab:blue"),
    "FAISS, its fastest": ("FAISS", "s-", "tab:orange"),
    "numpy": ("numpy", "^-", "tab:green"),
    "usearch exact": ("usearch", "v-", "tab:red"),
}


def draw(results, folder: Path) -> dict[str, str]:
    """Draw the charts for which there are records; return {file name: caption}."""
    plt.rcParams.update({"svg.hashsalt": "pyhash", "svg.fonttype": "none", "font.family": "sans-serif"})
    folder.mkdir(parents=True, exist_ok=True)
    roof = results["roofline"]
    of = {name: [r for r in results["records"] if r["table"] == name] for name in ("by_bits", "by_codes", "by_batch")}
    of["batch_by_bits"] = _many_queries(results["records"])
    charts = {
        "bits-batch.svg": ("batch_by_bits", "bits", "Many queries at once, by code length"),
        "bits-one.svg": ("by_bits", "bits", "One query, codes larger than the caches, by code length"),
        "codes.svg": ("by_codes", "codes", "100 queries at once, by number of codes, 64 bits"),
        "batch.svg": ("by_batch", "queries", "By queries at once, 64 bits, codes larger than the caches"),
    }
    drawn = {}
    for file, (table, axis, caption) in charts.items():
        if of[table]:
            _chart(of[table], axis, caption, roof, folder / file)
            drawn[file] = caption
    growth = [r for r in results["records"] if r["table"] == "growth"]
    if growth:
        drawn["growth.svg"] = "Time of a query by number of codes, 64 bits, k = 10"
        _growth(growth, drawn["growth.svg"], folder / "growth.svg")
    curves = [r for r in results["records"] if r["table"] == "curves"]
    for n, data in dict.fromkeys((r["case"]["codes"], r["case"]["data"]) for r in curves):
        of_set = [r for r in curves if (r["case"]["codes"], r["case"]["data"]) == (n, data)]
        file = f"recall-{data}-{n}.svg"
        drawn[file] = f"Recall by time, {n:,} codes: {data}"
        _recall(of_set, drawn[file], folder / file)
    return drawn


def microseconds(record, name):
    """Return microseconds of CPU time a query."""
    return targets.seconds(record, name) / record["case"]["queries"] * 1e6


_GROWING = {
    "pyhash": ("ours", "o", "tab:blue"),
    "pyhash, scan": ("scan", "D", "tab:cyan"),
    "FAISS flat": ("FAISS flat", "s", "tab:orange"),
}


def _growth(records, caption, path):
    fig, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    for at_once, line in ((1, "-"), (32, "--")):
        of_batch = sorted((r for r in records if r["case"]["queries"] == at_once), key=lambda r: r["case"]["codes"])
        for label, (name, marker, color) in _GROWING.items():
            points = [(r["case"]["codes"], microseconds(r, name)) for r in of_batch]
            if points:
                ax.plot(*zip(*points, strict=True), marker + line, color=color, label=f"{label}, {at_once} at once")
    ax.set(xscale="log", yscale="log", xlabel="codes", ylabel="microseconds a query", title=caption)
    _finish(fig, ax, path)


_KINDS = {
    "FAISS-IVF": ("s", "tab:orange"),
    "FAISS-HNSW": ("^", "tab:green"),
    "FAISS-MultiHash": ("P", "tab:purple"),
    "usearch": ("v", "tab:red"),
}


def _recall(records, caption, path):
    fig, axes = plt.subplots(1, len(records), figsize=(4.8 * len(records), 4.4), layout="constrained", squeeze=False)
    for ax, record in zip(axes[0], sorted(records, key=lambda r: r["case"]["queries"]), strict=True):
        recall = record["notes"]["recall"]
        for kind, (marker, color) in _KINDS.items():
            points = [(microseconds(record, name), recall[name]) for name in record["times"] if name.startswith(kind)]
            if points:
                ax.plot(*zip(*points, strict=True), marker + "-", color=color, label=kind.replace("-", " "))
        ax.plot(microseconds(record, "ours"), 1.0, "o", color="tab:blue", markersize=9, label="pyhash, exact")
        at_once = record["case"]["queries"]
        ax.set(xscale="log", ylim=(0.7, 1.01), xlabel="microseconds a query", ylabel="recall")
        ax.set_title("one query a call" if at_once == 1 else f"{at_once} queries a call", fontsize="medium")
    fig.suptitle(caption)
    _finish(fig, axes[0, 0], path, [axes[0, 1]] if len(records) > 1 else [])


def _finish(fig, ax, path, others=()):
    for each in (ax, *others):
        each.grid(alpha=0.3)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fig.legend(handles.values(), handles.keys(), fontsize="small", loc="outside lower center", ncols=3)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def _many_queries(records):
    """Return the uniform records with k = 10 of the size that was measured at the most code lengths."""
    uniform = [r for r in records if r["table"] == "top_k" and r["case"]["data"] == "uniform" and r["case"]["k"] == 10]
    sizes = [(r["case"]["codes"], r["case"]["queries"]) for r in uniform]
    widest = max(sizes, key=sizes.count, default=None)
    return [r for r, size in zip(uniform, sizes, strict=True) if size == widest]


def throughput(record, name):
    """Return 10^9 codes x queries per second."""
    return record["case"]["codes"] * record["case"]["queries"] / targets.seconds(record, name) / 1e9


def _chart(records, axis, caption, roof, path):
    records = sorted(records, key=lambda r: r["case"][axis])
    fig, ax = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
    for label, (prefix, style, color) in _SERIES.items():
        named = [(r, targets.fastest(r, prefix)) for r in records]
        points = [(r["case"][axis], throughput(r, name)) for r, name in named if name is not None]
        if points:
            ax.plot(*zip(*points, strict=True), style, color=color, label=label)
    if roof is not None:
        _draw_roofs(ax, records, axis, roof)
    ax.set(xscale="log", yscale="log", xlabel=_AXES[axis], ylabel="10⁹ codes × queries per second", title=caption)
    if axis != "codes":
        ticks = [r["case"][axis] for r in records]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    _finish(fig, ax, path)


_AXES = {"bits": "bits of a code", "codes": "codes", "queries": "queries at once"}


def _draw_roofs(ax, records, axis, roof):
    at = [r["case"][axis] for r in records]
    counted = [roof["words_per_second"] / max(1, r["case"]["bits"] / 64) / 1e9 for r in records]
    ax.plot(at, counted, ":", color="black", label="bits counted in cache, one core")
    if axis != "codes":  # fewer codes stay in a cache
        read = [roof["bytes_per_second"] / (r["case"]["bits"] / 8) / 1e9 for r in records]
        ax.plot(at, read, "--", color="black", label="one query, memory read by one core")
