#!/usr/bin/env python3
"""What proving takes: `hawser audit verify` of a relay's directory with a million entries and a
gigabyte of recordings, with and without the master key.

make_past.c fills the directory with the code of a relay. A gigabyte is one of what shells showed
(`shown`), which is stored in a fifth of that, and one of files as they are stored (`stored`), whose
bytes nothing makes smaller. Its files were just written, so that they are read from memory; --cold
has the kernel forget them before each run, as root."""

import os
import subprocess
import sys
import time

import fleet
import measure

TITLE = "verify: a relay's directory, offline"
KINDS = {"shown": [], "stored": ["--dense"]}


def make(daemons, name, entries, mib, *more):
    """A relay's directory with a past; nothing runs on it."""
    path = os.path.join(daemons.folder, name)
    os.mkdir(path, 0o755)
    fleet.run([fleet.existing(os.path.join(fleet.BUILD, "hawser-relay")), "init", "--dir", path,
               "--listen", f"127.0.0.1:{fleet.free_port()}"])
    begin = time.monotonic()
    fleet.run([fleet.tool("make_past"), path, "--entries", str(entries), "--mib", str(mib), *more])
    measure.progress(f"{name}: made in {time.monotonic() - begin:.0f} s: recordings "
                     f"{size(path, 'recordings') / 1e6:.0f} MB, ledger "
                     f"{size(path, 'ledger') / 1e6:.0f} MB")
    return path


def size(path, folder):
    where = os.path.join(path, folder)
    return sum(os.path.getsize(os.path.join(where, name)) for name in os.listdir(where))


def forget(path):
    os.sync()
    for folder, _, names in os.walk(path):
        for name in names:
            fd = os.open(os.path.join(folder, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def verify(path, *more, cold=False):
    """Seconds, and CPU seconds; it must find all of it good."""
    if cold:
        forget(path)
    begin = time.monotonic()
    child = subprocess.Popen([fleet.existing(os.path.join(fleet.BUILD, "hawser")), "audit",
                              "verify", "--dir", path, *more], stdout=subprocess.PIPE, text=True)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - begin
    if child.returncode != 0 or not said.rstrip().endswith("INTACT"):
        raise fleet.Failure(f"{path} is not intact ({child.returncode}):\n{said}")
    return took, used.ru_utime + used.ru_stime


def figures(name, path, args):
    ways = {"keys unchecked": [], "contents opened": ["--master-key", f"{path}/master.key"]}
    for way, more in ways.items():
        runs = [verify(path, *more, cold=args.cold) for _ in range(args.runs)]
        yield measure.Figure(f"{name}, {way}", "s", measure.median([r[0] for r in runs]),
                             of="ours", must=5)
        yield measure.Figure("  CPU of that", "s", measure.median([r[1] for r in runs]))


def bench(args):
    rows = []
    with fleet.folder() as daemons:
        for kind, more in KINDS.items():
            if kind not in args.only:
                continue
            path = make(daemons, kind, 0, args.mib, *more)
            rows += figures(f"{args.mib} MiB of recordings, {kind}", path, args)
        if "entries" in args.only:
            path = make(daemons, "entries", args.entries, 1)
            rows += figures(f"{args.entries} entries", path, args)
    return rows


def options(parser):
    parser.add_argument("--entries", type=int, default=1000000)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","),
                        default=["shown", "stored", "entries"], help="some of shown,stored,entries")
    parser.add_argument("--cold", action="store_true", help="files that the kernel has forgotten")


if __name__ == "__main__":
    sys.exit(measure.main(TITLE, bench, options))
