"""Forwards of an agent that runs as root: the monitor's policy decides, and the unprivileged network process connects."""

import os
import socket
import struct

import pytest

from support import accounts
from support.accounts import Accounts
from support.fleet import Node
from support.forwards import read_all, to
from support.machine import possible
from support.relay import PATIENCE

pytestmark = pytest.mark.skipif(not possible(), reason="it takes root, and accounts of its own")

NAME = "db.only-this-node-knows.internal"


@pytest.fixture
def machine():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture
def agent(machine, client):
    """With a name of its own, too."""
    hosts = os.path.join(machine.base, "hosts")
    with open(hosts, "w", encoding="utf-8") as f:
        f.write(f"127.0.0.1 localhost\n127.77.0.3 {NAME}\n")
    names = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]
    node = Node(machine.base, client, "web-01", rootless=False, wrap=[*names, *machine.wrap], agent=machine.agent)
    yield node.start()
    node.stop()


def who_asks(conn):
    """Tells the other end its user's number."""
    cred = conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    conn.sendall(b"%d" % struct.unpack("3i", cred)[1])


def ask(forward):
    with forward.connect() as conn:
        return read_all(conn)


def test_ports_and_names_are_reached(agent, servers, forwards_of):
    server = servers(address=("127.77.0.3", 0))
    for args in (["-L", f"0:127.77.0.3:{server.port}"], ["-L", f"0:{NAME}:{server.port}"]):
        forward = forwards_of(*args)
        with forward.connect() as conn:
            conn.sendall(b"well")
            conn.shutdown(socket.SHUT_WR)
            assert read_all(conn) == b"well"
        assert forward.stop() == (0, "")


def test_sockets_are_reached_with_the_rights_of_the_network_process(agent, machine, servers, forwards_of):
    folder = os.path.join(machine.base, "sockets")
    os.mkdir(folder, 0o755)
    rows = [  # owner, mode of the file and of its folder
        ("all", 0, 0o666, 0o755, True),
        ("own", accounts.NODE, 0o600, 0o755, True),
        ("root-s", 0, 0o600, 0o755, False),
        ("hawser-s", accounts.HAWSER, 0o600, 0o755, False),
        ("hidden", 0, 0o666, 0o700, False)]
    for name, owner, mode, folder_mode, reached in rows:
        inside = os.path.join(folder, name)
        os.mkdir(inside, folder_mode)
        path = os.path.join(inside, "x.sock")
        servers(who_asks, address=path, family=socket.AF_UNIX)
        os.chown(path, owner, owner)
        os.chmod(path, mode)
        forward = forwards_of("-L", f"0:unix:{path}")
        if reached:
            assert ask(forward) == b"%d" % accounts.NODE, name
            assert forward.stop() == (0, ""), name
        else:
            with pytest.raises(ConnectionResetError):
                ask(forward)
            assert f"cannot connect to unix:{path}: Permission denied" in forward.stop()[1], name


def test_the_monitor_s_sockets_are_out_of_reach(client, agent, forwards_of):
    sleeper = client.popen("exec", "web-01", "--", "echo up; exec sleep 600", stdout=-1)
    try:
        assert sleeper.stdout.readline() == b"up\n"
        run = os.path.join(agent.dir, "run")
        (holder,) = os.listdir(run)
        for path in (os.path.join(run, holder), f"/proc/{agent.process.pid}/root{run}/{holder}"):
            forward = forwards_of("-L", f"0:unix:{path}")
            with pytest.raises(ConnectionResetError):
                ask(forward)
            said = forward.stop()[1]
            assert "is the agent's own" in said or "Permission denied" in said, said
    finally:
        sleeper.kill()
        sleeper.communicate()


def test_the_machine_s_policy_is_asked_for_each_kind_of_destination(client, agent, machine, servers, forwards_of):
    agent.stop()
    policy = os.path.join(machine.base, "node.policy")

    def write(text):
        with open(policy, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(policy, 0o644)

    write("deny document AWS-StartPortForwardingSessionToRemoteHost\nallow user hawser\n")
    agent.start("--policy", policy)
    server = servers()
    here, beyond = to(server), f"0:db.internal:{server.port}"
    said = client.fails("forward", "web-01", "-L", beyond, code=1)
    assert "this machine does not allow the document AWS-StartPortForwardingSessionToRemoteHost" in said
    forward = forwards_of("-L", here)
    with forward.connect() as conn:
        conn.sendall(b"x")
        assert conn.recv(1) == b"x"
    write("deny document AWS-StartPortForwardingSession\ndeny document Hawser-StartSocksSession\nallow user hawser\n")
    for args in (["-L", here], ["-D", "0"], ["--stdio", f"127.0.0.1:{server.port}"]):
        assert "this machine does not allow the document" in client.fails("forward", "web-01", *args, code=1), args
    os.chown(policy, accounts.HAWSER, 0)
    assert f"belongs to uid {accounts.HAWSER}" in client.fails("forward", "web-01", "-L", here, code=1)
    assert server.served == 1
