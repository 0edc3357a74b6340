"""Charts of throughput, with the limits of the machine."""

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
    return drawn


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
    ax.grid(alpha=0.3)
    fig.legend(fontsize="small", loc="outside lower center", ncols=2)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


_AXES = {"bits": "bits of a code", "codes": "codes", "queries": "queries at once"}


def _draw_roofs(ax, records, axis, roof):
    at = [r["case"][axis] for r in records]
    counted = [roof["words_per_second"] / max(1, r["case"]["bits"] / 64) / 1e9 for r in records]
    ax.plot(at, counted, ":", color="black", label="bits counted in cache, one core")
    if axis != "codes":  # fewer codes stay in a cache
        read = [roof["bytes_per_second"] / (r["case"]["bits"] / 8) / 1e9 for r in records]
        ax.plot(at, read, "--", color="black", label="one query, memory read by one core")
