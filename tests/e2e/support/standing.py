"""The fixtures of conftest.py for a file whose tests share one fleet: a relay, its administrator and its nodes stand from
its first test to its last, which is most of the time that a test takes. Such a file says

    from support.standing import agent, agents, client, relay, where  # noqa: F401

and, where the relay is to be set up, SETTINGS = {"resume_seconds": 1}. Its tests leave nodes online and no command or session running, name their own users, and count what is new alone: none
knows which ran before it.
"""

import pytest

from .fleet import Client, Node
from .relay import Relay


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return tmp_path_factory.mktemp("standing")


@pytest.fixture(scope="module")
def relay(where, mould, request):
    made = Relay(where, init=mould.init, **getattr(request.module, "SETTINGS", {}))
    yield made.start()
    if made.alive():
        made.stop()


@pytest.fixture(scope="module")
def client(where, relay):
    return Client(where / "admin", relay, relay.invite)


@pytest.fixture(scope="module")
def agents(where, client):
    made = []

    def make(name="web-01", *join_args, start=True, **kwargs):
        agent = Node(where, client, name, *join_args, **kwargs)
        made.append(agent)
        return agent.start() if start else agent

    yield make
    for agent in made:
        agent.stop()


@pytest.fixture(scope="module")
def agent(agents):
    return agents()


@pytest.fixture(scope="module")
def key(client):
    from support import aws  # not for tests that have no use for boto3
    return aws.Key(client, "admin")


@pytest.fixture(scope="module")
def cli(where, relay, key):
    from support import aws
    return aws.Cli(where, relay, key)


@pytest.fixture(scope="module")
def ssm(relay, key):
    from support import aws
    return aws.client(relay, key)
