"""The relay's port: crowds. These look at a clock, and fill the machine."""

import os
import re
import select
import signal

import pytest

from support.door import Watch, client_hello, ended, refusal, still_well
from support.relay import PATIENCE, wait_until


def test_one_source_gets_a_quarter(relays):
    relay = relays(max_unauthenticated=40, header_timeout_seconds=300)
    crowd = [relay.tcp("127.0.1.1") for _ in range(30)]
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] == 10, "ten places taken")
    wait_until(lambda: len(select.select(crowd, [], [], 1)[0]) == 20, "twenty refused")
    assert relay.healthy()  # from 127.0.0.1
    for c in crowd:
        c.close()
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] == 0, "all places free")


def test_links_take_no_place_of_strangers(relays):
    relay = relays(max_unauthenticated=4)
    admin = relay.login(relay.invite, "admin")
    links = [wait_until(lambda: try_link(relay, admin), "a link") for _ in range(12)]
    assert relay.metrics()["hawser_links"] == 12
    for link in links:
        link.close()


def try_link(relay, identity):
    try:
        return relay.link(identity)
    except (OSError, EOFError):
        return None


def test_max_links(relays):
    relay = relays(max_links=3)
    admin = relay.login(relay.invite, "admin")
    links = [relay.link(admin) for _ in range(3)]
    assert refusal(relay, admin).status in (429, 503)
    links.pop().close()
    wait_until(lambda: relay.metrics()["hawser_links"] == 2, "a link less")
    links.append(relay.link(admin))
    for link in links:
        link.close()


def crowd_size(wanted):
    import resource
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 200)


@pytest.mark.parametrize("first_words,size", [("nothing", 10000), ("a byte", 2500), ("a hello", 2500)])
def test_a_crowd_at_the_door(relays, first_words, size):
    """Thousands of connections that never get to the point: those inside notice nothing."""
    relay = relays(max_unauthenticated=12000, header_timeout_seconds=60)
    hello = client_hello(relay)
    words = {"nothing": b"", "a byte": hello[:1], "a hello": hello}[first_words]
    watch = Watch(relay)
    watch.look()
    crowd = []
    for i in range(crowd_size(size)):
        raw = relay.tcp(f"127.{1 + i % 8}.0.1")
        if words:
            raw.sendall(words)
        crowd.append(raw)
        if i % 50 == 0:
            watch.look()
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] >= len(crowd) * 0.9,
               "the crowd is inside")
    for _ in range(20):
        watch.look()
    assert watch.slowest < PATIENCE, watch.slowest
    with open(f"/proc/{relay.pid}/status", encoding="ascii") as f:
        rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    print(f"{first_words}: {len(crowd)} strangers, RSS {rss} KiB, slowest answer {watch.slowest * 1000:.1f} ms")
    for raw in crowd:
        raw.close()
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] <= 1, "the crowd is gone")
    still_well(relay)


def test_handshakes_have_turns(relays):
    """Hundreds of handshakes that begin at the same moment are spread over turns of the loop."""
    relay = relays(max_unauthenticated=4000, max_handshakes=4)
    hello = client_hello(relay)
    crowd = [relay.tcp(f"127.{1 + i % 8}.0.1") for i in range(400)]
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] >= 400, "all are inside")
    for raw in crowd:
        raw.sendall(hello)
    for raw in crowd:
        raw.settimeout(30)
        assert raw.recv(5)[:1] == b"\x16"
    # All at once would be seconds; what a turn may begin is a small part of that.
    assert relay.metrics()["hawser_loop_lag_seconds"] < 1


def test_who_has_gone_before_its_turn_costs_no_handshake(relays):
    """As after a start, when a fleet dials faster than it is served, and dials again."""
    relay = relays(max_unauthenticated=4000)
    hello = client_hello(relay)
    os.kill(relay.pid, signal.SIGSTOP)
    for _ in range(200):
        with relay.tcp() as raw:
            raw.sendall(hello)
    os.kill(relay.pid, signal.SIGCONT)
    wait_until(lambda: relay.metrics()["hawser_handshakes_spared_total"] == 200, "all are seen off")
    wait_until(lambda: relay.metrics()["hawser_connections_unauthenticated"] <= 1, "the crowd is gone")
    still_well(relay)


def test_over_budget_they_are_turned_away_and_it_recovers(relays):
    relay = relays(max_unauthenticated=64, header_timeout_seconds=2)
    watch = Watch(relay)
    crowd = []
    for i in range(crowd_size(10000)):
        crowd.append(relay.tcp(f"127.{1 + i % 8}.0.1"))
        if i % 50 == 0:
            watch.look()
    assert relay.metrics()["hawser_connections_refused_total"] >= len(crowd) - 64 - 200
    for raw in crowd:
        assert ended(raw)
        raw.close()
    wait_until(relay.healthy, "a newcomer gets in")
    assert watch.slowest < PATIENCE
