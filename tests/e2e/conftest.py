"""Fixtures of all tests of the real programs. HAWSER_BUILD is the folder where they were built."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.relay import Relay  # noqa: E402


@pytest.fixture
def relays(tmp_path):
    """Makes relays: relays(name="relay", **settings) starts one; all are stopped at the test's end."""
    made = []

    def make(name="main", **settings):
        base = tmp_path / name
        base.mkdir()
        relay = Relay(base, **settings)
        made.append(relay)
        return relay.start()

    yield make
    for relay in made:
        if relay.alive():
            relay.stop()


@pytest.fixture
def relay(relays):
    """A relay that runs."""
    return relays()


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
