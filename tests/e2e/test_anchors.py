"""Heads of the ledger that a relay keeps outside of its own directory: in a file, and by a command."""

import os
import re
import subprocess
import urllib.request

import pytest

from support import merkle
from support.relay import PATIENCE, program, wait_until


def notes(path):
    """The heads in a file of anchors."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [merkle.parse_head(text) for text in re.findall(r"hawser/.*?\n\n\u2014 [^\n]*\n", f.read(), re.S)]


def metric(relay, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{relay.metrics_port}/metrics", timeout=PATIENCE) as answer:
        return float(re.search(rf"(?m)^hawser_{name} (\S+)$", answer.read().decode())[1])


def helper_of(relay):
    """The process beside the relay that runs the command."""
    return subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(relay.pid)], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.split()


def test_heads_go_into_a_file_and_to_a_command(relays, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    file, taken = outside / "heads", outside / "taken"
    relay = relays(anchor_file=file, anchor_command=f"cat >> {taken}", anchor_seconds=1)
    pid, comm = helper_of(relay)
    assert comm == "hawser-anchor"
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        assert "Seccomp:\t0" in f.read()  # and so may start a program, which the relay may not
    assert set(os.listdir(f"/proc/{pid}/fd")) - {"0", "1", "2"} and len(os.listdir(f"/proc/{pid}/fd")) <= 5
    wait_until(lambda: len(notes(file)) >= 1 and len(notes(taken)) >= 1, "the first heads")
    assert metric(relay, "anchor_file_failing") == metric(relay, "anchor_command_failing") == 0
    wait_until(lambda: metric(relay, "anchor_command_entries") > 0, "the command's end to be heard of")
    relay.stop()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the process that runs the command to end with the relay")
    last = notes(file)[-1].size  # the end of the relay is in it
    done = subprocess.run([program("hawser"), "audit", "verify", "--dir", relay.dir, "--head", str(file)], text=True,
                          check=False, timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and f"{last} entries" in done.stdout, done.stdout


def test_a_command_that_fails_is_told_and_holds_up_nothing(relays, tmp_path):
    file, gate = tmp_path / "heads", tmp_path / "gate"
    relay = relays(anchor_file=file, anchor_seconds=1, anchor_command_seconds=1,
                   anchor_command=f"test -e {gate} || {{ echo no way out >&2; sleep 1000 & exit 3; }}; cat > /dev/null")
    relay.wait_for_log(r"anchor.failed way=command why=\"it ended with status 3: no way out\"")
    wait_until(lambda: notes(file), "the file, which does not wait for the command")
    assert metric(relay, "anchor_command_failing") == 1 and metric(relay, "anchor_file_failing") == 0
    gate.touch()
    relay.wait_for_log("anchor.resumed way=command")
    # What it has started in the background is gone with it.
    left = subprocess.run(["pgrep", "-f", "^sleep 1000$"], check=False, text=True, stdout=subprocess.PIPE).stdout.split()
    assert not [p for p in left if os.path.exists(f"/proc/{p}") and os.readlink(f"/proc/{p}/cwd") == os.getcwd()]


@pytest.mark.parametrize("command, said", [("exec sleep 600", ""), ("exec yes", ": y")])
def test_a_command_that_does_not_end_is_ended(relays, command, said):
    relay = relays(anchor_command=command, anchor_seconds=1, anchor_command_seconds=1)
    relay.wait_for_log(rf"anchor.failed way=command why=\"it was ended after 1 s{said}\"")
    relay.stop()


def test_an_anchor_file_that_cannot_be_is_said_at_the_start(relays, tmp_path):
    relay = relays(anchor_file=tmp_path / "heads")
    relay.stop()
    relay.set(anchor_file=tmp_path / "nowhere" / "heads")
    done = subprocess.run([program("hawser-relay"), "run", "--dir", relay.dir, "--allow-root"], text=True, check=False,
                          timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 1 and "anchor_file: cannot write in" in done.stdout, done.stdout
