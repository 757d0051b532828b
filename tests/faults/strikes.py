"""What is done to a harbour: each kind is a function that strikes, and returns once the thing stands again."""

import contextlib
import os
import signal
import subprocess
import threading

from harbour import holders_of, uplink_of
from line import FAR, NEAR
from support.relay import PATIENCE, wait_until


class Strike:
    """One kind at one target, for so many seconds; `draw` says how it goes where there is a choice."""

    def __init__(self, kind, target, seconds, draw):
        self.kind, self.target, self.seconds, self.draw = kind, target, seconds, draw

    @property
    def row(self):
        return KINDS[self.kind]

    def touches(self):
        """What no other strike may touch at the same time."""
        return self.row[1](self.target)

    def run(self, harbour, over):
        self.row[0](harbour, self, over)

    def __str__(self):
        return f"{self.kind}({self.target}) for {self.seconds:.2f} s, {self.draw:.3f}"


def wait(strike, over):
    """The time that a strike lasts: what is done is decided by the schedule, and never by how long it takes."""
    over.wait(strike.seconds)


# --- the relay --------------------------------------------------------------------------------------


def kill_relay(harbour, strike, over):
    harbour.relay.kill9()
    wait(strike, over)
    harbour.start_relay()


def restart_relay(harbour, strike, over):
    status = harbour.relay.end(signal.SIGTERM)
    assert status == 0, f"the relay ended with {status}"
    wait(strike, over)
    harbour.start_relay()


def stop_relay(harbour, strike, over):
    with stopped([harbour.relay.pid]):
        wait(strike, over)


def fill_disk(harbour, strike, over):
    """What can't be recorded does not go on, until the relay starts anew where there is room again."""
    if not harbour.disk.mounted:
        kill_relay(harbour, strike, over)
        return
    harbour.disk.fill()
    wait(strike, over)
    harbour.disk.free()
    harbour.relay.end(signal.SIGKILL if strike.draw < 0.5 else signal.SIGTERM)
    harbour.start_relay()


# --- agents -----------------------------------------------------------------------------------------


def agent_of(harbour, strike):
    return harbour.agents[strike.target % len(harbour.agents)]


def start_agent(agent):
    agent.start(wait=False)
    wait_until(lambda: agent.process.poll() is not None or uplink_of(agent), "the agent's start")
    assert agent.process.poll() is None, f"the agent ended:\n{agent.log[-3000:]}"


def kill_uplink(harbour, strike, over):
    """The monitor starts the next one."""
    agent = agent_of(harbour, strike)
    agent.deaths += 1
    first = wait_until(lambda: uplink_of(agent), "an uplink to kill")
    with contextlib.suppress(ProcessLookupError):
        os.kill(first, signal.SIGKILL)
    wait_until(lambda: uplink_of(agent) not in (None, first), "the next uplink", 2 * PATIENCE)


def kill_monitor(harbour, strike, over):
    agent = agent_of(harbour, strike)
    agent.deaths += 1
    uplink = uplink_of(agent)
    agent.process.kill()
    agent.process.wait()
    wait(strike, over)
    wait_until(lambda: uplink is None or not os.path.exists(f"/proc/{uplink}"), "the uplink's end with its monitor")
    start_agent(agent)


def kill_agent(harbour, strike, over):
    agent = agent_of(harbour, strike)
    agent.deaths += 1
    uplink = uplink_of(agent)
    for pid in (uplink, agent.process.pid):
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(pid, signal.SIGKILL)
    agent.process.wait()
    wait(strike, over)
    start_agent(agent)


def restart_agent(harbour, strike, over):
    """As `systemctl restart` does it."""
    agent = agent_of(harbour, strike)
    agent.deaths += 1
    agent.process.send_signal(signal.SIGUSR1)
    status = agent.process.wait(PATIENCE)
    assert status == 0, f"the agent ended with {status}\n{agent.log[-3000:]}"
    wait(strike, over)
    start_agent(agent)


@contextlib.contextmanager
def stopped(pids):
    there = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(pid, signal.SIGSTOP)
            there.append(pid)
    try:
        yield
    finally:
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def stop_agent(harbour, strike, over):
    """The process that speaks to the relay, or the monitor, or the holders, or all of them."""
    agent = agent_of(harbour, strike)
    groups = [[uplink_of(agent)], [agent.process.pid], holders_of(agent), [uplink_of(agent), agent.process.pid, *holders_of(agent)]]
    with stopped(groups[int(strike.draw * len(groups))]):
        wait(strike, over)


def stop_clients(harbour, strike, over):
    """One user's programs, all of them."""
    user = harbour.users[strike.target % len(harbour.users)]
    with stopped([pid for load in harbour.loads if load.user is user for pid in load.pids()]):
        wait(strike, over)


# --- links ------------------------------------------------------------------------------------------


def line_of(harbour, strike):
    return harbour.lines[strike.target % len(harbour.lines)]


def cut(harbour, strike, over):
    line = line_of(harbour, strike)
    line.cut(reset=strike.draw < 0.5)
    wait(strike, over)
    line.mend()


def half_open(harbour, strike, over):
    line = line_of(harbour, strike)
    line.hold(*[(NEAR,), (FAR,), (NEAR, FAR)][int(strike.draw * 3)])
    wait(strike, over)
    if strike.draw * 6 % 1 < 0.5:  # it is never passed on, or it is
        line.cut(reset=True)
    line.mend()


def slow(harbour, strike, over):
    line = line_of(harbour, strike)
    line.rate = 2_000 + 60_000 * strike.draw
    wait(strike, over)
    line.mend()


def lose_packets(harbour, strike, over):
    if harbour.net is None:
        half_open(harbour, Strike(strike.kind, 4, strike.seconds, strike.draw), over)
        return
    harbour.net.lose(out=strike.draw < 0.66, back=strike.draw > 0.33)
    wait(strike, over)
    harbour.net.mend()


def relay_alone(_target):
    return {"relay"}


def by_agent(target):
    return {f"agent-{target % 2}"}


def by_line(target):
    return {f"line-{target % 5}"}


def by_user(target):
    return {f"user-{target % 3}"}


# name: (function, what it touches, how often beside the others)
KINDS = {
    "relay-kill": (kill_relay, relay_alone, 4),
    "relay-restart": (restart_relay, relay_alone, 2),
    "relay-stop": (stop_relay, relay_alone, 2),
    "disk-full": (fill_disk, relay_alone, 1),
    "uplink-kill": (kill_uplink, by_agent, 2),
    "monitor-kill": (kill_monitor, by_agent, 1),
    "agent-kill": (kill_agent, by_agent, 1),
    "agent-restart": (restart_agent, by_agent, 1),
    "agent-stop": (stop_agent, by_agent, 2),
    "client-stop": (stop_clients, by_user, 2),
    "cut": (cut, by_line, 6),
    "half-open": (half_open, by_line, 4),
    "slow": (slow, by_line, 2),
    "packets-lost": (lose_packets, lambda _: {"net", "line-4"}, 2),
}
# In which time passes before the thing stands again, and how much at most; 0: none.
PASSES = {"relay-kill": 3, "relay-restart": 2, "disk-full": 5, "monitor-kill": 3, "agent-kill": 3, "agent-restart": 2, "uplink-kill": 0}
LONGEST = 40  # of the others: a peer counts as dead after 28 s
SHORT = 0.6  # of all, in the suite


def schedule(rng, count, short):
    """Volleys of strikes that come at once: (strikes, whether all stands and works again before the next)."""
    names, weights = list(KINDS), [row[2] for row in KINDS.values()]
    while count > 0:
        volley, touched = [], set()
        for _ in range(min(count, rng.choice([1, 1, 2, 3, 4] if not short else [2, 3, 3, 4]))):
            kind = rng.choices(names, weights)[0]
            longest = PASSES.get(kind, LONGEST if rng.random() < 0.15 else 3)
            strike = Strike(kind, rng.randrange(30), rng.random() * (min(longest, SHORT) if short else longest), rng.random())
            if not touched & strike.touches():
                touched |= strike.touches()
                volley.append(strike)
        count -= len(volley)
        yield volley, rng.random() < 0.7 or any(s.seconds > 5 for s in volley)


def volley(harbour, strikes):
    """All at once, each for its time."""
    failures, over = [], threading.Event()

    def run(strike):
        try:
            strike.run(harbour, over)
        except (AssertionError, OSError, subprocess.SubprocessError) as e:
            failures.append(f"{strike}: {e}")

    threads = [threading.Thread(target=run, args=(s,)) for s in strikes]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failures
