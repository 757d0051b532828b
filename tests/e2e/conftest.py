"""Fixtures of all tests of the real programs. HAWSER_BUILD is the folder where they were built."""

import os
import resource
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.fleet import Client, Node  # noqa: E402
from support.forwards import Forward, Server, echo  # noqa: E402
from support.relay import Mould, Relay  # noqa: E402


# Crowds of connections need as many descriptors as this machine gives.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


@pytest.fixture(scope="session")
def mould(tmp_path_factory):
    return Mould(tmp_path_factory.mktemp("mould"))


@pytest.fixture
def relays(tmp_path, mould):
    """Makes relays: relays(name="relay", **settings) starts one; all are stopped at the test's end. Others
    than the main one have a fleet, and an authority, of their own."""
    made = []

    def make(name="main", **settings):
        base = tmp_path / name
        base.mkdir(exist_ok=True)
        relay = Relay(base, **({"init": mould.init} if name == "main" else {}), **settings)
        made.append(relay)
        return relay.start()

    yield make
    for relay in made:
        if relay.alive():
            relay.stop()


def pytest_configure(config):
    config.addinivalue_line("markers", "relay(**settings): of the relay that runs for the test")


@pytest.fixture
def relay(relays, request):
    """A relay that runs; @pytest.mark.relay(resume_seconds=1) sets it up."""
    mark = request.node.get_closest_marker("relay")
    return relays(**(mark.kwargs if mark else {}))


@pytest.fixture
def admin(relay):
    """The identity of its first user."""
    return relay.login(relay.invite, "admin")


@pytest.fixture
def node(relay, admin):
    """The identity of a node that has joined."""
    link = relay.link(admin)
    try:
        activation = link.request("CreateActivation", RegistrationLimit=1)
    finally:
        link.close()
    return relay.join(activation, "web-01")


@pytest.fixture
def client(tmp_path, relay):
    """The administrator's own `hawser`, logged in."""
    return Client(tmp_path / "admin", relay, relay.invite)


@pytest.fixture
def agents(tmp_path, client):
    """Makes nodes that run: agents("web-01", "--tag", "Env=prod"); all are stopped at the test's end."""
    made = []

    def make(name="web-01", *join_args, start=True, **kwargs):
        agent = Node(tmp_path, client, name, *join_args, **kwargs)
        made.append(agent)
        return agent.start() if start else agent

    yield make
    for agent in made:
        agent.stop()


@pytest.fixture
def agent(agents):
    """A node that is online."""
    return agents()


@pytest.fixture
def apart(tmp_path, relays):
    """Makes a fleet for one test of a file that has another for the rest: (client, node) of apart(idle_seconds=6)."""
    made = []

    def make(**settings):
        relay = relays(**settings)
        client = Client(tmp_path / "admin", relay, relay.invite)
        made.append(Node(tmp_path, client, "web-01"))
        return client, made[-1].start()

    yield make
    for node in made:
        node.stop()


@pytest.fixture
def servers():
    made = []

    def make(serve=echo, **kwargs):
        made.append(Server(serve, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def forwards_of(client):
    """Forwards by way of whatever is web-01; those that still run are killed at the test's end."""
    made = []

    def make(*args, who=client):
        made.append(Forward(who, "web-01", *args))
        return made[-1]

    yield make
    for forward in made:
        if forward.child.poll() is None:
            forward.child.kill()
        forward.child.communicate()


@pytest.fixture
def forwards(agent, forwards_of):
    return forwards_of


@pytest.fixture
def key(client):
    """The administrator's access key."""
    from support import aws  # not for tests that have no use for boto3
    return aws.Key(client, "admin")


@pytest.fixture
def cli(tmp_path, relay, key):
    from support import aws
    return aws.Cli(tmp_path, relay, key)


@pytest.fixture
def ssm(relay, key):
    from support import aws
    return aws.client(relay, key)
