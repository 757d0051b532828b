"""Joining, logging in, and being removed."""

import itertools
import json
import os
import subprocess
from datetime import datetime, timezone

from support.fleet import Client
from support.relay import AT_ONCE, PATIENCE, program, wait_until


def join(relay, where, token, *args, url=None):
    return subprocess.run(
        [program("hawser-node"), "join", url or relay.url, token, "--dir", str(where), *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)


def activation(client, *args):
    made = client.json("activation", "create", *args)
    return f"{made['ActivationId']}:{made['ActivationCode']}"


def test_an_activation_lets_in_as_many_as_it_says(client, relay, tmp_path):
    token = activation(client, "--limit", "2", "--tag", "Env=prod")
    assert join(relay, tmp_path / "a", token, "--name", "a").returncode == 0
    assert join(relay, tmp_path / "b", token, "--name", "b", "--tag", "Role=db").returncode == 0
    third = join(relay, tmp_path / "c", token, "--name", "c")
    assert third.returncode == 1 and "used up" in third.stderr
    assert not os.path.exists(tmp_path / "c" / "node.key")
    nodes = {n["Name"]: n for n in client.json("ls")["InstanceInformationList"]}
    assert {(t["Key"], t["Value"]) for t in nodes["b"]["Tags"]} == {("Env", "prod"), ("Role", "db")}


def test_a_wrong_code_an_unknown_id_and_a_late_one_are_refused(client, relay, tmp_path):
    token = activation(client)
    ident, code = token.split(":")
    wrong = join(relay, tmp_path / "a", ident + ":" + "x" * len(code))
    assert wrong.returncode == 1 and "activation" in wrong.stderr.lower()
    unknown = join(relay, tmp_path / "b", "00000000-0000-0000-0000-000000000000:" + code)
    assert unknown.returncode == 1
    late = activation(client, "--expires", "1s", "--limit", "1000")
    where = (tmp_path / f"d{i}" for i in itertools.count())
    wait_until(lambda: "expired" in join(relay, next(where), late).stderr, "the activation's expiry")


def test_a_wrong_pin_stops_before_the_code_is_sent(client, relay, tmp_path):
    pin = relay.url[-64:]
    other = relay.url[:-64] + ("0" * 64 if pin[0] != "0" else "1" * 64)
    refused = join(relay, tmp_path / "a", activation(client), url=other)
    assert refused.returncode == 1 and "not the relay" in refused.stderr
    stranger = Client(tmp_path / "stranger", relay)
    assert "not the relay" in stranger.fails("login", other, "x" * 43)


def test_a_node_joins_once(client, agent, relay):
    again = join(relay, agent.dir, activation(client))
    assert again.returncode == 1 and "already" in again.stderr


def test_settings_that_cannot_be_read_are_not_replaced(client, relay, tmp_path):
    """What the line that is wrong was to say is not known: perhaps who commands are not to run as."""
    where, token = tmp_path / "a", activation(client, "--limit", "2")
    assert join(relay, where, token).returncode == 0
    conf = where / "node.conf"
    good = conf.read_text().replace("command_run_as = root", "command_run_as = nobody") + "commands_running = 3\n"
    assert "= nobody" in good
    bad = good + "no such line\n"
    conf.write_text(bad)
    for name in ("node.key", "node.crt"):
        os.unlink(where / name)
    refused = join(relay, where, token)
    assert refused.returncode == 1 and str(conf) in refused.stderr and "not KEY = VALUE: no" in refused.stderr
    assert conf.read_text() == bad and not os.path.exists(where / "node.key")
    conf.write_text(good)
    assert join(relay, where, token).returncode == 0
    said = conf.read_text()
    assert "command_run_as = nobody\n" in said and "commands_running = 3\n" in said


def test_one_agent_a_directory(agent):
    second = subprocess.run(
        [program("hawser-node"), "run", "--dir", agent.dir, "--rootless"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert second.returncode != 0 and "already" in second.stdout


def test_status_says_that_it_is_connected_and_that_it_is_not(agent, relay):
    def status():
        return subprocess.run(
            [program("hawser-node"), "status", "--dir", agent.dir], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)

    wait_until(lambda: status().returncode == 0, "a good status")
    assert "web-01" in status().stdout
    relay.stop()
    wait_until(lambda: status().returncode == 1, "a bad status")


def test_facts_are_reported(client, agent):
    def node():
        return client.json("ls", "web-01")["InstanceInformationList"][0]

    wait_until(lambda: node().get("AgentVersion"), "the facts")
    facts = node()
    with open("/etc/os-release", encoding="utf-8") as f:
        release = dict(line.strip().split("=", 1) for line in f if "=" in line)
    assert facts["PlatformName"] == release["ID"].strip('"')
    assert facts["PlatformType"] == "Linux"
    assert facts["KernelVersion"] == os.uname().release
    assert facts["ComputerName"] == os.uname().nodename


def test_the_relays_time_is_kept_for_a_start_without_a_clock(agent):
    kept = os.path.join(agent.dir, "relay.time")
    wait_until(lambda: os.path.exists(kept), "the relay's time")
    with open(kept, encoding="utf-8") as f:
        told = datetime.fromisoformat(f.read().strip().replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - told).total_seconds()) < 120


def test_a_removed_node_is_cut_and_stays_out(client, agent):
    child = client.popen("exec", "web-01", "--", "sleep 100", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: client.json("sessions", "ls", "--live")["Sessions"], "the session")
    client.ok("node", "rm", "web-01")
    assert child.wait(PATIENCE) == 255
    child.stderr.close()
    wait_until(lambda: "removed" in agent.log or "revoked" in agent.log.lower(), "the agent's word about it")


def test_an_invite_works_once(client, relay, tmp_path):
    alice = client.add_user(tmp_path, "alice")
    made = client.json("user", "invite", "alice")
    alice.ok("login", relay.url, made["Invite"])
    err = alice.fails("login", relay.url, made["Invite"])
    assert "invite" in err.lower()


def test_a_user_that_is_no_administrator_is_denied(client, agent, tmp_path):
    bob = client.add_user(tmp_path, "bob")
    err = bob.fails("exec", "web-01", "--", "true", code=255)
    assert "bob" in err or "AccessDenied" in err


def test_a_removed_user_is_cut_at_once(client, agent, tmp_path):
    eve = client.add_user(tmp_path, "eve", admin=True)
    child = eve.popen("exec", "web-01", "--", "sleep 100", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: client.json("sessions", "ls", "--live")["Sessions"], "the session")
    client.ok("user", "rm", "eve")
    assert child.wait(AT_ONCE) == 255
    child.stderr.close()
    assert eve.run("ls").returncode == 1


def test_the_relay_comes_back_and_so_do_its_nodes(client, agent, relay):
    relay.kill9()
    relay.start()
    agent.wait_online()
    assert client.ok("exec", "web-01", "--", "echo back") == "back\n"


def test_api_reaches_every_operation_and_names_a_wrong_field(client, agent):
    out = json.loads(client.ok("api", "DescribeInstanceInformation", "MaxResults=5"))
    assert out["InstanceInformationList"][0]["Name"] == "web-01"
    assert "MaxResults" in client.fails("api", "DescribeInstanceInformation", "MaxResults=3")
    assert "Target" in client.fails("api", "StartSession")
    assert "NoSuchThing" in client.fails("api", "NoSuchThing")


def test_selectors(client, agents):
    agents("web-01", "--tag", "Env=prod", "--tag", "Role=web")
    agents("web-02", "--tag", "Env=test")
    agents("db-1", "--tag", "Env=prod", start=False)
    names = lambda *sel: client.ok("ls", *sel, "-o", "name").split()
    assert names("web-*") == ["web-01", "web-02"]
    assert names("web-[01-20]", "db-1") == ["db-1", "web-01", "web-02"]
    assert names("tag:Env=prod,tag:Role!=web") == ["db-1"]
    assert names("status:online,tag:Env=prod") == ["web-01"]
    assert client.run("ls", "no-*").returncode == 4
    client.ok("node", "tag", "db-1", "Role=db")
    assert names("tag:Role=db") == ["db-1"]
    client.ok("node", "untag", "db-1", "Role")
    assert client.run("ls", "tag:Role=db").returncode == 4
