"""hawser run and hawser runs: one command on a fleet, with real relays and nodes."""

import json
import os
import re
import signal
import stat
import subprocess

import pexpect
import pytest

from support.relay import PATIENCE, wait_until
from support.standing import agents, client, relay, where  # noqa: F401

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def fleet(agents):  # noqa: F811
    """Three nodes that are online."""
    return [agents(f"web-0{i}", "--tag", f"Rack={i}") for i in (1, 2, 3)]


def command_id(err):
    return re.search(UUID, err).group(0)


def commands(client, *args):
    """Those that were sent."""
    return client.json("runs", "ls", *args).get("Commands", [])


@pytest.fixture
def nothing_is_sent(client):
    before = commands(client)
    yield
    assert commands(client) == before


def waits(path):
    """A command that runs until a file is there."""
    return f"echo begun; until [ -e '{path}' ]; do sleep 0.05; done; echo over"


# --- gathering ------------------------------------------------------------------------------------


def test_equal_output_is_shown_once_with_its_nodes(client, fleet):
    done = client.run("run", "--target", "web-*", "--", "echo same")
    assert (done.returncode, done.stdout) == (0, "-- web-[01-03] (3)  exit 0\nsame\n"), done.stderr
    assert re.match(UUID + "  3 nodes, ", done.stderr)
    assert "3/3 ok" in done.stderr


def test_groups_are_parted_by_output_and_by_status(client, fleet):
    done = client.run("run", "-t", "web-01", "-t", "web-02", "-e", "100%", "--", "echo out; echo err >&2; exit 3")
    assert done.returncode == 1, done.stderr
    assert done.stdout == "-- web-[01-02] (2)  exit 3\nout\n-- stderr\nerr\n"


def test_words_are_joined_as_ssh_joins_them(client, fleet):
    assert client.ok("run", "-t", "web-01", "--", "echo", "a  b", "$((1+1))") == "-- web-01  exit 0\na b 2\n"


def test_a_script_comes_from_a_file_or_from_stdin(client, fleet, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\nlist=(a b)\necho ${list[1]}\n")
    assert client.ok("run", "-t", "web-01", "--script", str(script)).endswith("\nb\n")
    assert client.ok("run", "-t", "web-01", "-", stdin="echo from stdin\n").endswith("\nfrom stdin\n")


def test_nothing_matched_is_4_and_nothing_is_sent(client, fleet, nothing_is_sent):
    err = client.fails("run", "-t", "db-*", "--", "true", code=4)
    assert "db-*" in err
    err = client.fails("run", "-t", "web-01", "-t", "tag:Rack=9", "--", "true", code=4)


def test_failures_past_the_limit_stop_it_with_2(client, fleet):
    done = client.run("run", "-t", "web-*", "-c", "1", "-e", "0", "--", "false")
    assert done.returncode == 2, done.stderr
    assert "exit 1" in done.stdout and "not started" in done.stdout


def test_a_time_that_ran_out_is_124(client, fleet):
    done = client.run("run", "-t", "web-01", "--execution-timeout", "5", "--", "sleep 600")
    assert done.returncode == 124, done.stdout + done.stderr


def test_a_dry_run_says_what_it_would_do_and_sends_nothing(client, fleet, nothing_is_sent):
    out = client.ok("run", "-t", "web-*", "-c", "50%", "--dry-run", "--", "rm -rf /tmp/x")
    assert "would run on 3 nodes, 1 at a time, stops when one fails" in out
    assert "web-[01-03]" in out and "commands: rm -rf /tmp/x" in out


# --- other ways of showing it ---------------------------------------------------------------------


def test_a_stream_has_each_line_with_its_node_while_it_runs(client, fleet, tmp_path):
    gate = tmp_path / "gate"
    child = client.popen("run", "-t", "web-*", "--stream", "--", waits(gate), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = sorted(child.stdout.readline() for _ in range(3))
    assert first == [f"web-0{i}: begun\n" for i in (1, 2, 3)]
    gate.touch()
    out, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, err
    assert sorted(out.splitlines()) == [f"web-0{i}: over" for i in (1, 2, 3)]


def test_differences_are_shown_against_the_most_common(client, fleet, tmp_path):
    mark = tmp_path / "first"
    command = f"echo one; echo two; mkdir '{mark}' 2>/dev/null && echo odd; true"
    out = client.ok("run", "-t", "web-*", "-c", "1", "--diff", "--", command)
    assert re.match(r"-- web-\S+ \(2\)  exit 0\none\ntwo\n-- web-0\d  exit 0\n--- web", out)
    assert "\n+odd\n" in out and "\n-odd" not in out


def test_a_log_directory_has_a_file_a_stream(client, fleet, tmp_path):
    logs = tmp_path / "logs"
    done = client.run("run", "-t", "web-*", "--log-dir", str(logs), "--", "echo out; echo err >&2")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(logs)) == ["web-01", "web-02", "web-03"]
    files = sorted(os.listdir(logs / "web-01"))
    assert [f.split(".")[-1] for f in files] == ["stderr", "stdout"]
    assert [(logs / "web-01" / f).read_text() for f in files] == ["err\n", "out\n"]
    assert all(stat.S_IMODE(os.stat(logs / "web-01" / f).st_mode) == 0o600 for f in files)


def test_json_is_one_document(client, fleet):
    made = json.loads(client.ok("run", "-t", "web-*", "-o", "json", "--", "printf 'a\\377b'"))
    assert re.fullmatch(UUID, made["Command"]["CommandId"])
    assert [i["InstanceName"] for i in sorted(made["CommandInvocations"], key=lambda i: i["InstanceName"])] == \
        ["web-01", "web-02", "web-03"]
    assert {o["StandardOutputContent"] for i in made["CommandInvocations"] for o in i["Outputs"]} == {"a\ufffdb"}
    lines = client.ok("run", "-t", "web-*", "-o", "jsonl", "--", "true").splitlines()
    assert [json.loads(line)["Status"] for line in lines] == ["Success"] * 3


def test_large_output_is_whole(client, fleet):
    out = client.run("run", "-t", "web-01", "-o", "json", "--", "seq 1 400000").stdout
    text = json.loads(out)["CommandInvocations"][0]["Outputs"][0]["StandardOutputContent"]
    assert text == "".join(f"{i}\n" for i in range(1, 400001))


# --- being interrupted ----------------------------------------------------------------------------


def begun(client, gate, *args):
    child = client.spawn("run", "-t", "web-01", "--stream", *args, "--", waits(gate))
    child.expect("web-01: begun")
    return child


def ended(child):
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_ctrl_c_asks_and_c_cancels(client, fleet, tmp_path):
    child = begun(client, tmp_path / "gate")
    child.sendintr()
    child.expect("c cancels it on all nodes")
    child.send("c")
    child.expect("being cancelled")
    assert ended(child) == 2


def test_ctrl_c_and_d_leaves_it_running(client, fleet, tmp_path):
    gate = tmp_path / "gate"
    child = begun(client, gate)
    child.sendintr()
    child.expect("d leaves it running")
    child.send("d")
    child.expect("it goes on; hawser runs output " + UUID)
    assert ended(child) == 0
    gate.touch()
    assert client.ok("runs", "output", "last") == "-- web-01  exit 0\nbegun\nover\n"


def test_ctrl_c_and_any_other_key_goes_on(client, fleet, tmp_path):
    gate = tmp_path / "gate"
    child = begun(client, gate)
    child.sendintr()
    child.expect("any other key")
    child.send("x")
    gate.touch()
    child.expect("web-01: over")
    assert ended(child) == 0


def test_ctrl_c_twice_cancels_and_leaves_with_130(client, fleet, tmp_path):
    child = begun(client, tmp_path / "gate")
    child.sendintr()
    child.expect("any other key")
    child.sendintr()
    assert ended(child) == 130
    wait_until(lambda: commands(client)[0]["Status"] == "Cancelled", "its end")


def test_without_a_terminal_a_signal_cancels_it(client, fleet, tmp_path):
    child = client.popen("run", "-t", "web-01", "--stream", "--", waits(tmp_path / "gate"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "web-01: begun\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE)
    assert child.returncode == 130, err
    assert commands(client)[0]["Status"] == "Cancelled"


def test_it_goes_on_through_a_relay_that_is_killed(client, fleet, relay, tmp_path):
    gate = tmp_path / "gate"
    child = client.popen("run", "-t", "web-*", "--stream", "--", waits(gate), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert all(child.stdout.readline().endswith(": begun\n") for _ in range(3))
    relay.kill9()
    gate.touch()
    relay.start()
    out, err = child.communicate(timeout=PATIENCE * 3)
    assert child.returncode == 0, err
    assert sorted(out.splitlines()) == [f"web-0{i}: over" for i in (1, 2, 3)]


# --- runs -----------------------------------------------------------------------------------------


def test_runs_are_listed_shown_and_named_by_a_prefix(client, fleet):
    id = command_id(client.run("run", "-t", "web-01", "--comment", "look", "--", "exit 4").stderr)
    assert client.ok("runs", "ls", "-o", "name").split()[0] == id
    assert "look" in client.ok("runs") and id[:8] in client.ok("runs", "ls")
    shown = client.ok("runs", "show", id[:6])
    assert "AWS-RunShellScript" in shown and "-- web-01  exit 4" in shown
    made = json.loads(client.ok("runs", "show", "last", "-o", "json"))
    assert made["CommandInvocations"][0]["ResponseCode"] == 4
    assert "ffffffff" in client.fails("runs", "show", "ffffffff", code=1)


def test_raw_output_is_byte_for_byte(client, fleet):
    client.run("run", "-t", "web-01", "-o", "name", "--", "printf 'a\\377\\0b'; printf err >&2; exit 1")
    done = client.run("runs", "output", "--raw", "-q", "last", "web-01", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"a\xff\0b", b"err")


def test_a_retry_goes_where_it_failed(client, fleet, tmp_path):
    mark = tmp_path / "ok"
    command = f"mkdir '{mark}' 2>/dev/null"
    assert client.run("run", "-t", "web-*", "-c", "1", "-e", "100%", "--", command).returncode == 1
    done = client.run("runs", "retry", "last")
    assert "2 nodes" in done.stderr and done.returncode == 1
    os.rmdir(mark)
    assert client.run("run", "-t", "last:failed", "-c", "1", "-e", "100%", "--", command).returncode == 1
    out = client.run("runs", "show", "last", "-o", "json").stdout
    assert len(json.loads(out)["CommandInvocations"]) == 2


def test_cancel_ends_it_elsewhere(client, fleet, tmp_path):
    child = client.popen("run", "-t", "web-01", "--stream", "--", waits(tmp_path / "gate"), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout.readline() == "web-01: begun\n"
    id = commands(client, "--live")[0]["CommandId"]
    client.ok("runs", "cancel", id)
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 2


def test_a_denial_is_125_with_its_reason_and_nothing_is_sent(client, fleet, tmp_path, nothing_is_sent):
    bob = client.add_user(tmp_path, "bob")
    assert "ssm:DescribeInstanceInformation" in bob.fails("run", "-t", "web-01", "--", "true", code=125)
    client.ok("policy", "attach", "auditor", "--user", "bob")
    err = bob.fails("run", "-t", "web-01", "--", "true", code=125)
    assert "ssm:SendCommand" in err


def test_an_auditor_looks_on_and_cancels_nothing(client, fleet, tmp_path):
    client.ok("run", "-t", "web-01", "-o", "name", "--", "echo seen")
    eve = client.add_user(tmp_path, "eve")
    client.ok("policy", "attach", "auditor", "--user", "eve")
    id = eve.ok("runs", "ls", "-o", "name").split()[0]
    assert eve.ok("runs", "output", "-q", id) == "-- web-01  exit 0\nseen\n"
    assert "CancelCommand" in eve.fails("runs", "cancel", id)
    assert "SendCommand" in eve.fails("runs", "retry", "--all", id, code=125)


def test_progress_is_one_line_on_a_terminal(client, fleet, tmp_path):
    gate = tmp_path / "gate"
    child = client.spawn("run", "-t", "web-*", "--", waits(gate))
    child.expect(re.escape("\r\x1b[K[----------------------]  0/3 ok, 3 running"))
    gate.touch()
    child.expect("3/3 ok")
    child.expect(re.escape("-- web-[01-03] (3)  exit 0"))
    assert ended(child) == 0


def test_a_node_that_was_away_gets_it_when_it_is_back(client, fleet):
    fleet[2].stop()
    wait_until(lambda: "1 away" in client.run("ls").stderr or "2 online" in client.run("ls").stderr, "it to be away")
    child = client.popen("run", "-t", "web-*", "--stream", "--", "echo here", stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert sorted(child.stdout.readline() for _ in range(2)) == ["web-01: here\n", "web-02: here\n"]
    fleet[2].start()
    out, err = child.communicate(timeout=PATIENCE)
    assert (out, child.returncode) == ("web-03: here\n", 0), err
