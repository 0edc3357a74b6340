"""Options, the fixture that times ours and its peers in turns, and the table and file of results."""

import json
import time
from pathlib import Path

import pytest

from benchmarks import machine, roofline, targets
from benchmarks.timing import Effort, time_in_turns

_RUN = pytest.StashKey()
_FULL, _QUICK = Effort(seconds=0.5, fewest=5, most=15), Effort(seconds=0.02, fewest=2, most=2)
_LIGHT = Effort(seconds=0.2, fewest=3, most=9)  # for the points of a chart


class Run:
    """One session of benchmarks and its results."""

    def __init__(self, *, quick):
        self.quick, self.machine, self.records, self.roofline = quick, machine.describe(), [], None
        self._start = time.perf_counter()

    def sized(self, n):
        """Return a number of codes, reduced in a quick run."""
        return max(n // 100, min(n, 1000)) if self.quick else n

    def effort(self, *, light):
        if self.quick:
            return _QUICK
        return _LIGHT if light else _FULL

    def add(self, *, table, case, times, clock="cpu", notes=None):
        """Keep a record and return it."""
        record = {"table": table, "case": case, "clock": clock, "notes": notes or {}, "times": times}
        self.records.append({**record, "date": self.machine["date"]})
        return self.records[-1]

    def probe_roofline(self):
        self.roofline = roofline.measure(quick=self.quick)

    def write(self, path, ran, failed, *, whole):
        """Write the results, given the ids of tests that ran and that failed. Keep in the file what was not measured.

        A run that is not `whole`, of some benchmarks only, leaves the description of the run that was.
        """
        new = {
            "machine": self.machine,
            "minutes": (time.perf_counter() - self._start) / 60,
            "quick": self.quick,
            "failed": failed,
            "roofline": self.roofline,
            "records": self.records,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        old = json.loads(path.read_text()) if path.exists() and not self.quick else None
        path.write_text(json.dumps(new if old is None else self._merged(old, new, ran, whole=whole), indent=1) + "\n")

    def _merged(self, old, new, ran, *, whole):
        if old["machine"]["cpu"] != new["machine"]["cpu"]:
            raise ValueError(f"the file holds results of another CPU, {old['machine']['cpu']}: write to another file")
        key = (lambda r: r["table"]) if whole else (lambda r: (r["table"], str(r["case"])))
        measured = {key(record) for record in new["records"]}
        kept = [record for record in old["records"] if key(record) not in measured]
        merged = new if whole else {**old, "roofline": new["roofline"] or old["roofline"]}
        merged["records"] = kept + new["records"]
        merged["failed"] = [test for test in old["failed"] if test not in ran] + new["failed"]
        return merged


class Comparison:
    """Interleaved timing of one function of ours and its peers, after a warm-up of each."""

    def __init__(self, benchmark, run):
        self._benchmark, self._run = benchmark, run

    def __call__(self, ours, peers, *, table, case, clock="cpu", light=False, notes=None):
        """Return the ratios of the peers' median times to ours.

        `clock` chooses the times: "cpu" of the process, or "wall" to compare numbers of threads. `light` takes fewer
        rounds.
        """
        times = time_in_turns({"ours": ours, **peers}, self._run.effort(light=light))
        record = self._run.add(table=table, case=case, times=times, clock=clock, notes=notes)
        ratios = {name: targets.ratio(record, name) for name in peers}
        self._benchmark.extra_info["ratios"] = ratios
        self._benchmark.pedantic(ours.run, setup=lambda: ((ours.prepare(),), {}), rounds=2)
        return ratios


def pytest_addoption(parser):
    group = parser.getgroup("benchmarks of this project")
    group.addoption("--quick", action="store_true", help="small data and few rounds, to check that the benchmarks work")
    group.addoption("--large", action="store_true", help="only the benchmarks that take long, which others leave out")
    group.addoption("--record", type=Path, metavar="FILE", help="merge the results into this file, as JSON")


def pytest_configure(config):
    config.addinivalue_line("markers", "large: takes minutes, or much memory")
    config.stash[_RUN] = Run(quick=config.getoption("--quick"))


def pytest_collection_modifyitems(config, items):
    chosen, others = [], []
    for item in items:
        is_large = item.get_closest_marker("large") is not None
        (chosen if config.getoption("--quick") or is_large == config.getoption("--large") else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


@pytest.fixture(scope="session")
def run(request):
    return request.config.stash[_RUN]


@pytest.fixture
def compare(benchmark, run):
    return Comparison(benchmark, run)


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's own table
def pytest_terminal_summary(terminalreporter, config):
    run = config.stash[_RUN]
    reports = {outcome: terminalreporter.stats.get(outcome, []) for outcome in ("failed", "error", "passed")}
    failed = [report.nodeid for outcome in ("failed", "error") for report in reports[outcome]]
    ran = {report.nodeid for of_outcome in reports.values() for report in of_outcome}
    if config.getoption("--record"):
        whole = not (config.getoption("--large") or config.getoption("keyword"))
        run.write(config.getoption("--record"), ran, failed, whole=whole)
    if not run.records:
        return
    terminalreporter.section("ratios of medians, interleaved")
    judged = missed = 0
    for record in run.records:
        terminalreporter.write_line("")
        terminalreporter.write_line(f"{record['table']}: {_in_words(record)}")
        for peer in [name for name in record["times"] if name != "ours"]:
            terminalreporter.write_line(_peer_line(record, peer))
        for verdict in targets.verdicts(record):
            judged, missed = judged + 1, missed + (not verdict.met)
            line = f"  {verdict.ratio:8.2f} x {verdict.peer}: {verdict}"
            terminalreporter.write_line(line, green=verdict.met, red=not verdict.met, bold=not verdict.met)
    if judged:  # there are no targets for the sizes of a quick run
        terminalreporter.section(f"{missed} of {judged} targets NOT MET" if missed else f"all {judged} targets met")


def _in_words(record):
    known = {**record["case"], **record["notes"]}
    return ", ".join(f"{name} {value}" for name, value in known.items() if not isinstance(value, dict))


def _peer_line(record, peer):
    theirs, ours = targets.seconds(record, peer), targets.seconds(record, "ours")
    share = record["times"][peer]["share"]
    part = "" if share >= 1 else f", timed on {share:.2%} of the queries"
    part += f", recall {record['notes']['recall'][peer]:.3f}" if "recall" in record["notes"] else ""
    return f"  {theirs / ours:8.2f} x {peer:<26} ({theirs * 1e3:.2f} ms / {ours * 1e3:.2f} ms {record['clock']}{part})"
