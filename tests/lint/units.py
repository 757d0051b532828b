#!/usr/bin/env python3
"""Checks that systemd never gives a service of ours up: units.py, or units.py --self-test.

By default it does after five starts within ten seconds, for good. A name service or a disk that is not there for a
moment at boot would leave a machine that can be reached by nothing else than its agent. What no time mends is for the
one exit status that says so: a node that its relay has deregistered would else fail every few seconds for ever."""

import configparser
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = sorted(ROOT.glob("*/*.service.in"))
NODE = ROOT / "node/hawser-node.service.in"
STATUSES = ROOT / "node/monitor/monitor.h"


def gone():
    """The exit status of an agent whose node is deregistered."""
    return re.search(r"^#define UPLINK_EXIT_GONE\s+(\d+)", STATUSES.read_text(encoding="utf-8"), re.M)[1]


def trouble(text, final=None):
    """`final` is the one exit status after which it is not started again."""
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str
    unit.read_string(text)
    if unit.get("Service", "Restart", fallback=None) != "always":
        return "is not started again whenever it ends: Restart=always"
    if unit.get("Unit", "StartLimitIntervalSec", fallback=None) != "0":
        return "is given up after a few starts that fail: StartLimitIntervalSec=0 in [Unit]"
    if unit.get("Service", "RestartPreventExitStatus", fallback=None) != final:
        return f"is started again, or not, after the wrong exit statuses: RestartPreventExitStatus={final or ''}"
    return None


def self_test():
    good = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\n"
    assert trouble(good) is None
    assert "given up" in trouble(good.replace("StartLimit", "# StartLimit"))
    assert "given up" in trouble("[Unit]\n[Service]\nRestart=always\nStartLimitIntervalSec=0\n")
    assert "started again" in trouble(good.replace("always", "on-failure"))
    assert trouble(good + "RestartPreventExitStatus=10\n", "10") is None
    assert "wrong" in trouble(good, "10")
    assert "wrong" in trouble(good + "RestartPreventExitStatus=10\n")
    assert "wrong" in trouble(good + "RestartPreventExitStatus=1 10\n", "10")
    assert int(gone()) > 2
    return 0


def main():
    bad = []
    for path in UNITS:
        why = trouble(path.read_text(encoding="utf-8"), gone() if path == NODE else None)
        if why is not None:
            bad.append((path, why))
    for path, why in bad:
        print(f"{path.relative_to(ROOT)} {why}")
    return 1 if bad or not UNITS else 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1:] == ["--self-test"] else main())
