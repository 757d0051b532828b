"""pg_dump through a forward while the relay is killed and started again: the dump is what it is without all that."""

import hashlib
import os
import subprocess
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from conftest import *  # noqa: E402,F403
from support.forwards import to_port  # noqa: E402
from support.relay import PATIENCE  # noqa: E402
from test_forward_programs import Postgres, daemons, folder  # noqa: E402,F401

DUMP_MB = int(os.environ.get("HAWSER_DUMP_MB", "40"))
KILLS = 3


def dump_of(port, meanwhile=None):
    """(bytes, SHA-256) of a dump; meanwhile(bytes so far) is called on the way."""
    child = subprocess.Popen(["pg_dump", *Postgres.at(port, "one"), "--data-only"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    digest, size, said = hashlib.sha256(), 0, []
    listener = threading.Thread(target=lambda: said.append(child.stderr.read()))
    listener.start()
    # What pg_dump says of a run of its own differs from one to the next.
    for line in child.stdout:
        if not line.startswith((b"\\restrict", b"\\unrestrict")):
            digest.update(line)
        size += len(line)
        if meanwhile:
            meanwhile(size)
    status = child.wait(PATIENCE)
    listener.join()
    assert status == 0, said[0].decode()
    child.stdout.close()
    child.stderr.close()
    return size, digest.hexdigest()


@pytest.mark.parametrize("kills", [KILLS])
def test_a_dump_is_whole_whatever_happens_to_the_relay(relay, folder, daemons, forwards, kills):  # noqa: F811
    server = Postgres(folder, daemons)
    server.sql("postgres", "create database one")
    server.sql("one", "create table t (id int primary key, note text)")
    server.sql("one", f"""
        insert into t select i, string_agg(md5(i || '.' || k), '' order by k)
        from generate_series(1, {DUMP_MB * 1000 * 1000 // 1420}) i, generate_series(1, 44) k group by i""")
    wanted = dump_of(server.port)
    assert wanted[0] > DUMP_MB * 950_000
    forward = forwards("-L", to_port(server.port))
    done = []

    def strike(size):
        """In the middle of it: the dump can't go on before the relay is back."""
        if len(done) < kills and size > wanted[0] * (len(done) + 1) / (kills + 2):
            relay.kill9()
            relay.start()
            done.append(size)

    assert dump_of(forward.port, strike) == wanted
    assert len(done) == kills
    assert forward.stop()[0] == 0
