#!/usr/bin/env python3
"""Checks which shared libraries a program needs: linkage.py PROGRAM ALLOWED..., or
linkage.py --without PROGRAM FORBIDDEN...

The monitor runs as root, and once more as the holder of each shell: every library in it is code
that could be attacked there, and memory that is paid for each shell."""

import re
import subprocess
import sys


def main():
    without = sys.argv[1] == "--without"
    program, named = sys.argv[1 + without], set(sys.argv[2 + without:])
    out = subprocess.run(["readelf", "-d", program], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", out)
    extra = [lib for lib in needed if (lib.split(".so")[0] in named) == without]
    if extra:
        print(f"{program} needs {', '.join(extra)}")
    return 1 if extra else 0


if __name__ == "__main__":
    sys.exit(main())
