"""How commands end: each status with a real program, as the API, `hawser run` and the node's processes show it."""

import json
import os
import subprocess

import pytest

from support import machine
from support.relay import PATIENCE, wait_until
from support.standing import agent, agents, client, key, relay, ssm, where  # noqa: F401

MANY = int(os.environ.get("HAWSER_RUNS", "400"))
SETTINGS = {"max_commands": MANY + 10}

LAST_WORDS_168 = "\nStep exited with code 168. Therefore, marking step as succeeded. Further document steps will be skipped."
LAST_WORDS_169 = "\nStep exited with code 169. Therefore, marking step as Failed. Further document steps will be skipped."


def api(client, operation, **request):
    return json.loads(client.ok("api", operation, "--input", json.dumps(request)))


def id_of(client, name):
    return client.json("node", "show", name)["InstanceId"]


@pytest.fixture(scope="module")
def node(agent, client):
    return id_of(client, agent.name)


def send(client, node, *lines, document="AWS-RunShellScript", **how):
    given = {"commands": list(lines)} if document == "AWS-RunShellScript" else {}
    given.update(how.pop("Parameters", {}))
    return api(client, "SendCommand", DocumentName=document, InstanceIds=[node], Parameters=given, **how)["Command"]["CommandId"]


def invocation(client, node, command):
    found = api(client, "ListCommandInvocations", CommandId=command, InstanceId=node, Details=True)["CommandInvocations"]
    return found[0]


def ended(client, node, command, patience=PATIENCE):
    """The invocation, once it has ended."""
    def look():
        found = invocation(client, node, command)
        return found if found["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling") else None
    return wait_until(look, f"the end of {command}", patience)


def output(client, command):
    done = client.run("runs", "output", "--raw", "-q", command, text=False)
    return done.stdout, done.stderr


# --- exits and signals ------------------------------------------------------------------------------


EXITS = [
    ("exit 0", "Success", 0, 0),
    ("exit 1", "Failed", 1, 1),
    ("exit 42", "Failed", 42, 1),
    ("exit 255", "Failed", 255, 1),
    ("sh -c 'kill -9 $$'", "ExecutionTimedOut", 137, 124),  # which a shell says of a child that was killed
    ("exit 137", "ExecutionTimedOut", 137, 124),
    ("exit 168", "Success", 168, 0),
    ("exit 169", "Failed", 169, 1),
    ("kill -KILL $PPID", "Failed", -1, 1),  # the program itself, which is the shell that runs the script
    ("kill -TERM $PPID", "Failed", -1, 1),
    ("kill -SEGV $PPID", "Failed", -1, 1),
    ("sh -c 'kill -TERM $$'", "Failed", 143, 1),
    ("sh -c 'kill -SEGV $$'", "Failed", 139, 1),
    ("#!/bin/bash\nlist=(a b c)\nexit ${#list[@]}", "Failed", 3, 1),
    ("no-such-program", "Failed", 127, 1),
    ("/etc/passwd", "Failed", 126, 1),
    ("if", "Failed", 2, 1),
    ("#!/nonexistent/shell\nexit 0", "Failed", 127, 1),
    ("#!/etc/passwd\nexit 0", "Failed", 126, 1),
    ("true\n", "Success", 0, 0),
]


def test_exits_and_signals(client, node):
    wrong = []
    for script, details, code, status in EXITS:
        done = client.run("run", "-t", "web-01", "-", stdin=script)
        found = invocation(client, node, done.stderr.split()[0])
        got = found["StatusDetails"], found["CommandPlugins"][0]["ResponseCode"], done.returncode
        if got != (details, code, status):
            wrong.append((script, got, (details, code, status)))
    assert not wrong


def test_an_empty_script_succeeds(client, node):
    assert ended(client, node, send(client, node, ""))["StatusDetails"] == "Success"


@pytest.mark.parametrize("code, out, err", [
    (168, "out\n" + LAST_WORDS_168, ""),
    (169, "out\n" + LAST_WORDS_169, "err\n" + LAST_WORDS_169),
])
def test_the_exits_that_end_a_document_say_so(client, node, code, out, err):
    command = send(client, node, "echo out", "echo err >&2", f"exit {code}")
    ended(client, node, command)
    got = api(client, "GetCommandInvocation", CommandId=command, InstanceId=node)
    assert (got["StandardOutputContent"], got["StandardErrorContent"]) == (out, err)
    raw_out, raw_err = output(client, command)
    assert raw_out.decode() == out
    assert raw_err.decode().startswith("err\n")


def steps(*scripts, **rules):
    return json.dumps({"schemaVersion": "2.2", "mainSteps": [
        {"action": "aws:runShellScript", "name": f"step{i}", "inputs": {"runCommand": [s], **rules.get(f"step{i}", {})}}
        for i, s in enumerate(scripts)]})


STEPS = [
    (["true", "false", "true"], {}, "Failed", ["Success", "Failed", "Success"]),
    (["exit 168", "true"], {}, "Success", ["Success", "Skipped"]),
    (["exit 169", "true"], {}, "Failed", ["Failed", "Skipped"]),
    (["false", "true"], {"step0": {"onFailure": "exit"}}, "Failed", ["Failed", "Skipped"]),
    (["false", "true"], {"step0": {"onFailure": "successAndExit"}}, "Success", ["Success", "Skipped"]),
    (["true", "false", "false"], {"step0": {"onSuccess": "exit"}}, "Success", ["Success", "Skipped", "Skipped"]),
    (["exit 169", "false", "true"], {"step2": {"finallyStep": True}}, "Failed", ["Failed", "Skipped", "Success"]),
    (["exit 137", "false"], {}, "Failed", ["ExecutionTimedOut", "Failed"]),
    (["exit 137", "true"], {"step0": {"onFailure": "exit"}}, "ExecutionTimedOut", ["ExecutionTimedOut", "Success"]),
]


def test_several_steps(client, node):
    wrong = []
    for i, (scripts, rules, whole, each) in enumerate(STEPS):
        api(client, "CreateDocument", Name=f"several-{i}", DocumentType="Command", Content=steps(*scripts, **rules))
        found = ended(client, node, send(client, node, document=f"several-{i}"))
        got = found["StatusDetails"], [p["StatusDetails"] for p in found["CommandPlugins"]]
        if got != (whole, each):
            wrong.append((scripts, rules, got))
    assert not wrong


# --- time -------------------------------------------------------------------------------------------


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_that_takes_too_long_is_killed_with_all_that_it_started(client, node, tmp_path):
    command = send(client, node, f"cd {tmp_path}", "trap '' TERM HUP INT", "sleep 600 & echo $! > child",
                   "(sleep 600; true) & echo $! > group", "echo $$ > self", "echo before", "sleep 600",
                   Parameters={"executionTimeout": ["5"]})
    found = ended(client, node, command)
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert found["CommandPlugins"][0]["ResponseCode"] == 137
    assert output(client, command) == (b"before\n", b"")
    for name in ("child", "group", "self"):
        pid = (tmp_path / name).read_text().strip()
        wait_until(lambda: not lives(pid), f"the end of {name}")


def test_what_is_not_delivered_in_time_never_runs(client, agents, tmp_path):
    """Two nodes: one is away for so long, and the other one says when the time is over."""
    away, here = agents("late-01"), agents("late-02")
    late = id_of(client, "late-01")
    away.stop()
    ran = tmp_path / "ran"
    command = send(client, late, f"touch {ran}", TimeoutSeconds=30)
    assert invocation(client, late, command)["Status"] in ("Pending", "Delayed")
    long = client.run("run", "-t", "late-02", "--timeout-seconds", "30", "--", "sleep 33; echo not too late", timeout=2 * PATIENCE)
    assert (long.returncode, long.stdout) == (0, "-- late-02  exit 0\nnot too late\n"), long.stderr  # it had begun in time
    # Only nodes know how long the script would have taken, so the relay waits for that, too.
    away.start()
    found = ended(client, late, command)
    assert (found["Status"], found["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    assert client.run("runs", "output", "-q", command).returncode == 3
    assert not ran.exists()
    assert here.process.poll() is None


# --- where and with what it runs ------------------------------------------------------------------------


def test_a_directory_that_is_none(client, node):
    for where, why in (("/nonexistent", b"No such file or directory"), ("/etc/passwd", b"Not a directory"),
                       ("/" + "x" * 300, b"File name too long")):
        command = send(client, node, "true", Parameters={"workingDirectory": [where]})
        found = ended(client, node, command)
        assert (found["StatusDetails"], found["CommandPlugins"][0]["ResponseCode"]) == ("Failed", 1)
        _, err = output(client, command)
        assert err.startswith(b"failed to run commands: cannot change to the directory /") and why in err, err


def test_a_directory_that_cannot_be_written_is_the_script_s_affair(client, node):
    command = send(client, node, "pwd", "> file && exit 9", "exit 5", Parameters={"workingDirectory": ["/proc/self"]})
    found = ended(client, node, command)
    assert found["CommandPlugins"][0]["ResponseCode"] in (2, 5), found
    out, err = output(client, command)
    assert out.startswith(b"/proc/") and b"file" in err


@pytest.mark.skipif(not machine.possible(), reason="root cannot make a machine without a shell here")
def test_a_machine_without_a_shell(client, agents):
    hide = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount --bind /dev/null "$(readlink -f /bin/sh)" && exec "$@"', "sh"]
    agents("bare", wrap=hide)
    node = id_of(client, "bare")
    command = send(client, node, "true")
    found = ended(client, node, command)
    assert (found["StatusDetails"], found["CommandPlugins"][0]["ResponseCode"]) == ("Failed", 1)
    assert output(client, command)[1] == b"failed to run commands: cannot run /bin/sh: Permission denied\n"


# --- what it leaves behind ------------------------------------------------------------------------------


def test_who_lets_go_of_its_output_is_not_waited_for_and_goes_on(client, node, tmp_path):
    gate, done = tmp_path / "gate", tmp_path / "done"
    command = send(client, node, "echo begun", f"(until [ -e {gate} ]; do sleep 0.05; done; touch {done}) > /dev/null 2>&1 &")
    found = ended(client, node, command)
    assert found["StatusDetails"] == "Success" and output(client, command)[0] == b"begun\n"
    assert not done.exists()
    gate.touch()
    wait_until(done.exists, "what it left behind")


def test_who_holds_its_output_is_waited_for(client, node, tmp_path):
    gate = tmp_path / "gate"
    command = send(client, node, "echo begun", f"(until [ -e {gate} ]; do sleep 0.05; done; echo over) &")
    wait_until(lambda: output_now(client, command) == "-- web-01  running\nbegun\n", "the end of the script itself")
    wait_until(lambda: invocation(client, node, command)["Status"] == "InProgress", "the node's word")
    gate.touch()
    assert ended(client, node, command)["StatusDetails"] == "Success"
    assert output(client, command)[0] == b"begun\nover\n"


def output_now(client, command):
    return client.run("runs", "output", "--no-wait", "-q", command).stdout


def test_who_holds_its_output_for_too_long_is_ended_with_it(client, node, tmp_path):
    command = send(client, node, "echo begun", f"sleep 600 & echo $! > {tmp_path}/pid", Parameters={"executionTimeout": ["5"]})
    found = ended(client, node, command)
    assert found["StatusDetails"] == "ExecutionTimedOut" and output(client, command)[0] == b"begun\n"
    pid = (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not lives(pid), "the end of what held it")


# --- a restart of the machine ----------------------------------------------------------------------------


class Boots:
    """A machine whose boot has a number, and what restarts it."""

    def __init__(self, base):
        self.id, self.asked = base / "boot_id", base / "asked"
        self.begin(1)
        self.wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                     'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', str(self.id)]

    def begin(self, number):
        self.id.write_text(f"00000000-0000-4000-8000-{number:012}\n")


def reboots_by(agent, command):
    with open(os.path.join(agent.dir, "node.conf"), "a", encoding="utf-8") as f:
        f.write(f"reboot_command = {command}\n")


@pytest.mark.skipif(not machine.possible(), reason="root cannot make a machine with a boot of its own here")
def test_a_step_that_asks_for_a_restart_begins_again_after_it(client, agents, tmp_path):
    boots = Boots(tmp_path)
    agent = agents("again", wrap=boots.wrap, start=False)
    reboots_by(agent, f"echo x >> {boots.asked}")
    agent.start()
    node = id_of(client, "again")
    command = send(client, node, f"echo y >> {tmp_path}/ran", f"echo run $(wc -l < {tmp_path}/ran)",
                   f"[ $(wc -l < {tmp_path}/ran) = 3 ] || exit 194")
    for boot in (2, 3):
        wait_until(lambda: boots.asked.exists() and boots.asked.read_text() == "x\n" * (boot - 1), "the wish for a restart")
        wait_until(lambda: invocation(client, node, command)["Status"] == "InProgress", "the node's word")
        agent.stop()
        boots.begin(boot)
        agent.start()
    found = ended(client, node, command)
    assert (found["StatusDetails"], found["CommandPlugins"][0]["ResponseCode"]) == ("Success", 0)
    assert output(client, command)[0] == b"run 1\nrun 2\nrun 3\n"
    assert (tmp_path / "ran").read_text() == "y\n" * 3


def test_a_restart_that_fails_fails_the_step(client, agents):
    agent = agents("stuck", start=False)
    reboots_by(agent, "exit 7")
    agent.start()
    node = id_of(client, "stuck")
    command = send(client, node, "echo again", "exit 194")
    found = ended(client, node, command)
    assert (found["StatusDetails"], found["CommandPlugins"][0]["ResponseCode"]) == ("Failed", 194)
    out, err = output(client, command)
    assert out == b"again\n" and err == b"the machine could not be restarted: what restarts it exited with 7\n"


# --- many ------------------------------------------------------------------------------------------------


def test_a_node_with_thousands_of_commands(agent, node, ssm, tmp_path):
    sent = [ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=[node], TimeoutSeconds=3600, Parameters={
        "commands": [f"echo $SSM_COMMAND_ID >> {tmp_path}/ran; echo {i}"]})["Command"]["CommandId"] for i in range(MANY)]
    wait_until(lambda: not ssm.list_commands(Filters=[{"key": "ExecutionStage", "value": "Executing"}])["Commands"],
               "the end of all", MANY)
    rows = [i for page in ssm.get_paginator("list_command_invocations").paginate(Details=True) for i in page["CommandInvocations"]]
    assert {r["CommandId"]: (r["StatusDetails"], r["CommandPlugins"][0]["Output"])
            for r in rows if r["CommandId"] in sent} == \
        {command: ("Success", f"{i}\n") for i, command in enumerate(sent)}
    with open(tmp_path / "ran", encoding="ascii") as f:
        assert sorted(f.read().split()) == sorted(sent)
    wait_until(lambda: agent.commands_kept() == set(), "that the node has forgotten them")
    assert subprocess.run(["pgrep", "-P", str(agent.process.pid), "-f", "holder"], stdout=subprocess.PIPE).stdout == b""
