"""What every bench shares: reading /proc, and saying what was measured beside a peer and a target."""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Optional

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Failure(Exception):
    """Something did not work. A target that is missed is no failure."""


# ---- processes -----------------------------------------------------------------------------------


def _stat(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
        return f.read().strip()


def family(*pids):
    """The processes and all that descend from them."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
            except OSError:
                pass  # it has just ended
    found = list(pids)
    for parent in found:
        found += (child for child in children.get(parent, []) if child not in pids)
    return found


def cpu(pid, reaped=False):
    """CPU seconds that the process has used; with those of the children it has waited for."""
    fields = [int(f) for f in _stat(pid)[11:15]]
    return sum(fields if reaped else fields[:2]) / TICK


def memory(pid):
    """{"Rss": KiB, "Pss": KiB, ...}"""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        rows = [line.split() for line in f][1:]
    return {row[0].rstrip(":"): int(row[1]) for row in rows}


def resident(pid):
    """Bytes; cheaper than all of memory(), for looking often."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * PAGE


class Peak:
    """Of a process's resident memory in bytes, from now on. As root alone: nobody else may have the
    kernel begin anew."""

    def __init__(self, pid):
        self.pid = pid
        try:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
                f.write("5")
        except PermissionError as e:
            raise Failure("only root can have a process's peak of memory begin anew") from e
        self.before = resident(pid)

    @property
    def now(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) * 1024


def machine_cpu():
    """CPU seconds of everything that ran on this machine, the kernel's share included."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq = (int(n) for n in f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICK


def switches(pid):
    """Context switches of all its threads, voluntary and not."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    return total


# ---- numbers -------------------------------------------------------------------------------------


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@dataclass
class Figure:
    """One row: ours, beside a peer's. What is judged is `of`: the ratio of both, their difference,
    or ours alone; smaller is better unless `higher`."""

    what: str
    unit: str
    ours: float
    peer: Optional[float] = None
    peer_name: str = ""
    of: str = "ratio"
    must: Optional[float] = None
    aim: Optional[float] = None
    higher: bool = False
    details: dict = field(default_factory=dict)

    @property
    def judged(self):
        if self.of == "ours" or self.peer is None:
            return self.ours
        return self.ours / self.peer if self.of == "ratio" else self.ours - self.peer

    def _reaches(self, target):
        return self.judged >= target if self.higher else self.judged <= target

    @property
    def verdict(self):
        if self.aim is not None and self._reaches(self.aim):
            return "aim met"
        if self.must is None:
            return ""
        return "met" if self._reaches(self.must) else "MISSED"

    @property
    def target(self):
        sign = ">=" if self.higher else "<="
        words = [f"{sign} {self.must:g}"] if self.must is not None else []
        words += [f"aim {sign} {self.aim:g}"] if self.aim is not None else []
        return ", ".join(words)

    def as_dict(self):
        return {"what": self.what, "unit": self.unit, "ours": self.ours, "peer": self.peer,
                "peer_name": self.peer_name, "of": self.of, "judged": self.judged,
                "must": self.must, "aim": self.aim, "higher_is_better": self.higher,
                "verdict": self.verdict, **self.details}


def _number(value):
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 \
        else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [c.ljust(w) if i in (0, 3) else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def print_figures(title, figures):
    print(f"\n{title}")
    rows = [("", "hawser", "peer", "", "judged", "target", "")]
    for f in figures:
        rows.append((f"{f.what}, {f.unit}", _number(f.ours), _number(f.peer), f.peer_name,
                     "" if f.peer is None and f.must is None else _number(f.judged), f.target,
                     f.verdict))
    _print_table(rows)


# ---- a bench as a program ------------------------------------------------------------------------


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def main(title, bench, options=None):
    """Runs bench(args), which returns figures. Its exit status says whether everything worked; what
    did not, and let the rest go on, is in args.failures."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    if options:
        options(parser)
    args = parser.parse_args()
    args.failures = []
    begin = time.monotonic()
    try:
        figures = bench(args)
    except Failure as e:
        print(f"{os.path.basename(sys.argv[0])}: {e}", file=sys.stderr)
        return 1
    if args.json:
        json.dump({"bench": title, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                   "seconds": round(time.monotonic() - begin, 1), "cores": os.cpu_count(),
                   "figures": [f.as_dict() for f in figures],
                   "failures": args.failures}, sys.stdout, indent=2)
        print()
    else:
        print_figures(title, figures)
    for failure in args.failures:
        print(f"{os.path.basename(sys.argv[0])}: {failure}", file=sys.stderr)
    return 1 if args.failures else 0


median = statistics.median
