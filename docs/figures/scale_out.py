"""Draw scale_out.svg: latency and cost of search to 10^10 codes. python docs/figures/scale_out.py [FILE].

The model of docs/howto/scale-out.md: constants are measured on one machine, or assumed where they say so.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Measured, for 64-bit codes, on one core of docs/performance.md.
RATE = {1: 1.35e9, 32: 6.4e9}  # codes x queries a second, by queries of a call
CALL, WORKER = 0.4e-3, 0.7e-3  # seconds of a call, and of the client for each worker in it
HIT = 0.22e-6  # seconds to merge one hit of one worker
BYTES = 25  # of a code in memory: code 8, id 8, layout 9

# Assumed, for one machine.
CORES, USABLE, BANDWIDTH = 16, 48e9, 100e9  # cores; bytes of memory for the index, of 64 GB; bytes a second
ROUND_TRIP, NETWORK = 0.2e-3, 1.25e9  # seconds; bytes a second at the client (10 Gbit/s)
DOLLARS = 0.50  # an hour
HIT_BYTES, K, HOURS = 12, 10, 730


def latency(n, n_machines, n_queries):
    """Return the seconds of a call over n codes, one worker on each machine."""
    per_machine = n / n_machines
    rate = min(CORES * RATE[n_queries], BANDWIDTH / (BYTES - 16) * n_queries)
    hits = n_machines * n_queries * K
    return (
        CALL
        + WORKER * n_machines
        + per_machine * n_queries / rate
        + HIT * hits
        + ROUND_TRIP
        + hits * HIT_BYTES / NETWORK
    )


def machines(n, n_queries, limit):
    """Return the fewest machines that hold n codes and answer within a limit of seconds; None if no number does."""
    fewest = max(1, int(np.ceil(n * BYTES / USABLE)))
    return next((m for m in range(fewest, 257) if latency(n, m, n_queries) <= limit), None)


def draw(path):
    """Write the chart."""
    sizes = np.logspace(7, 10, 61)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6))
    for n_machines, color in ((1, "#8aa9c4"), (4, "#4a7fb0"), (16, "#1f4e79")):
        for n_queries, style in ((1, ":"), (32, "-")):
            fits = sizes * BYTES <= n_machines * USABLE
            seconds = np.array([latency(n, n_machines, n_queries) for n in sizes])
            label = f"{n_machines} machine{'s' * (n_machines > 1)}" if n_queries == 32 else None
            left.plot(sizes[fits], 1e3 * seconds[fits], style, color=color, label=label)
            if not fits[-1]:
                left.plot(sizes[fits][-1], 1e3 * seconds[fits][-1], "o", color=color, markersize=4)
    left.set(xscale="log", yscale="log", xlabel="codes of 64 bits", ylabel="ms a call")
    left.set_title("32 queries (solid), 1 query (dotted)", fontsize=10)
    left.legend(frameon=False, fontsize=9)
    memory = np.ceil(sizes * BYTES / USABLE)
    right.step(sizes, memory * DOLLARS * HOURS, color="#8aa9c4", where="post", label="as many as hold the codes")
    for limit, color in ((0.1, "#1f4e79"), (0.05, "#d1495b")):
        counts = [machines(n, 32, limit) for n in sizes]
        dollars = [np.nan if m is None else m * DOLLARS * HOURS for m in counts]
        right.plot(sizes, dollars, color=color, label=f"32 queries within {1e3 * limit:g} ms")
    right.set(xscale="log", yscale="log", xlabel="codes of 64 bits", ylabel="dollars a month")
    right.legend(frameon=False, fontsize=9)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(path, metadata={"Date": None} if str(path).endswith("svg") else None)


if __name__ == "__main__":
    matplotlib.rcParams["svg.hashsalt"] = "pyhash"
    draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).with_suffix(".svg"))
