"""Times ours and its peers in turns, in one run: what counts is the ratio of the medians, not the seconds."""

import statistics
import time

import pytest

_RATIOS = []


class Comparison:
    """Interleaved timing of one function of ours and its peers."""

    def __init__(self, benchmark, name):
        self._benchmark, self._name = benchmark, name

    def __call__(self, ours, peers, *, rounds):
        """Ratios of the peers' median times to ours. Each function gets its own fresh argument from its `prepare`.

        `ours` and every value of `peers` are pairs (prepare, run); only run(prepare()) is timed, without prepare.
        """
        times = {name: [] for name in ("ours", *peers)}
        for _ in range(rounds):
            for name, (prepare, run) in {"ours": ours, **peers}.items():
                argument = prepare()
                start = time.perf_counter()
                run(argument)
                times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(values) for name, values in times.items()}
        ratios = {name: medians[name] / medians["ours"] for name in peers}
        _RATIOS.extend((self._name, name, medians[name], medians["ours"], ratio) for name, ratio in ratios.items())
        self._benchmark.extra_info["ratios"] = ratios
        prepare, run = ours
        self._benchmark.pedantic(run, setup=lambda: ((prepare(),), {}), rounds=rounds)
        return ratios


@pytest.fixture
def compare(benchmark, request):
    return Comparison(benchmark, request.node.name)


def pytest_terminal_summary(terminalreporter):
    if not _RATIOS:
        return
    terminalreporter.section("ratios of medians, interleaved")
    for benchmark, peer, theirs, ours, ratio in _RATIOS:
        terminalreporter.write_line(f"{benchmark:<44} {ratio:6.1f} x {peer:<28} ({theirs:.3f} s / {ours:.3f} s)")
