"""What an operator does to a relay: backup and restore, reload, drain, metrics and logs."""

import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from support import audit
from support.relay import PATIENCE, free_port, program, wait_until
from test_witness import status

SECRET = "canary-7c1e-typed-and-shown"


def operate(*args, stdin=None, text=True):
    return subprocess.run([program("hawser-relay"), *args], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text, timeout=2 * PATIENCE, check=False)


def verify(folder, *args):
    done = subprocess.run([program("hawser"), "audit", "verify", "--offline", "--dir", str(folder), *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def keys(client, tmp_path):
    """Key pair of whoever keeps backups: the public half's file and the private half's."""
    private = os.path.join(client.home, "auditor.key")
    public = tmp_path / "ops.pub"
    public.write_text(client.ok("audit", "keygen"))
    return str(public), private


@pytest.fixture
def words(tmp_path):
    """A passphrase's file."""
    path = tmp_path / "words"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return str(path)


def test_a_relay_that_lost_its_directory_comes_back_from_its_backup(relay, client, agents, keys, tmp_path):
    agent = agents()
    second = agents("web-02")
    public, private = keys
    file = str(tmp_path / "relay.hwb")
    assert client.ok("exec", "web-01", "--", f"echo {SECRET}") == f"{SECRET}\n"
    client.ok("run", "--target", "web-01", "--", f"seq 20000; echo {SECRET}")
    run = client.json("runs", "ls")["Commands"][0]["CommandId"]
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo before-$((40 + 2))")
    shell.expect("before-42")

    # Sessions come and go while it is taken.
    busy = client.popen("exec", "web-02", "--", "for i in $(seq 300); do echo $i; sleep 0.02; done", stdout=subprocess.DEVNULL)
    done = operate("backup", "--dir", relay.dir, "--to", public, file)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ files, .*when the ledger had \d+ entries", done.stderr), done.stderr
    entries = int(re.search(r"had (\d+) entries", done.stderr)[1])
    assert "recovery.key still lies" in done.stderr
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert not os.path.exists(os.path.join(relay.dir, "backup.tmp"))
    busy.kill()
    busy.wait()
    with open(file, "rb") as f:
        sealed = f.read()
    with open(os.path.join(relay.dir, "master.key"), encoding="ascii") as f:
        master = f.read().strip()
    assert SECRET.encode() not in sealed and master.encode() not in sealed and bytes.fromhex(master) not in sealed
    assert "begin_backup" in str(audit.ledger(relay.dir)) or "BeginBackup" in str(audit.ledger(relay.dir))

    # More work, of which the backup knows nothing; nodes hear of it, one renews its certificate, and all is lost.
    for _ in range(8):
        client.ok("ls")
    agent.stop()
    agent.start()
    size = lambda: int((re.match(r"agrees at (\d+) entries", status(agent).get("Witness", "")) or [0, 0])[1])
    wait_until(lambda: size() > entries, "a head that the backup has not", 3 * PATIENCE)
    relay.kill9()
    shutil.rmtree(relay.dir)

    checked = operate("restore", "--verify", "--key", private, file)
    assert checked.returncode == 0 and "it can be restored" in checked.stderr, checked.stderr
    restored = operate("restore", "--dir", relay.dir, "--key", private, file)
    assert restored.returncode == 0, restored.stderr
    assert "hawser-relay recover --dir" in restored.stderr and f"had {entries} entries" in restored.stderr
    assert not os.path.exists(os.path.join(relay.dir, "restore.tmp"))
    code, said = verify(relay.dir, "--master-key", os.path.join(relay.dir, "master.key"))
    assert code in (0, 2) and "BROKEN" not in said, said

    recovered = operate("recover", "--dir", relay.dir, "--recovery-key", os.path.join(relay.dir, "recovery.key"))
    assert recovered.returncode == 0, recovered.stderr
    relay.start()
    agent.wait_online()
    second.wait_online()
    wait_until(lambda: status(agent).get("WitnessState") == "Agrees", "the node's consent", 3 * PATIENCE)
    wait_until(lambda: client.run("exec", "web-01", "--", "echo again").stdout == "again\n", "a session")
    assert SECRET in client.ok("runs", "output", run, "web-01")
    shell.close(force=True)
    kinds = [e["Kind"] for e in audit.ledger(relay.dir)]
    assert kinds.count("relay.restored") == 1
    relay.stop()
    code, said = verify(relay.dir, "--witnesses", os.path.join(agent.dir, "witness"))
    assert code == 0 and said.rstrip().endswith("INTACT"), said
    relay.start()
    assert [e["Kind"] for e in audit.ledger(relay.dir)].count("relay.restored") == 1


def test_a_certificate_of_the_time_that_was_lost_is_taken_once(relay, node, words, tmp_path):
    """A node renewed after the backup was made: it is let in with what the restored relay does not know."""
    file = str(tmp_path / "relay.hwb")
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    relay.kill9()
    shutil.rmtree(relay.dir)
    assert operate("restore", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    relay.start()
    newer = relay.forge("node", node.id)
    relay.link(newer, "node").close()
    relay.wait_for_log("node.adopted")

    def refused(identity):
        try:
            relay.link(identity, "node").close()
        except Exception:  # whichever way the door says so
            return True
        return False
    wait_until(lambda: refused(node), "the end of the certificate before")
    assert refused(relay.forge("node", node.id))
    relay.link(newer, "node").close()


def test_a_relay_that_stands_still_is_backed_up_by_a_passphrase_and_through_a_pipe(relay, client, agent, words, tmp_path):
    client.ok("exec", "web-01", "--", "echo here")
    relay.stop()
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    wrong.chmod(0o600)
    piped = operate("backup", "--dir", relay.dir, "--passphrase-file", words, "-", text=False)
    assert piped.returncode == 0, piped.stderr
    to = str(tmp_path / "copy")
    refused = operate("restore", "--dir", to, "--passphrase-file", str(wrong), "-", stdin=piped.stdout, text=False)
    assert refused.returncode == 1 and b"not the backup's passphrase" in refused.stderr
    assert operate("restore", "--dir", to, "--passphrase-file", words, "-", stdin=piped.stdout, text=False).returncode == 0
    code, said = verify(to)
    assert code == 0 and said.rstrip().endswith("INTACT"), said
    for name in ("ca.key", "master.key", "ledger.key", "relay.conf", "ca.crt"):
        with open(os.path.join(relay.dir, name), "rb") as a, open(os.path.join(to, name), "rb") as b:
            assert a.read() == b.read(), name
    assert {os.path.basename(f) for f in glob.glob(f"{relay.dir}/recordings/*.rec")} == \
        {os.path.basename(f) for f in glob.glob(f"{to}/recordings/*.rec")}
    light = operate("backup", "--dir", relay.dir, "--passphrase-file", words, "--without-recordings", "-", text=False)
    assert light.returncode == 0 and b"recordings/*.rec beside" in light.stderr and len(light.stdout) < len(piped.stdout)
    relay.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root has no file that another must not read")
def test_root_reads_for_a_relay_what_its_user_may_read(relay, words, tmp_path):
    """The directory is its user's, who may put links into it before root makes a backup."""
    relay.stop()
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chmod(top, 0o755)
        folder = os.path.join(top, "relay")
        shutil.copytree(relay.dir, folder)
        shutil.rmtree(os.path.join(folder, "commands"), ignore_errors=True)
        for where, folders, names in os.walk(folder):
            for name in (*folders, *names, "."):
                os.chown(os.path.join(where, name), 65534, 65534)
        secret = tmp_path / "roots"
        secret.mkdir(mode=0o700)
        (secret / "shadow").write_text(SECRET)
        os.symlink(secret, os.path.join(folder, "commands"))
        file = str(tmp_path / "relay.hwb")
        refused = operate("backup", "--dir", folder, "--passphrase-file", words, file)
        assert refused.returncode == 1 and "commands" in refused.stderr, refused.stderr
        assert not os.path.exists(file) and not os.path.exists(os.path.join(folder, "backup.tmp"))
        os.unlink(os.path.join(folder, "commands"))
        done = operate("backup", "--dir", folder, "--passphrase-file", words, file)
        assert done.returncode == 0, done.stderr
        assert os.stat(file).st_uid == 0 and os.stat(file).st_mode & 0o777 == 0o600
        assert {os.lstat(os.path.join(where, name)).st_uid for where, folders, names in os.walk(folder)
                for name in (*folders, *names)} == {65534}
        assert operate("restore", "--verify", "--passphrase-file", words, file).returncode == 0
    relay.start()


def test_what_is_no_good_backup_leaves_the_directory_alone(relay, words, tmp_path):
    file = str(tmp_path / "relay.hwb")
    assert operate("backup", "--dir", relay.dir, file).returncode == 1  # to nobody
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    with open(file, "rb") as f:
        good = f.read()
    to = str(tmp_path / "copy")

    def restore(data):
        done = operate("restore", "--dir", to, "--passphrase-file", words, "-", stdin=data, text=False)
        assert done.returncode == 1 and os.listdir(to) == [], done.stderr
        return done.stderr.decode()
    assert "damaged" in restore(good[:-1])
    assert "damaged" in restore(good[:len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1:])
    assert "is no backup" in restore(b"#!/bin/sh\n" * 20)
    assert "format" in restore(good[:14] + b"9\n" + good[16:])
    # A directory that holds anything is no place for it.
    taken = operate("restore", "--dir", relay.dir, "--passphrase-file", words, file)
    assert taken.returncode == 1 and "is not empty" in taken.stderr
    assert relay.healthy()
    # Nowhere to write: nothing is left.
    nowhere = operate("backup", "--dir", relay.dir, "--passphrase-file", words, str(tmp_path / "no" / "such"))
    assert nowhere.returncode == 1 and not os.path.exists(os.path.join(relay.dir, "backup.tmp"))
    # What could not be restored is not taken.
    os.unlink(file)
    strange = os.path.join(relay.dir, "relay conf\x1b[2J")
    with open(strange, "w", encoding="ascii"):
        pass
    refused = operate("backup", "--dir", relay.dir, "--passphrase-file", words, file)
    assert refused.returncode == 1 and 'holds "relay conf?[2J"' in refused.stderr and "rename it" in refused.stderr
    assert not os.path.exists(file)
    os.unlink(strange)
    # A master key in a folder of its own is.
    relay.stop()
    os.mkdir(os.path.join(relay.dir, "keys"), 0o700)
    os.rename(os.path.join(relay.dir, "master.key"), os.path.join(relay.dir, "keys", "master.key"))
    with open(os.path.join(relay.dir, "relay.conf"), encoding="utf-8") as f:
        conf = [line for line in f if not line.startswith("master_key")]
    with open(os.path.join(relay.dir, "relay.conf"), "w", encoding="utf-8") as f:
        f.writelines([*conf, "master_key = keys/master.key\n"])
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    back = operate("restore", "--dir", to, "--passphrase-file", words, file)
    assert back.returncode == 0 and os.path.exists(os.path.join(to, "keys", "master.key")), back.stderr
    # What a backup says goes to no shell.
    shutil.rmtree(to)
    key = str(tmp_path / "a; touch \x1b[2J")
    os.rename(os.path.join(relay.dir, "keys", "master.key"), key)
    with open(os.path.join(relay.dir, "relay.conf"), "w", encoding="utf-8") as f:
        f.writelines([*conf, f"master_key = {key}\n"])
    assert operate("backup", "--dir", relay.dir, "--passphrase-file", words, file).returncode == 0
    back = operate("restore", "--dir", to, "--passphrase-file", words, file)
    assert back.returncode == 0 and "belongs where relay.conf says" in back.stderr, back.stderr
    assert "touch" not in back.stderr and "\x1b" not in back.stderr
    with open(os.path.join(to, "relay.conf"), "a", encoding="utf-8") as f:
        f.write("x\x1b[2J = 1\n")
    refused = operate("backup", "--dir", to, "--passphrase-file", words, file)
    assert refused.returncode == 1 and 'no setting is named "x?[2J"' in refused.stderr


def started(relay):
    """How many times its log says that it was ready."""
    return relay.log.count("relay.ready")


def test_settings_and_certificate_are_taken_while_links_and_sessions_stay(relay, client, agent):
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo here-$((40 + 2))")
    shell.expect("here-42")

    def certificate():
        with relay.connect() as tls:
            return tls.getpeercert(binary_form=True)

    def reload():
        return operate("reload", "--dir", relay.dir)
    before = certificate()
    same = reload()
    assert same.returncode == 0 and "certificate: the same" in same.stdout, same.stderr
    relay.set(max_sessions_per_user=1, workers=7)
    done = reload()
    assert done.returncode == 0 and "from now on: max_sessions_per_user\n" in done.stdout, done.stderr
    assert "takes a restart: workers\n" in done.stdout

    # What is wrong changes nothing, and says so.
    conf = os.path.join(relay.dir, "relay.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text + "max_sessions = many\n")
    bad = reload()
    assert bad.returncode == 1 and "max_sessions" in bad.stderr and "line" in bad.stderr
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    crt, key = (os.path.join(relay.dir, name) for name in ("relay.crt", "relay.key"))
    kept = [open(path, "rb").read() for path in (crt, key)]
    foreign = relay.forge("user", "mallory")
    shutil.copy(foreign.cert, crt)
    bad = reload()
    assert bad.returncode == 1 and "relay.crt" in bad.stderr and certificate() == before
    other = relay.forge("relay", "relay")
    shutil.copy(other.cert, crt)  # without its key
    assert reload().returncode == 1 and certificate() == before
    shutil.copy(other.key, key)
    taken = reload()
    assert taken.returncode == 0 and "certificate: another one" in taken.stdout, taken.stderr
    assert certificate() != before
    assert abs(relay.metrics()["hawser_certificate_expiry_seconds"] - time.time() - 86400) < 3600

    # The same by a signal.
    for path, data in zip((crt, key), kept):
        with open(path, "wb") as f:
            f.write(data)
    os.kill(relay.pid, signal.SIGHUP)
    wait_until(lambda: certificate() == before, "the first certificate")
    shell.sendline("echo still-$((40 + 2))")
    shell.expect("still-42")
    shell.sendline("exit")
    shell.wait()
    assert started(relay) == 1
    assert "max_sessions_per_user" in str([e for e in audit.ledger(relay.dir) if e["Kind"] == "relay.reload"])
    assert operate("reload", "--dir", relay.base).returncode == 1  # where no relay is


def rotate(relay, *args):
    return operate("rotate-keys", "--dir", relay.dir, *args)


def test_another_key_is_shown_while_links_and_sessions_stay(relay, client, agent):
    """A relay that runs takes it at once, one that is stopped when it starts; cut off in between it is made whole."""
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo here-$((40 + 2))")
    shell.expect("here-42")
    key, ready = (os.path.join(relay.dir, name) for name in ("relay.key", "relay.next"))

    def shown():
        with relay.connect() as tls:
            return tls.getpeercert(binary_form=True)

    def kept():
        with open(key, "rb") as f:
            return f.read()
    first, old = shown(), kept()
    done = rotate(relay, "--what", "tls")
    assert done.returncode == 0 and "another key" in done.stdout, done.stderr
    second = shown()
    assert second != first and kept() != old and not os.path.exists(ready)
    assert client.ok("exec", "web-01", "--", "echo new") == "new\n"  # by the pin of the authority, which stays
    shell.sendline("echo still-$((40 + 2))")
    shell.expect("still-42")
    entry = re.search(r"relay.rekeyed .* entry=(\d+)", relay.log)[1]
    assert client.json("audit", "show", "#" + entry)["Kind"] == "relay.reload"

    # When the settings are bad the key waits, and nothing changes before they are good.
    conf = os.path.join(relay.dir, "relay.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    with open(conf, "a", encoding="utf-8") as f:
        f.write("max_sessions = many\n")
    waits = rotate(relay, "--what", "tls")
    assert waits.returncode == 1 and "max_sessions" in waits.stderr and "reload" in waits.stderr
    assert shown() == second and os.path.exists(ready)
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text)
    assert "relay.next" in operate("check", "--dir", relay.dir).stdout
    assert "another one" in operate("reload", "--dir", relay.dir).stdout and not os.path.exists(ready)
    third = shown()
    assert third != second

    # Stopped, and cut off where the key is the new one and the certificate is not yet.
    relay.stop()
    stopped = rotate(relay, "--what", "tls")
    assert stopped.returncode == 0 and "when it starts" in stopped.stdout, stopped.stderr
    shutil.copy(os.path.join(ready, "relay.key"), key)
    relay.start()
    agent.wait_online()
    assert shown() not in (first, second, third) and not os.path.exists(ready)
    shell.sendline("echo again-$((40 + 2))")
    shell.expect("again-42")

    # A copy of the directory that has the key of before and the certificate of after.
    relay.stop()
    with open(key, "wb") as f:
        f.write(old)
    relay.start()
    agent.wait_online()
    with relay.connect() as tls, open(key, "rb") as f:
        assert tls.getpeercert(binary_form=True) and f.read() == old
    shell.sendline("echo more-$((40 + 2))")
    shell.expect("more-42")
    shell.sendline("exit")
    shell.wait()
    assert len([e for e in audit.ledger(relay.dir) if "key=changed" in e.get("Detail", "")]) == 3

    for args in ((), ("--what", "all"), ("--what", "tls", "--retire"), ("--what", "ca", "--force"), ("--what", "tls", "--master-key", "x"), ("--what", "master", "--recovery-key", "x")):
        bad = rotate(relay, *args)
        assert bad.returncode == 2 and "rotate-keys --help" in bad.stderr, args
    assert rotate(relay, "--what", "master").returncode == 1  # it runs
    assert rotate(relay, "--what", "ledger").returncode == 1
    assert operate("rotate-keys", "--dir", relay.base, "--what", "tls").returncode == 1  # where no relay is


def test_a_relay_that_drains_begins_nothing_and_ends_nothing(relay, client, agent, ssm):
    shell = client.spawn("shell", "web-01")
    shell.sendline("echo here-$((40 + 2))")
    shell.expect("here-42")
    done = operate("drain", "--dir", relay.dir, "--for", "1h")
    assert done.returncode == 0 and re.match(r"draining until \S+: 1 session, 0 commands", done.stdout), done.stdout
    status_, _, body = relay.http("GET", "/healthz")
    assert status_ == 503 and b"draining" in body
    assert relay.metrics()["hawser_draining"] == 1
    assert "draining" in client.fails("exec", "web-01", "--", "true")
    assert "draining" in client.fails("run", "--target", "web-01", "--", "true")
    with pytest.raises(ssm.exceptions.ClientError) as refused:
        ssm.send_command(InstanceIds=[agent_id(client)], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]})
    assert refused.value.response["Error"]["Code"] == "RelayDraining"
    assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "30"
    shell.sendline("echo still-$((40 + 2))")
    shell.expect("still-42")
    assert operate("drain", "--dir", relay.dir, "--for", "soon").returncode == 2
    done = operate("drain", "--dir", relay.dir, "--undo")
    assert done.returncode == 0 and done.stdout.startswith("serving: 1 session")
    assert relay.healthy() and client.ok("exec", "web-01", "--", "echo again") == "again\n"
    operate("drain", "--dir", relay.dir)
    shell.sendline("exit")
    shell.wait()
    relay.stop()
    relay.start()  # which ends it
    assert relay.metrics()["hawser_draining"] == 0


def agent_id(client):
    return client.json("ls")["InstanceInformationList"][0]["InstanceId"]


def test_rules_and_dashboard_name_what_there_is(relay, client):
    """Every metric that they name is one that a relay tells, and each has its help and type."""
    docs = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "prometheus")
    c = http.client.HTTPConnection("127.0.0.1", relay.metrics_port, timeout=PATIENCE)
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    c.close()
    types = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))
    assert set(types) == set(re.findall(r"(?m)^# HELP (\S+) \S", text))
    told = {name for name in re.findall(r"(?m)^(hawser_\w+)", text)}
    for name in told:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in types or types.get(base) == "histogram", name
    buckets = [float(v) for v in re.findall(r'journal_write_latency_seconds_bucket\{le="[^"]+"\} (\S+)', text)]
    assert buckets == sorted(buckets) and buckets[-1] > 0
    where_a_bucket_is = {"hawser_recordings_upload_alarm"}
    for file in ("hawser.rules.yml", "hawser-dashboard.json"):
        with open(os.path.join(docs, file), encoding="utf-8") as f:
            content = f.read()
        named = set(re.findall(r"hawser_\w+", content))
        assert len(named) > 10 and named - told - where_a_bucket_is == set(), named - told
    with open(os.path.join(docs, "hawser-dashboard.json"), encoding="utf-8") as f:
        assert json.load(f)["panels"]
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "rules", os.path.join(docs, "hawser.rules.yml")], check=True, timeout=PATIENCE)


def test_a_log_of_json_has_nothing_of_a_peers_making(relay, client, agent):
    relay.stop()
    relay.set(log_format="json")
    os.unlink(relay.log_path)
    relay.start("--log-level", "debug")
    agent.wait_online()
    client.run("exec", 'no"such\nnode level=error', "--", "true")
    client.ok("exec", "web-01", "--", "true")
    assert client.run("api", "StartSession", "Target=mi-0123456789abcdef0").returncode != 0
    relay.stop()
    lines = [json.loads(line) for line in relay.log.splitlines() if not line.startswith("hawser-relay: ")]
    assert {"time", "level", "component", "event"} <= set.intersection(*(set(line) for line in lines))
    assert any(line["event"] == "relay.ready" and line["component"] == "relay" and line["version"] for line in lines)
    assert any(line.get("session", "").startswith("admin-") for line in lines)
    assert all(line["level"] in ("error", "warn", "info", "debug") for line in lines)
    ledger = {e["Sequence"]: e for e in audit.ledger(relay.dir)}
    ends = [line for line in lines if line["event"] == "request.done" and "entry" in line]
    assert any(line["operation"] == "StartSession" and line["code"] == "" for line in ends)
    assert any(line["operation"] == "StartSession" and line["code"] != "" for line in ends)
    assert all(ledger[int(line["entry"])]["RequestId"] == line["request"] for line in ends)
    kinds = {line["event"]: ledger[int(line["entry"])]["Kind"] for line in lines if "entry" in line}
    del kinds["request.done"]
    assert {"link.up": "link.up", "session.live": "session.start", "session.end": "session.end"}.items() <= kinds.items()
    refused = operate("run", "--dir", relay.dir, "--log-format", "xml")
    assert refused.returncode == 1 and "--log-format" in refused.stderr
    relay.start()


def test_a_relay_says_when_it_answers_and_when_it_goes(tmp_path):
    """As systemd asks it to: `systemctl start hawser-relay` ends when the next command finds a relay."""
    folder, said = tmp_path / "relay", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    assert operate("init", "--dir", folder, "--listen", f"127.0.0.1:{free_port()}").returncode == 0
    assert "no relay is running" in operate("admin", "--dir", folder, "users").stderr
    said.bind(str(tmp_path / "notify"))
    said.settimeout(PATIENCE)
    relay = subprocess.Popen([program("hawser-relay"), "run", "--dir", folder, "--allow-root"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, NOTIFY_SOCKET=str(tmp_path / "notify")))
    try:
        assert said.recv(100) == b"READY=1\n"
        assert operate("admin", "--dir", folder, "users").returncode == 0
    finally:
        relay.terminate()
    assert said.recv(100) == b"STOPPING=1\n" and relay.wait(PATIENCE) == 0
