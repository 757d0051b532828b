"""README's real installation, as it is written there: a relay, a node and a person, each on a machine of its own."""

import os
import re
import time

import pexpect
import pytest

from support import machine
from support.machine import Machine, cable
from support.relay import PATIENCE, wait_until

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")

pytestmark = pytest.mark.skipif(not machine.possible(), reason="root cannot make namespaces here")


class Readme:
    """The installation: `install`, and for each comment of the block the commands under it."""

    def __init__(self):
        with open(README, encoding="utf-8") as f:
            part = f.read().split("## A real installation\n", 1)[1].split("\n## ", 1)[0]
        build, self.install = re.search(r"`(\./dev build release) && (.*?)`", part.replace("\n", " ")).groups()
        self.commands = {}
        for line in re.search(r"```\n(.*?)```", part, re.S).group(1).splitlines():
            if line.startswith("# "):
                under = self.commands.setdefault(re.match(r"# on (the relay|your own machine|each node)", line).group(1), [])
            elif line.strip() and not line.startswith(" "):
                under.append(line)

    def lines(self, where, **words):
        """Commands with the placeholders filled in; a service's is its program, as the remark says."""
        for line in self.commands[where]:
            command = re.sub(r"systemctl .*# or: ", "&", line)
            for placeholder, value in words.items():
                command = command.replace(
                    {"url": "https://relay.example:8443#sha256:...", "invite": "INVITE", "activation": "ID:CODE"}[placeholder], value)
            assert "..." not in command and "INVITE" not in command and "ID:CODE" not in command, command
            yield command


@pytest.fixture
def machines(tmp_path):
    made = {}
    try:
        for name in ("relay", "web", "desk"):
            made[name] = Machine(tmp_path, name)
        cable(made["relay"], made["web"], "10.77.1")
        cable(made["relay"], made["desk"], "10.77.2")
        for name, net in (("web", 1), ("desk", 2)):
            made[name].run(f"echo 10.77.{net}.1 relay.example >> /etc/hosts")
        yield made
    finally:
        for each in made.values():
            each.remove()


def do(where, commands, user=None):
    """Runs them in order; what each said."""
    said = []
    for command in commands:
        if command.startswith("&"):
            where.start(command[1:], user)
        else:
            said.append(where.run(command, user))
    return said


def test_the_installation_in_readme(machines):
    relay, web, desk = (machines[x] for x in ("relay", "web", "desk"))
    readme = Readme()
    for each in machines.values():
        each.install(readme.install.replace("sudo ", ""))

    said = do(relay, readme.lines("the relay"), user="hawser-relay")
    url, invite = said[0].splitlines()[-1].split(" ")
    assert "FAIL" not in said[1]
    wait_until(lambda: "relay.ready" in relay.log, "the relay")
    said = do(desk, readme.lines("your own machine", url=url, invite=invite))
    activation = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:\S{20,}", said[1]).group()
    do(web, readme.lines("each node", url=url, activation=activation))
    wait_until(lambda: "web-01\n" in desk.run("hawser ls status:online -o name || true"), "the node")

    assert desk.run("hawser exec web-01 -- 'id -un; pwd; hostname'") == "hawser\n/home/hawser\nweb\n"
    child = pexpect.spawn(desk.wrap()[0], [*desk.wrap()[1:], "hawser", "shell", "web-01"], env=desk.env,
                          encoding="utf-8", timeout=PATIENCE)
    child.expect(r"session (\S+) on web-01")
    session = child.match.group(1)
    child.sendline("echo from-$((40 + 2)) on $(hostname)")
    child.expect("from-42 on web\r\n")
    assert "tag:Env=prod" not in desk.run("hawser ls") and "Env=prod" in desk.run("hawser ls")

    # Nobody says goodbye: the cable is pulled.
    relay.run("ip link set web down")
    pulled = time.monotonic()
    child.expect("hawser: the link to node web-01 was lost, waiting", timeout=60)
    assert time.monotonic() - pulled < 45  # thirty seconds, and what a busy machine adds; TCP alone takes minutes
    assert re.search(r'link\.broken node=mi-\S+ why="nothing was heard', relay.log)
    wait_until(lambda: "web-01" not in desk.run("hawser ls status:online -o name || true"), "the node away")
    relay.run("ip link set web up")
    wait_until(lambda: "web-01\n" in desk.run("hawser ls status:online -o name || true"), "the node back", 65)
    child.sendline("echo again-$((40 + 2)) on $(hostname); exit 6")
    child.expect("again-42 on web\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    assert desk.run("hawser exec web-01 -- echo back") == "back\n"
    assert "from-42 on web" in desk.run(f"hawser replay {session} --speed 100")
    assert web.stop() == [0] and relay.stop() == [0], web.log + relay.log
