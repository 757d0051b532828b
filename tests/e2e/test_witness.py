"""Nodes as witnesses of their relay's ledger: real programs, a directory that is replaced by an older copy, a recovery."""

import json
import os
import re
import shutil
import stat
import subprocess

from support.relay import PATIENCE, program, wait_until


# Which of them it is hangs on how many entries the relay has written since its copy was made: fewer than the head that is
# kept, just as many, or more.
CONTRADICTIONS = ("Rollback", "Fork", "Rewritten")


def status(agent):
    out = subprocess.run([program("hawser-node"), "status", "--dir", agent.dir, "-o", "json"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=False, text=True, timeout=PATIENCE).stdout
    return json.loads(out) if out else {}


def kept(agent):
    """How many entries the head has that the running agent keeps."""
    found = re.match(r"agrees at (\d+) entries", status(agent).get("Witness", ""))
    return int(found[1]) if found else 0


def said(client):
    return client.json("api", "ListWitnesses")["Witnesses"][0]


def start_anew(agent):
    agent.stop()
    agent.start()


def test_a_relay_over_an_older_copy_is_reported_refused_and_healed_by_its_recovery_key(relay, client, agents, tmp_path):
    agent = agents(start=False)
    conf = os.path.join(agent.dir, "node.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    assert text.count("witness = report\n") == 1
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text.replace("witness = report", "witness = refuse"))
    agent.start()
    wait_until(lambda: kept(agent) > 0, "the first head")
    relay.stop()
    shutil.copytree(relay.dir, tmp_path / "copy")
    relay.start()
    before = kept(agent)
    for _ in range(5):
        client.ok("ls")
    start_anew(agent)  # and it is shown the newest head
    wait_until(lambda: kept(agent) > before + 4, "a newer head")
    wait_until(lambda: said(client).get("State") == "Agrees", "the node's word")
    assert said(client)["Head"].split("\n")[1] == str(kept(agent))
    assert client.json("api", "DescribeInstanceInformation")["InstanceInformationList"][0]["LedgerWitness"].startswith("agrees at ")
    assert client.ok("exec", "web-01", "--", "echo here") == "here\n"

    relay.stop()
    shutil.rmtree(relay.dir)
    shutil.copytree(tmp_path / "copy", relay.dir)
    relay.start()
    wait_until(lambda: status(agent).get("WitnessState") in CONTRADICTIONS, "the node's finding")
    assert "(root " in status(agent)["Witness"] and "hawser-relay recover" in status(agent)["Witness"]
    evidence = os.stat(os.path.join(agent.dir, "witness.evidence"))
    assert stat.S_IMODE(evidence.st_mode) == 0o600
    wait_until(lambda: said(client).get("State") in CONTRADICTIONS, "the node's word")
    assert "does not prove" in said(client)["Message"] or "has signed" in said(client)["Message"]
    seen = client.json("status")["Client"]
    (objection,) = seen["Findings"]
    assert seen["FindingsInAll"] == seen["Ledger"]["Witnesses"] == 1 and seen["Ledger"]["WitnessesAgree"] == 0
    assert objection["File"].startswith("web-01 (mi-") and objection["What"].startswith("holds "), objection
    assert f"OBJECTS   {objection['File']}: {objection['What']}\n" in client.ok("status")
    assert "witness.report" in client.ok("audit", "ls", "--kind", "witness.report")
    refused = client.run("exec", "web-01", "--", "echo here")
    assert refused.returncode != 0 and "the ledger" in refused.stderr, refused
    start_anew(agent)
    wait_until(lambda: status(agent).get("WitnessState") in CONTRADICTIONS, "the same of the next agent")

    relay.stop()
    subprocess.run([program("hawser-relay"), "recover", "--dir", relay.dir, "--recovery-key",
                    os.path.join(relay.dir, "recovery.key")], check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
    relay.start()
    # Until the relay has signed a head of its new epoch it shows the last one of the old, and the next comes with a ping.
    wait_until(lambda: status(agent).get("WitnessState") == "Agrees", "the end of it", 3 * PATIENCE)
    wait_until(lambda: client.run("exec", "web-01", "--", "echo here").stdout == "here\n", "a session")
    wait_until(lambda: said(client).get("State") == "Agrees", "the node's word")


def test_a_damaged_memory_is_reported_until_it_is_removed(client, agent):
    wait_until(lambda: kept(agent) > 0, "the first head")
    agent.stop()
    path = os.path.join(agent.dir, "witness")
    with open(path, "r+b") as f:
        f.seek(-10, os.SEEK_END)
        f.write(b"0123456789")
    with open(path, "rb") as f:
        damaged = f.read()
    agent.start()
    wait_until(lambda: status(agent).get("WitnessState") == "Damaged", "the finding")
    wait_until(lambda: said(client).get("State") == "Damaged", "the node's word")
    assert client.ok("exec", "web-01", "--", "echo here") == "here\n"
    agent.stop()
    with open(path, "rb") as f:
        assert f.read() == damaged
    os.unlink(path)
    agent.start()
    wait_until(lambda: kept(agent) > 0, "a new beginning")
