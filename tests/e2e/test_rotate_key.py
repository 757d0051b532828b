"""Another master key for a relay: nothing is lost, nothing opens with the old one, and no kill leaves it between the two."""

import fcntl
import glob
import os
import re
import shutil
import subprocess

import pytest

from support import audit
from support.relay import PATIENCE, program

CANARY = "canary-5e1f-typed-and-shown"
CALLS = "pwrite64,write,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,ftruncate"


def rotate(folder, *before):
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
    return subprocess.run([*before, program("hawser-relay"), "rotate-keys", "--what", "master", "--dir", folder], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * PATIENCE, env=env)


def key_of(folder):
    with open(os.path.join(folder, "master.key"), encoding="ascii") as f:
        return f.read().strip()


def in_clear(folder):
    """Files that hold the canary."""
    hits = []
    for path in glob.glob(f"{folder}/**", recursive=True, include_hidden=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                if CANARY.encode() in f.read():
                    hits.append(path)
    return hits


@pytest.fixture
def used(client, agent, relay, key):
    """One of each that a master key keeps: a relay that stands still, and what to ask it afterwards."""
    child = client.spawn("shell", "web-01", "--", "read -s -p 'Password: ' x; echo shown-$x; exit")
    child.expect("Password: ")
    session = client.json("sessions", "ls", "--live")["Sessions"][0]["SessionId"]
    child.sendline(CANARY)
    child.wait()
    client.run("run", "--target", "web-01", "--", f"seq 20000; echo {CANARY}")
    client.run("run", "--target", "web-01", "--", f"echo {CANARY}")
    runs = [c["CommandId"] for c in client.json("runs", "ls")["Commands"]]
    assert len(runs) == 2
    relay.stop()
    return {"session": session, "runs": runs, "key": key}


def verify(folder, *args):
    done = subprocess.run([program("hawser"), "audit", "verify", "--dir", str(folder), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0 and done.stdout.rstrip().endswith("INTACT"), done.stdout


def check_all(client, agent, relay, used):
    agent.wait_online()
    assert CANARY in client.ok("audit", "export", used["session"], "--format", "text")
    for run in used["runs"]:
        assert CANARY in client.ok("runs", "output", run, "web-01")
    assert client.ok("exec", "web-01", "--", "echo well") == "well\n"
    kinds = [e["Kind"] for e in audit.ledger(relay.dir)]
    assert "master.key" in kinds and "recording.sealed" in kinds


def test_all_is_there_and_nothing_opens_with_the_old_key(client, agent, relay, used, tmp_path):
    from support import aws  # not for tests that have no use for boto3
    before = key_of(relay.dir)
    assert in_clear(relay.dir) == []
    assert any(os.path.getsize(f) > audit.HEAD for f in glob.glob(f"{relay.dir}/ledger/ledger-*.log"))
    out = rotate(relay.dir)
    assert out.returncode == 0 and "the master key is another one" in out.stdout, out.stdout
    after = key_of(relay.dir)
    assert after != before and in_clear(relay.dir) == []
    assert not glob.glob(os.path.join(relay.dir, "master.key.*"))
    for path in glob.glob(f"{relay.dir}/**", recursive=True, include_hidden=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                data = f.read()
            assert before.encode() not in data and bytes.fromhex(before) not in data, path
    verify(relay.dir)
    with pytest.raises(AssertionError, match="(?s)recordings ok   ledger ok.*the last entries are not signed yet"):
        verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))  # that the key is another one
    relay.start()
    check_all(client, agent, relay, used)
    assert in_clear(relay.dir) == []
    assert aws.client(relay, used["key"]).describe_instance_information()["InstanceInformationList"]
    relay.stop()
    verify(relay.dir)
    verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))

    # the old key, put back by somebody who had kept it
    old = tmp_path / "old"
    shutil.copytree(relay.dir, old)
    (old / "master.key").write_text(before + "\n")
    with pytest.raises(audit.Corrupt):
        audit.journal(str(old))
    with pytest.raises(audit.Corrupt):
        audit.ledger(str(old))
    again = subprocess.run([program("hawser-relay"), "run", "--dir", str(old), "--allow-root"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
    assert again.returncode == 1
    relay.start()


def test_killed_at_every_step_it_goes_on(client, agent, relay, used, tmp_path):
    master = key_of(relay.dir)
    steps = between = 0
    while True:
        at = tmp_path / "killed"
        shutil.copytree(relay.dir, at)
        out = rotate(str(at), "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}",
                     "-e", f"inject={CALLS}:signal=SIGKILL:when={steps + 1}")
        if out.returncode == 0:
            break
        steps += 1
        assert in_clear(at) == [], f"step {steps}"
        if glob.glob(f"{at}/master.key.*"):
            between += 1
            if between % 8 == 1:
                refused = subprocess.run([program("hawser-relay"), "run", "--dir", str(at), "--allow-root"],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         text=True, timeout=PATIENCE)
                assert refused.returncode == 1
                assert re.search(r"was cut off .*hawser-relay rotate-key --dir", refused.stdout, re.S), refused.stdout
        done = rotate(str(at))
        assert done.returncode == 0, f"step {steps}: {done.stdout}"
        assert key_of(at) != master and not glob.glob(f"{at}/master.key.*"), f"step {steps}"
        kinds = [e["Kind"] for e in audit.ledger(str(at))]
        assert "master.key" in kinds, f"step {steps}"
        last = tmp_path / "last"
        shutil.rmtree(last, ignore_errors=True)
        os.rename(at, last)
    assert steps > 20 and between > 10
    shutil.rmtree(relay.dir)
    shutil.copytree(last, relay.dir)
    relay.start()
    check_all(client, agent, relay, used)


def test_a_relay_that_runs_is_left_alone(client, relay):
    before = key_of(relay.dir)
    out = rotate(relay.dir)
    assert out.returncode == 1 and "a relay is running" in out.stdout and key_of(relay.dir) == before


def test_a_backup_is_waited_for_and_what_one_left_goes(relay):
    """It would have keys of before, and files of after."""
    relay.stop()
    before = key_of(relay.dir)
    os.makedirs(os.path.join(relay.dir, "backup.tmp", "recordings"))
    left = os.path.join(relay.dir, "backup.tmp", "relay.db")
    shutil.copy(os.path.join(relay.dir, "relay.db"), left)
    with open(os.path.join(relay.dir, "backup.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for args in (["rotate-keys", "--what", "master"], ["rotate-keys", "--what", "ledger"], ["rotate-keys", "--what", "ca"],
                     ["erase", "--entry", "1", "--reason", "a test"]):
            done = subprocess.run([program("hawser-relay"), args[0], "--dir", relay.dir, *args[1:]], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
            assert done.returncode == 1 and "a backup of" in done.stdout, (args, done.stdout)
    assert key_of(relay.dir) == before and os.path.exists(left)
    # An entry that is erased, too, is in the segments that it has kept.
    assert "no entry" in subprocess.run([program("hawser-relay"), "erase", "--dir", relay.dir, "--entry", "100000", "--reason", "a test"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        timeout=PATIENCE, check=False).stdout
    assert not os.path.exists(os.path.dirname(left))
    os.makedirs(os.path.dirname(left))
    shutil.copy(os.path.join(relay.dir, "relay.db"), left)
    out = rotate(relay.dir)
    assert out.returncode == 0 and not os.path.exists(os.path.dirname(left)), out.stdout


def damage(path):
    """Flips a bit of the wrapped key; returns what was there."""
    with open(path, "r+b") as f:
        f.seek(50)
        byte = f.read(1)
        f.seek(50)
        f.write(bytes([byte[0] ^ 1]))
    return byte


def test_a_file_that_no_key_opens_is_named_and_the_old_key_stays(client, agent, relay, used):
    before = key_of(relay.dir)
    path = min(glob.glob(os.path.join(relay.dir, "ledger", "ledger-*.log")))
    byte = damage(path)
    out = rotate(relay.dir)
    assert out.returncode == 1 and os.path.basename(path) in out.stdout and "no key" in out.stdout, out.stdout
    assert key_of(relay.dir) == before
    with open(path, "r+b") as f:
        f.seek(50)
        f.write(byte)
    assert rotate(relay.dir).returncode == 0
    relay.start()
    check_all(client, agent, relay, used)


def test_a_damaged_recording_is_named_and_keeps_nothing_else_from_the_new_key(client, agent, relay, used):
    before = key_of(relay.dir)
    damage(os.path.join(relay.dir, "recordings", used["session"] + ".rec"))
    out = rotate(relay.dir)
    assert out.returncode == 0 and used["session"] + ".rec is damaged" in out.stdout, out.stdout
    assert key_of(relay.dir) != before
    relay.start()
    assert "web-01" in client.ok("ls")
    assert client.run("replay", used["session"]).returncode != 0
