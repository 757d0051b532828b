"""The ledger and the recordings, found: audit ls, show, tail, grep, export --entries, and streams of entries."""

import json
import os
import re
import signal
import subprocess
import time

import pexpect
import pytest

from support.relay import PATIENCE, wait_until
from support.syslog import Syslog


def entries(client, *filters):
    return client.json("audit", "ls", "--limit", "0", *filters)["Events"]


def hits_of(client, *args):
    """Hits of a search, which may find nothing."""
    done = client.run("audit", "grep", *args, "-o", "json")
    assert done.returncode in (0, 1), done.stderr
    hits = json.loads(done.stdout)["Hits"]
    assert (done.returncode == 0) == bool(hits)
    return hits


def sequences(lines):
    return [json.loads(line)["Sequence"] for line in lines]


@pytest.fixture
def auditor(tmp_path, client):
    """Somebody who reads, and does nothing else."""
    user = client.add_user(tmp_path, "iris")
    client.ok("policy", "attach", "auditor", "--user", "iris")
    return user


# --- entries --------------------------------------------------------------------------------------


def test_entries_are_found_by_what_they_are_about(client, agents, tmp_path):
    agents("web-01", "--tag", "Env=prod")
    agents("db-1", "--tag", "Env=dev")
    client.run("exec", "web-01", "--", "true")
    client.run("exec", "db-1", "--", "true")
    client.add_user(tmp_path, "bob").fails("ls")
    node = {n["Name"]: n["InstanceId"] for n in client.json("ls")["InstanceInformationList"]}
    session = [s for s in client.json("sessions", "ls")["Sessions"] if s["Target"] == node["web-01"]][0]["SessionId"]

    starts = entries(client, "-k", "session.start")
    assert len(starts) == 2
    assert [e["SessionId"] for e in entries(client, "-k", "session.start", "-n", "web-01")] == [session]
    assert [e["SessionId"] for e in entries(client, "-k", "session.start", "-t", "Env=prod")] == [session]
    assert [e["SessionId"] for e in entries(client, "-k", "session.start", "-n", node["web-01"])] == [session]
    assert entries(client, "-k", "session.start", "-t", "Env=none") == []
    kinds = {e["Kind"] for e in entries(client, "-s", session)}
    assert {"session.start", "session.end", "recording.sealed"} <= kinds
    denied = entries(client, "-u", "bob", "-r", "denied")
    assert denied and all(e["Principal"].endswith("user/bob") and e["Outcome"] == "denied" for e in denied)
    assert all(e["Action"] == "ssm:StartSession" for e in entries(client, "-a", "StartSession"))
    assert entries(client, "--from", "203.0.113.9") == []
    assert entries(client, "--until", "1h") == [] and entries(client, "--since", "1h")
    numbers = [e["Sequence"] for e in entries(client)]
    assert numbers == sorted(numbers, reverse=True)
    assert client.ok("audit", "ls", "--oldest", "--limit", "3", "-o", "name").split() == ["0", "1", "2"]
    assert "3 entries" in client.run("audit", "ls", "--limit", "3").stderr


def test_who_came_in_by_a_token_is_an_entry_of_its_own(client, agents, tmp_path):
    agents("web-01", start=False)
    client.add_user(tmp_path, "bob")
    logins = entries(client, "-k", "user.login")
    assert [e["Principal"].rsplit("/")[-1] for e in logins] == ["bob", "admin"]
    joined = entries(client, "-k", "node.join")
    assert len(joined) == 1 and joined[0]["Detail"] == "web-01" and joined[0]["Principal"].split("/")[-1].startswith("mi-")
    for e in logins + joined:
        outcome = [o for o in entries(client, "-k", "outcome") if o["RequestId"] == e["RequestId"]]
        assert outcome and e["SourceAddress"] == "127.0.0.1"
    assert [e["Sequence"] for e in entries(client, "-u", "bob", "-k", "user.login")] == [logins[0]["Sequence"]]


def test_wrong_filters_say_what_is_right(client):
    for args, says in ((("-k", "nonsense"), "nonsense"), (("-r", "perhaps"), "allowed, denied"),
                       (("--since", "yesterday"), "30d"), (("-s", "no-such-session"), "no-such-session")):
        assert says in client.fails("audit", "ls", *args)
    assert "session.start" in client.fails("audit", "ls", "-k", "nonsense")
    assert "hawser audit holds lists them" in client.fails("audit", "lift", "nonsense", code=2)


def test_an_entry_is_shown_whole(client):
    shown = json.loads(client.ok("audit", "show", "0", "-o", "json"))
    assert shown["Kind"] == "relay.start" and shown["Sequence"] == 0
    assert "relay.start" in client.ok("audit", "show", "#0")
    assert "99999" in client.fails("audit", "show", "99999")


def test_reading_is_one_entry_and_needs_a_policy(client, auditor, tmp_path):
    bob = client.add_user(tmp_path, "bob")
    assert "LookupEvents" in bob.fails("audit", "ls")
    before = len(entries(client, "-u", "iris", "-a", "LookupEvents"))
    for _ in range(60):
        client.ok("status")
    auditor.ok("audit", "ls", "--limit", "0", "-o", "jsonl")
    reads = entries(client, "-u", "iris", "-a", "LookupEvents")
    assert len(reads) == before + 1
    assert "shown" in reads[0]["Reason"]


def test_who_may_see_one_node_sees_its_entries_alone(client, agents, tmp_path):
    agents("web-01", "--tag", "Env=prod")
    agents("db-1", "--tag", "Env=dev")
    for name in ("web-01", "db-1"):
        client.run("exec", name, "--", f"echo canary-{name}")
    policy = tmp_path / "prod.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["cloudtrail:LookupEvents", "hawser:GetRecording"], "Resource": "*",
         "Condition": {"StringEquals": {"ssm:resourceTag/Env": "prod"}}}]}))
    client.ok("policy", "put", "prod", str(policy))
    bob = client.add_user(tmp_path, "bob")
    client.ok("policy", "attach", "prod", "--user", "bob")
    nodes = {n["Name"]: n["InstanceId"] for n in client.json("ls")["InstanceInformationList"]}
    theirs = entries(bob)
    assert theirs
    text = json.dumps(theirs)
    assert nodes["web-01"] in text and nodes["db-1"] not in text
    hits = hits_of(bob, "canary-")
    assert {h["TargetName"] for h in hits} == {"web-01"}


def test_a_denial_by_tag_holds_for_documents_users_and_what_is_gone(client, agents, tmp_path):
    agents("web-01", "--tag", "Env=secret")
    node = client.json("ls")["InstanceInformationList"][0]["InstanceId"]
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": [
        {"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": ["true"]}}]})
    for name, env in (("Plain", "open"), ("Hushed", "secret")):
        request = tmp_path / f"{name}.json"
        request.write_text(json.dumps({"Name": name, "Content": content,
                                       "Tags": [{"Key": "Env", "Value": env}]}))
        client.ok("api", "CreateDocument", "-i", f"@{request}")
        client.ok("api", "UpdateDocumentDefaultVersion", f"Name={name}", "DocumentVersion=1")
    for name, env in (("ann", "open"), ("zoe", "secret")):
        client.add_user(tmp_path, name)
        client.ok("user", "tag", name, f"Env={env}")
        client.ok("user", "tag", name, "Note=more")
    policy = tmp_path / "most.json"
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "cloudtrail:LookupEvents", "NotResource": "arn:aws:cloudtrail:*:*:*"},
        {"Effect": "Deny", "Action": "cloudtrail:LookupEvents", "Resource": "*",
         "Condition": {"StringEquals": {"aws:ResourceTag/Env": "secret"}}}]}))
    client.ok("policy", "put", "most", str(policy))
    bob = client.add_user(tmp_path, "bob")
    client.ok("policy", "attach", "most", "--user", "bob")

    def seen():
        return {e.get("Resource", "").rsplit("/")[-1] for e in entries(bob)}

    now = seen()
    assert {"Plain", "ann"} <= now and not now & {"Hushed", "zoe", node}
    client.ok("api", "DeregisterManagedInstance", f"InstanceId={node}")
    client.ok("api", "DeleteDocument", "Name=Hushed")
    client.ok("api", "DeleteUser", "UserName=zoe")
    later = seen()
    assert {"Plain", "ann"} <= later and not later & {"Hushed", "zoe", node}
    everything = {e.get("Resource", "").rsplit("/")[-1] for e in entries(client)}
    assert {"Hushed", "zoe", node} <= everything


def test_entries_are_exported_as_lines(client):
    lines = client.ok("audit", "export", "--entries").splitlines()
    numbers = sequences(lines)
    assert numbers == list(range(len(numbers))) and len(numbers) >= 4
    kinds = {json.loads(line)["Kind"] for line in client.ok("audit", "export", "--entries", "-k", "link.up").splitlines()}
    assert kinds == {"link.up"}
    assert "one of the two" in client.fails("audit", "export", code=2)


def test_tail_follows_through_a_restart(client, relay, tmp_path):
    client.add_user(tmp_path, "ann")
    tail = client.popen("audit", "tail", "-f", "--lines", "2", "-a", "CreateUser", "-o", "jsonl",
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def next_kinds():
        return [json.loads(tail.stdout.readline())["Kind"] for _ in range(2)]
    try:
        assert next_kinds() == ["decision", "outcome"]
        client.add_user(tmp_path, "bob")
        assert next_kinds() == ["decision", "outcome"]
        relay.kill9()
        relay.start()
        client.add_user(tmp_path, "carol")
        assert next_kinds() == ["decision", "outcome"]
    finally:
        tail.kill()
        tail.wait()


def test_the_index_is_made_again_when_it_is_gone(client, relay):
    before = entries(client, "-k", "link.up")
    relay.stop()
    os.unlink(os.path.join(relay.dir, "index", "entries.idx"))
    relay.start()
    after = entries(client, "-k", "link.up")
    assert after[-len(before):] == before


# --- what was typed and shown ---------------------------------------------------------------------


def type_into(client, *lines, node="web-01"):
    """A shell in which somebody types; the session's id."""
    child = client.spawn("shell", node)
    child.expect(r"session (\S+) on")
    session = child.match.group(1)
    child.expect(r"[$#] ")
    for line in lines:
        child.sendline(line)
        child.expect_exact("\r\n")
    child.sendline("echo done-$((40+2))")
    child.expect("done-42")
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    child.close()
    return session


def test_show_tells_what_happened_in_a_session(client, agent):
    session = type_into(client, "echo something")
    shown = client.ok("audit", "show", session[:-11])
    assert session in shown and "session.start" in shown and "echo something" in shown
    assert "it ended" in shown and re.search(r"\d\d:\d\d:\d\d  exit 3", shown), shown
    whole = client.json("audit", "show", session)
    assert whole["Session"]["SessionId"] == session and whole["Entries"]
    assert any("echo something" in line for line in whole["Timeline"])


def test_grep_finds_what_was_typed_and_shown_and_replay_opens_it(client, agent):
    session = type_into(client, "echo DROP' 'TABLE orders", "sleep 1.2; printf 'late-%s\\n' line")
    done = client.run("audit", "grep", "drop table")
    assert done.returncode == 1 and "0 hits in 1 session" in done.stderr
    hits = hits_of(client, "-i", "drop table")
    assert any(h["Source"] == "output" and h["Line"].endswith("DROP TABLE orders") for h in hits)
    assert all(h["SessionId"] == session for h in hits)
    typed = hits_of(client, "--typed", "TABLE orders")
    assert [h["Line"] for h in typed] == ["echo DROP' 'TABLE orders"]
    assert typed[0]["Line"][typed[0]["MatchStart"]:typed[0]["MatchEnd"]] == "TABLE orders"
    row = [line for line in client.ok("audit", "grep", "^late-line").splitlines()][0]
    assert re.match(rf"{re.escape(session[:-11])} +\d\d:\d\d:\d\d  web-01 +output +late-line$", row), row
    at = row.split()[1]
    assert "late-line" in client.ok("replay", session, "--at", at, "--speed", "0")
    assert hits_of(client, "late-line", "--until", "1h") == []
    assert client.ok("audit", "grep", "TABLE", "-o", "name").split() == [session]


def test_what_was_hidden_or_masked_is_not_found(client, agent, relay):
    relay.stop()
    with open(os.path.join(relay.dir, "masks"), "w", encoding="utf-8") as f:
        f.write("token=\\K\\S+\n")
    relay.start()
    agent.wait_online()
    child = client.spawn("shell", "web-01")
    child.expect(r"[$#] ")
    child.sendline("stty -echo; echo now 'hi'dden; read word; stty echo; echo got 'it'")
    child.expect_exact("now hidden\r\n")  # what is typed before the echo is off is shown
    child.sendline("canary-hidden")
    child.expect("got it")
    child.sendline("echo token=canary-masked")
    child.expect("token=canary")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    client.run("run", "--target", "web-01", "--", "echo token=canary-masked")
    client.run("exec", "web-01", "--", "echo token=canary-masked")
    assert hits_of(client, "got it")
    assert hits_of(client, r"token=\*+")
    for needle in ("canary-hidden", "canary-masked", "not shown", r"\[\d+ "):
        assert hits_of(client, needle) == [], needle


def test_grep_finds_commands_and_their_output(client, agent):
    client.ok("run", "--target", "web-01", "--", "seq 1 30000; echo a needle here; echo an error needle >&2")
    hits = hits_of(client, "^(a|an error) needle")
    assert {h["Source"] for h in hits} == {"output", "error"}
    assert all(h["TargetName"] == "web-01" and len(h["CommandId"]) == 36 for h in hits)
    shown = client.ok("audit", "show", hits[0]["CommandId"])
    assert "web-01" in shown and "SendCommand" in shown and "command.end" in shown
    numbers = hits_of(client, r"^29\d\d\d$")
    assert len(numbers) == 1000 and [h["Line"] for h in numbers] == [str(n) for n in range(29000, 30000)]


def test_many_hits_come_once_each_and_in_order(client, agent):
    client.ok("exec", "web-01", "--", "seq 1 5000")
    wait_until(lambda: hits_of(client, "^5000$", "--shown"), "the end of the recording")
    hits = hits_of(client, r"^\d+$", "--shown")
    assert [h["Line"] for h in hits] == [str(n) for n in range(1, 5001)]


HOSTILE = (r"printf 'needle \033]0;title\007\033]52;c;aGk=\007\033[c\033[6n\033P$q\033\\\033_x\033\\\302\233\233"
           r"\033[?1000h\342\200\256\033]1337;x\007end\n'")


def test_hits_and_listings_steer_no_terminal(client, agent):
    client.run("shell", "web-01", "--", HOSTILE, text=False)
    client.run("exec", "web-01", "--", "\033]0;evil\007 needle", text=False)
    for args in (("audit", "grep", "needle"), ("audit", "ls", "-o", "wide"), ("audit", "tail"),
                 ("audit", "show", client.json("sessions", "ls")["Sessions"][0]["SessionId"]),
                 ("audit", "grep", "needle", "-o", "json")):
        out = client.run(*args, text=False).stdout
        assert out.strip()
        assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", out), (args, out)
        assert b"\xc2\x9b" not in out and b"\xe2\x80\xae" not in out
        out.decode()


def test_a_pattern_that_never_ends_does(client, agent):
    client.run("exec", "web-01", "--", "head -c 3000000 /dev/zero | tr '\\0' a | fold -w 1500; echo")
    assert client.run("audit", "grep", "aaa", "--shown").returncode == 0
    began = time.monotonic()
    done = client.run("audit", "grep", "(a+)+[bc]", "--shown", timeout=PATIENCE * 4)
    assert done.returncode == 2 and "takes too long" in done.stderr, done.stderr
    assert time.monotonic() - began < PATIENCE * 3
    assert "column" in client.fails("audit", "grep", "a(b", code=2)


def test_who_goes_away_stops_the_search(client, agent, relay):
    client.run("exec", "web-01", "--", "head -c 6000000 /dev/zero | tr '\\0' a | fold -w 1500; echo")
    began = computed(relay.pid)
    # Each line takes long, and none too long: the whole search would be minutes.
    grep = client.popen("audit", "grep", "a.{0,1400}[bc]", "--shown", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: computed(relay.pid) - began > 1, "the relay busy")
        assert grep.poll() is None
    finally:
        grep.kill()
        grep.wait()
    wait_until(is_idle(relay.pid), "the relay idle again")


def computed(pid):
    """Seconds of processors that the process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_idle(pid):
    """To be asked again and again: whether it used less than a fifth of the second before."""
    last = {"at": time.monotonic(), "used": computed(pid)}

    def look():
        now, used = time.monotonic(), computed(pid)
        if now - last["at"] < 1:
            return False
        idle = used - last["used"] < 0.2 * (now - last["at"])
        last.update(at=now, used=used)
        return idle
    return look


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.relay(stream_file="entries.jsonl")
def test_entries_go_into_a_file_that_may_be_rotated(client, relay):
    path = os.path.join(relay.dir, "entries.jsonl")

    def received(*paths):
        lines = []
        for p in paths:
            if os.path.exists(p):
                with open(p, encoding="utf-8") as f:
                    lines += f.read().splitlines()
        return sequences(lines)

    def is_current(*paths):
        return relay.metrics()["hawser_stream_file_lag_entries"] == 0 and received(*paths)
    client.ok("ls")
    wait_until(lambda: is_current(path), "the file current")
    os.rename(path, path + ".1")
    relay.process.send_signal(signal.SIGHUP)
    client.ok("ls")
    wait_until(lambda: os.path.exists(path) and is_current(path, path + ".1"), "the new file")
    relay.kill9()
    relay.start()
    client.ok("ls")
    wait_until(lambda: is_current(path, path + ".1"), "the file after a crash")
    got = received(path + ".1", path)
    assert sorted(set(got)) == list(range(max(got) + 1))


@pytest.mark.parametrize("polite", [True, False])
def test_a_syslog_server_that_is_killed_gets_all(relays, tmp_path, polite):
    from support.fleet import Client
    server = Syslog(tmp_path, polite)
    relay = relays(stream_syslog=f"localhost:{server.port}", stream_syslog_ca=server.cert)
    client = Client(tmp_path / "admin", relay, relay.invite)

    def lag():
        return relay.metrics()["hawser_stream_syslog_lag_entries"]
    try:
        assert relay.metrics()["hawser_stream_syslog_failing"] in (0, 1)
        wait_until(lambda: relay.metrics()["hawser_stream_syslog_failing"] == 1, "it failing")
        server.start()
        for i in range(6):
            for _ in range(4):
                client.ok("ls")
            if i % 2:
                server.kill()
                client.ok("ls")
                server.start()
        if polite:
            relay.kill9()
            relay.start()
        total = max(sequences(client.ok("audit", "export", "--entries").splitlines()))
        wait_until(lambda: lag() == 0, "everything sent", PATIENCE * 4)
        lines = server.lines()
        got = [json.loads(line[line.index("{"):])["Sequence"] for line in lines]
        assert set(range(total + 1)) <= set(got)
        assert all(re.match(r"<10[589]>1 |<110>1 ", line) for line in lines)
        # After each break it goes back, and then on without a gap.
        assert all(b <= a + 1 for a, b in zip(got, got[1:]))
        heads = [line.split(" ") for line in lines]
        assert all(h[3] == "hawser-relay" and re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z$", h[1]) for h in heads)
    finally:
        server.kill()


def test_a_syslog_server_with_another_s_certificate_gets_nothing(relays, tmp_path):
    server = Syslog(tmp_path).start()
    other = tmp_path / "other"
    other.mkdir()
    relay = relays(stream_syslog=f"localhost:{server.port}", stream_syslog_ca=Syslog(other).cert)
    try:
        relay.wait_for_log(r"stream.failed .*does not verify")
        assert server.lines() == []
    finally:
        server.kill()
