#!/usr/bin/env python3
"""Checks that systemd never gives a service of ours up: units.py, or units.py --self-test.

By default it does after five starts within ten seconds, for good. A name service or a disk that is not there for a
moment at boot would leave a machine that can be reached by nothing else than its agent."""

import configparser
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = sorted(ROOT.glob("*/*.service.in"))


def trouble(text):
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str
    unit.read_string(text)
    if unit.get("Service", "Restart", fallback=None) != "always":
        return "is not started again whenever it ends: Restart=always"
    if unit.get("Unit", "StartLimitIntervalSec", fallback=None) != "0":
        return "is given up after a few starts that fail: StartLimitIntervalSec=0 in [Unit]"
    return None


def self_test():
    good = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\n"
    assert trouble(good) is None
    assert "given up" in trouble(good.replace("StartLimit", "# StartLimit"))
    assert "given up" in trouble("[Unit]\n[Service]\nRestart=always\nStartLimitIntervalSec=0\n")
    assert "started again" in trouble(good.replace("always", "on-failure"))
    return 0


def main():
    bad = [(path, why) for path in UNITS if (why := trouble(path.read_text(encoding="utf-8"))) is not None]
    for path, why in bad:
        print(f"{path.relative_to(ROOT)} {why}")
    return 1 if bad or not UNITS else 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1:] == ["--self-test"] else main())
