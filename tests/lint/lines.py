#!/usr/bin/env python3
"""Checks that some files together stay small: lines.py MOST FILE...

Whoever wants to trust a process that is root has to read it whole."""

import sys


def main():
    most, total = int(sys.argv[1]), 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as f:
            total += sum(1 for _ in f)
    if not sys.argv[2:] or total > most:
        print(f"{len(sys.argv) - 2} files have {total} lines; they may have {most}: move out what need not be root's")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
