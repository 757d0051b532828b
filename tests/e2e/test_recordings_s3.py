"""Recordings in a bucket: as they lie on the relay's disk, before they are deleted there, and back again."""

import glob
import os
import shutil
import sqlite3
import subprocess
import threading

import pytest
from support.relay import PATIENCE, program, wait_until
from support.storage import Storage

CANARY = "canary-4b7e-in-a-bucket"


@pytest.fixture
def storage(tmp_path):
    made = Storage(tmp_path)
    yield made
    made.close()
    assert made.wrong == []


@pytest.fixture
def relay(relays, storage, request):
    mark = request.node.get_closest_marker("relay")
    settings = dict(recording_s3_bucket="logs", recording_s3_prefix="berth 7/tapes")
    return relays(**storage.settings(**settings | (mark.kwargs if mark else {})))


def record(client, command=f"echo {CANARY}"):
    """A session's id."""
    client.ok("exec", "web-01", "--", command, text=False)
    return client.json("sessions", "ls")["Sessions"][0]["SessionId"]


def key_of(session):
    return f"logs/berth 7/tapes/recordings/{session}.rec"


def uploaded(storage, session):
    return wait_until(lambda: storage.objects.get(key_of(session)), f"the upload of {session}", PATIENCE * 2)


def path_of(relay, session):
    return os.path.join(relay.dir, "recordings", f"{session}.rec")


def entry(client, kind, session):
    return wait_until(lambda: client.json("audit", "ls", "-k", kind, "-s", session)["Events"], f"the entry {kind}")[0]


def forget(relay, session):
    """As when it had become too old, a month later: the relay's own deletion has its tests elsewhere."""
    segments = os.path.join(relay.dir, "journal", "*.seg")
    relay.stop()
    with_it = set(glob.glob(segments))
    relay.start()
    assert with_it
    wait_until(lambda: not with_it & set(glob.glob(segments)), "it gone from the journal")
    relay.stop()
    os.unlink(path_of(relay, session))
    with sqlite3.connect(os.path.join(relay.dir, "relay.db")) as db:
        assert db.execute("UPDATE session SET recording_gone = 1 WHERE id = ?", (session,)).rowcount == 1
    db.close()


def read_back(client, session):
    """Asks until it is here again."""
    assert "is being fetched from s3://logs: ask again" in client.fails("replay", session, "--speed", "0")

    def look():
        done = client.run("replay", session, "--speed", "0")
        assert done.returncode == 0 or "ask again" in done.stderr, done.stderr
        return done.stdout if done.returncode == 0 else None
    return wait_until(look, f"the recording of {session}", PATIENCE * 2)


# --- there -----------------------------------------------------------------------------------------


def test_a_recording_is_put_into_the_bucket_as_it_lies_on_the_disk(relay, client, agent, storage, tmp_path):
    session = record(client)
    sealed = uploaded(storage, session)
    with open(path_of(relay, session), "rb") as f:
        assert f.read() == sealed
    assert CANARY.encode() not in sealed and set(storage.objects) == {key_of(session)}
    said, was = entry(client, "recording.uploaded", session), entry(client, "recording.sealed", session)
    assert said["Detail"] == f"s3://{key_of(session)}" and (said["Hash"], said["Size"]) == (was["Hash"], was["Size"])
    wait_until(lambda: relay.metrics()["hawser_recordings_unuploaded"] == 0, "nothing that waits", PATIENCE * 2)
    assert relay.metrics()["hawser_recordings_uploaded_total"] == 1
    assert relay.metrics()["hawser_recordings_upload_alarm"] == 0

    # An auditor's copy of the ledger, and what the bucket has: that is enough.
    relay.stop()
    copy = tmp_path / "copy"
    shutil.copytree(relay.dir, copy, ignore=shutil.ignore_patterns("recordings", "*.key", "relay.db*", "local.sock"))
    (copy / "recordings").mkdir()
    (copy / "recordings" / f"{session}.rec").write_bytes(sealed)

    def verify():
        return subprocess.run([program("hawser"), "audit", "verify", "--dir", str(copy)], text=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    done = verify()
    assert done.returncode == 0 and "INTACT" in done.stdout, done.stdout
    (copy / "recordings" / f"{session}.rec").write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert verify().returncode == 1


@pytest.mark.relay(recording_s3_bucket="")
def test_what_was_recorded_before_there_was_a_bucket_is_put_there_too(relay, client, agent, storage):
    first = record(client)
    wait_until(lambda: os.path.exists(path_of(relay, first)), "the recording")
    relay.stop()
    relay.set(recording_s3_bucket="logs")
    relay.start()
    uploaded(storage, first)
    agent.wait_online()
    uploaded(storage, record(client))


def test_what_waits_outlives_the_relay(relay, client, agent, storage):
    storage.plan = lambda handler: handler.cut() or True
    sessions = [record(client) for _ in range(3)]
    relay.wait_for_log("uploads.trouble")
    wait_until(lambda: relay.metrics()["hawser_recordings_unuploaded"] == 3, "three that wait", PATIENCE * 2)
    relay.kill9()
    storage.plan = lambda handler: False
    relay.start()
    for session in sessions:
        uploaded(storage, session)


@pytest.mark.relay(s3_part_mib=5)
def test_an_upload_in_parts_that_was_killed_leaves_none(relay, client, agent, storage):
    reached = threading.Event()

    def plan(handler):
        if "partNumber=2" not in handler.path:
            return False
        reached.set()
        handler.hang(PATIENCE)
        return True

    storage.plan = plan
    session = record(client, "head -c 7000000 /dev/urandom")
    assert reached.wait(PATIENCE * 2)
    assert len(storage.parts) == 1
    killed = list(storage.parts)[0]
    relay.kill9()
    storage.plan = lambda handler: False
    relay.start()
    sealed = uploaded(storage, session)
    assert storage.parts == {} and storage.begun == 2
    assert [m for m, p in storage.seen if m == "DELETE"] == ["DELETE"], killed
    with open(path_of(relay, session), "rb") as f:
        assert f.read() == sealed


def test_one_that_is_damaged_is_not_put_there_and_is_an_alarm(relay, client, agent, storage):
    storage.plan = lambda handler: handler.cut() or True
    session = record(client)
    relay.wait_for_log("uploads.trouble")
    relay.stop()
    with open(path_of(relay, session), "r+b") as f:
        f.seek(-5, os.SEEK_END)
        f.write(b"wrong")
    storage.plan = lambda handler: False
    relay.start()
    said = wait_until(lambda: client.json("audit", "ls", "-k", "alarm")["Events"], "the alarm", PATIENCE * 2)[0]["Reason"]
    assert session in said and "damaged" in said
    assert storage.objects == {}
    agent.wait_online()
    uploaded(storage, record(client))  # nobody else waits for it


# --- and back --------------------------------------------------------------------------------------


def test_one_that_was_deleted_here_is_fetched_back_to_be_read(relay, client, agent, storage):
    session = record(client)
    sealed = uploaded(storage, session)
    entry(client, "recording.uploaded", session)
    forget(relay, session)
    relay.start()
    assert CANARY in read_back(client, session)
    with open(path_of(relay, session), "rb") as f:
        assert f.read() == sealed
    assert entry(client, "recording.fetched", session)["Hash"] == entry(client, "recording.sealed", session)["Hash"]
    assert CANARY in client.ok("audit", "export", session, "--format", "text")
    assert relay.metrics()["hawser_recordings_fetched_total"] == 1


def test_it_is_fetched_and_opened_after_another_master_key_too(relay, client, agent, storage):
    session = record(client)
    sealed = uploaded(storage, session)
    entry(client, "recording.uploaded", session)
    forget(relay, session)
    subprocess.run([program("hawser-relay"), "rotate-key", "--dir", relay.dir], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE * 4)
    relay.start()
    assert CANARY in read_back(client, session)
    with open(path_of(relay, session), "rb") as f:
        back = f.read()
    assert back != sealed and back[92:] == sealed[92:]  # but for the wrapped key


def test_what_is_not_what_was_put_there_never_takes_its_place(relay, client, agent, storage):
    session = record(client)
    sealed = uploaded(storage, session)
    entry(client, "recording.uploaded", session)
    forget(relay, session)
    relay.start()
    for bad, says in ((sealed[:-9] + b"rearrange", "is not the recording that was put there"), (sealed + b"more", "more than"),
                      (None, "does not have it")):
        storage.objects[key_of(session)] = bad
        if bad is None:
            del storage.objects[key_of(session)]
        wait_until(lambda: says in client.fails("replay", session, "--speed", "0"), says, PATIENCE * 2)
        wait_until(lambda: glob.glob(os.path.join(relay.dir, "recordings", "*"), include_hidden=True) == [], "nothing of it")
    storage.objects[key_of(session)] = sealed
    assert CANARY in wait_until(lambda: client.run("replay", session, "--speed", "0").stdout, "it back", PATIENCE * 2)


# --- settings --------------------------------------------------------------------------------------


def test_settings_that_are_not_good_are_said_at_the_start(relay):
    relay.stop()
    for good, bad, word in ((("recording_s3_bucket", "logs"), "Logs", "recording_s3_bucket"),
                            (("recording_s3_prefix", ""), "a//b", "recording_s3_prefix"),
                            (("recording_s3_first", 1), 2, "recording_s3_first"), (("s3_endpoint", ""), "", "s3_endpoint is not")):
        relay.set(**{good[0]: bad})
        with pytest.raises(AssertionError):
            relay.start()
        assert word in relay.log, relay.log
        relay.set(**{good[0]: good[1]})
