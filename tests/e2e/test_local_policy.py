"""What a machine itself never allows, whatever the relay says: as a person and an auditor see it."""

import os

import pytest

from support import audit
from support.machine import possible


@pytest.fixture
def policy(tmp_path):
    """A file that policy("lines", ...) writes anew."""
    path = str(tmp_path / "node.policy")

    def write(*lines):
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))
        os.chmod(path, 0o644)

    write()
    write.path = path
    return write


@pytest.fixture
def agent(agents, policy):
    return agents(start=False).start("--policy", policy.path)


def me():
    return os.popen("id -un").read().strip()


def test_a_refusal_of_the_machine_reaches_its_user_and_the_ledger(client, agent, relay, policy):
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    policy("# nobody is this one", f"deny user {me()}")
    said = client.fails("exec", "web-01", "--", "echo never", code=255)
    assert f"this machine does not allow the user {me()}: {policy.path}"[:100] in said and "never" not in said
    assert "monitor.denied" in agent.log
    policy()
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    (told,) = [e for e in audit.ledger(relay.dir) if "this machine does not allow" in repr(e)]
    assert (told["Kind"], told["Outcome"]) == ("session.end", "denied"), told


def test_documents_of_the_machine(client, agent, policy):
    policy("allow document SSM-SessionManagerRunShell", "allow document AWS-StartInteractiveCommand")
    said = client.fails("exec", "web-01", "--", "true", code=255)
    assert "does not allow the document AWS-StartNonInteractiveCommand" in said
    assert "well\n" in client.run("shell", "web-01", "--", "echo well").stdout


def test_a_file_that_is_wrong_refuses_all_and_says_why(client, agent, policy):
    policy("deny user somebody", "deny usr root")
    assert "node.policy:2 is not allow|deny"[-20:] in client.fails("exec", "web-01", "--", "true", code=255)
    policy()
    os.chmod(policy.path, 0o666)
    assert "others may write" in client.fails("exec", "web-01", "--", "true", code=255)
    os.remove(policy.path)
    assert "cannot open" in client.fails("exec", "web-01", "--", "true", code=255)
    agent.stop()
    agent.start("--policy", policy.path)
    assert "monitor.policy" in agent.log and "No such file" in agent.log
    policy()
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"


# An /etc of the agent's own over the machine's, with a policy in the place where one is looked for.
ETC = """
mkdir -p "$0/up" "$0/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$0/up,workdir=$0/work" /etc
mkdir -p /etc/hawser
cp "$0/policy" /etc/hawser/node.policy
exec "$@"
"""


@pytest.mark.skipif(not possible(), reason="root cannot make namespaces here")
def test_the_file_is_looked_for_in_etc(client, agents, tmp_path):
    base = tmp_path / "etc"
    base.mkdir()
    (base / "policy").write_text("deny uid 0\n")
    wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ETC, str(base)]
    agents("web-01", wrap=wrap)
    said = client.fails("exec", "web-01", "--", "true", code=255)
    assert "does not allow the user root: /etc/hawser/node.policy:1: deny 0" in said
