"""aws:downloadContent and aws:runDocument: from a real HTTPS server, real git and real files."""

import base64
import hashlib
import http.server
import json
import os
import re
import ssl
import stat
import subprocess
import threading

import pytest

from support.certs import openssl
from support.relay import PATIENCE, program, wait_until

HELLO = b"#!/bin/sh\necho hello from $PWD\n"


# --- a server --------------------------------------------------------------------------------------


class Server:
    """HTTP, over TLS with a certificate of its own unless told otherwise. What it was asked is kept."""

    def __init__(self, base, tls=True):
        self.asked, self.hold, self.files, self.away = [], threading.Event(), {}, ""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                server.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        if tls:
            key, self.cert = (os.path.join(str(base), f"server.{ext}") for ext in ("key", "crt"))
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.cert, "-days", "2")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.cert, key)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.hold.set()
        self.http.shutdown()
        self.http.server_close()

    @staticmethod
    def send(to, status, body=b"", **headers):
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)

    def answer(self, to):
        path, _, query = to.path.partition("?")
        if path.startswith("/redirect/"):
            left = int(path.rpartition("/")[2])
            return self.send(to, 302, b"elsewhere", Location=f"/redirect/{left - 1}" if left else "/hello.sh")
        if path.startswith("/away/"):
            return self.send(to, 301, Location=self.away + to.path)
        if path == "/to":
            return self.send(to, 302, Location=query)
        if path == "/named":
            return self.send(to, 200, HELLO, Content_Disposition='attachment; filename="its name.sh"')
        if path == "/evil":
            return self.send(to, 200, HELLO, Content_Disposition='attachment; filename="../../../../tmp/evil"')
        if path == "/basic":
            good = "Basic " + base64.b64encode(b"user:secret").decode()
            if to.headers.get("Authorization") != good:
                return self.send(to, 401, b"no", WWW_Authenticate='Basic realm="x"')
            return self.send(to, 200, HELLO)
        if path == "/digest":
            return self.digest(to)
        if path.startswith("/endless"):
            return self.endless(to, 500 if path.endswith("-error") else 200)
        if path == "/slow":
            self.hold.wait(PATIENCE * 4)
            return self.send(to, 200, HELLO)
        if path in self.files or path == "/hello.sh" or path.startswith("/bucket/"):
            return self.send(to, 200, self.files.get(path, HELLO))
        return self.send(to, 404, b"there is no such thing")

    def digest(self, to):
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', to.headers.get("Authorization", "")))
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()
        want = md5(f"{md5('user:x:secret')}:n0nce:{md5('GET:/digest')}")
        if given.get("response") != want:
            return self.send(to, 401, b"no", WWW_Authenticate='Digest realm="x", nonce="n0nce"')
        return self.send(to, 200, HELLO)

    def endless(self, to, status):
        to.send_response(status)
        to.send_header("Connection", "close")
        to.end_headers()
        try:
            while not self.hold.is_set():
                to.wfile.write(b"x" * 65536)
        except OSError:
            pass
        to.close_connection = True


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path):
    made = Server(tmp_path, tls=False)
    yield made
    made.close()


# --- the program by itself -------------------------------------------------------------------------


class Fetch:
    def __init__(self, base, server):
        self.base, self.ca = str(base), server.cert
        self.work = os.path.join(self.base, "work")

    def __call__(self, source, info, to="", text="", env=None, **more):
        spec = {"source": source, "info": info, "destination": to, "work": self.work, "max": 1 << 20,
                "ca": self.ca, **more}
        path = os.path.join(self.base, "spec")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"exec this\n{json.dumps(spec)}\n{text}")
        return subprocess.run([program("hawser-node-fetch"), path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=PATIENCE * 2,
                              env={"PATH": os.environ["PATH"], "HOME": self.base, **(env or {})})

    def downloads(self):
        top = os.path.join(self.work, "downloads")
        return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, files in os.walk(top) for f in files)

    def got(self, name):
        path = os.path.join(self.work, "downloads", name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        with open(path, "rb") as f:
            return f.read()


@pytest.fixture
def fetch(tmp_path, server):
    return Fetch(tmp_path, server)


def test_a_file_by_https_is_whole_and_nobody_else_s(fetch, server):
    done = fetch("HTTP", {"url": server.url + "/hello.sh"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Content downloaded to {fetch.work}/downloads/hello.sh\n"
    assert fetch.got("hello.sh") == HELLO
    assert stat.S_IMODE(os.stat(fetch.work).st_mode) == 0o700


@pytest.mark.parametrize("to, name", [("", "hello.sh"), ("dir/", "dir/hello.sh"), ("dir/sub/file", "dir/sub/file"),
                                      ("./file", "file")])
def test_where_it_goes(fetch, server, to, name):
    assert fetch("HTTP", {"url": server.url + "/hello.sh"}, to).returncode == 0
    assert fetch.downloads() == [name]
    assert fetch.got(name) == HELLO


def test_a_directory_that_is_there_is_one_and_a_file_is_replaced(fetch, server, tmp_path):
    target = tmp_path / "there"
    target.mkdir()
    (target / "hello.sh").write_text("old")
    assert fetch("HTTP", {"url": server.url + "/hello.sh"}, str(target)).returncode == 0
    assert (target / "hello.sh").read_bytes() == HELLO
    assert os.listdir(target) == ["hello.sh"]


def test_names_of_servers_lead_nowhere_else(fetch, server):
    assert fetch("HTTP", {"url": server.url + "/named"}).returncode == 0
    assert fetch("HTTP", {"url": server.url + "/evil"}).returncode == 0
    assert fetch.downloads() == ["evil", "its name.sh"]
    done = fetch("HTTP", {"url": server.url + "/..%2f..%2fhello.sh"})
    assert done.returncode == 1 and "404" in done.stderr
    server.files["/%2e%2e%2fx"] = HELLO
    done = fetch("HTTP", {"url": server.url + "/%2e%2e%2fx"})
    assert done.returncode == 1 and "destinationPath" in done.stderr
    assert fetch.downloads() == ["evil", "its name.sh"]


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(fetch, server, tmp_path):
    target = tmp_path / "there"
    target.mkdir()
    (tmp_path / "precious").write_text("precious")
    os.symlink(tmp_path / "precious", target / "hello.sh")
    assert fetch("HTTP", {"url": server.url + "/hello.sh"}, f"{target}/hello.sh").returncode == 0
    assert (tmp_path / "precious").read_text() == "precious"
    assert not os.path.islink(target / "hello.sh")


def test_what_fails_leaves_no_file(fetch, server):
    for path, says in (("/missing", "answered 404"), ("/endless", "download_max"), ("/redirect/9", "redirects")):
        done = fetch("HTTP", {"url": server.url + path})
        assert done.returncode == 1 and says in done.stderr.lower().replace("maximum (5) ", ""), done.stderr
    assert fetch.downloads() == []


def test_redirects_are_followed_but_not_to_less(fetch, server, plain):
    assert fetch("HTTP", {"url": server.url + "/redirect/3"}, "x").returncode == 0
    assert fetch.got("x") == HELLO
    for to in (plain.url + "/hello.sh", "file:///etc/hostname", "ftp://127.0.0.1/x"):
        assert fetch("HTTP", {"url": f"{server.url}/to?{to}"}, "y").returncode == 1
    assert fetch.downloads() == ["x"] and plain.asked == []
    done = fetch("HTTP", {"url": f"{server.url}/to?{plain.url}/hello.sh", "allowInsecureDownload": True}, "y")
    assert done.returncode == 1 and plain.asked == []
    done = fetch("HTTP", {"url": f"{plain.url}/to?{server.url}/hello.sh", "allowInsecureDownload": True}, "y")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", [{"url": "HTTP"}, {"path": "S3"}])
def test_an_error_without_end_is_left(fetch, server, kind):
    (key, source), = kind.items()
    done = fetch(source, {key: server.url + "/endless-error"}, "x")
    assert done.returncode == 1 and done.stderr.endswith("the server answered 500\n"), done.stderr


def test_http_only_when_it_is_allowed(fetch, plain):
    done = fetch("HTTP", {"url": plain.url + "/hello.sh"})
    assert done.returncode == 1 and "allowInsecureDownload" in done.stderr and plain.asked == []
    assert fetch("HTTP", {"url": plain.url + "/hello.sh", "allowInsecureDownload": "true"}).returncode == 0


def test_a_server_that_nobody_vouches_for_is_refused(fetch, server):
    fetch.ca = "/etc/ssl/certs/ca-certificates.crt"
    done = fetch("HTTP", {"url": server.url + "/hello.sh"})
    assert done.returncode == 1 and "certificate" in done.stderr.lower() and server.asked == []


def test_no_proxy_but_the_one_that_is_set(fetch, server, plain):
    env = {name: plain.url for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY")}
    assert fetch("HTTP", {"url": server.url + "/hello.sh"}, env=env).returncode == 0
    assert plain.asked == []
    done = fetch("HTTP", {"url": "http://example.invalid/hello.sh", "allowInsecureDownload": True}, proxy=plain.url)
    assert plain.asked and plain.asked[0][0] == "http://example.invalid/hello.sh" and done.returncode == 1


@pytest.mark.parametrize("method", ["Basic", "Digest"])
def test_passwords(fetch, server, method):
    info = {"url": f"{server.url}/{method.lower()}", "authMethod": method, "username": "user", "password": "secret"}
    assert fetch("HTTP", info, "x").returncode == 0
    assert fetch.got("x") == HELLO
    done = fetch("HTTP", {**info, "password": "wrong"}, "y")
    assert done.returncode == 1 and "401" in done.stderr and "wrong" not in done.stderr


def test_s3_is_signed_when_there_are_keys_and_never_otherwise(fetch, server, tmp_path):
    info = {"path": server.url + "/bucket/key.sh"}
    assert fetch("S3", info).returncode == 0
    assert "Authorization" not in server.asked[-1][1]

    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = SECRET\naws_session_token = TOKEN\n")
    assert fetch("S3", info, "unsigned").returncode == 0
    assert "Authorization" not in server.asked[-1][1], "it is none of Amazon's hosts, and the node names it not"
    own = {"s3_host": server.url.removeprefix("https://")}
    assert fetch("S3", info, "signed", env={"AWS_REGION": "eu-central-1"}, **own).returncode == 0
    headers = server.asked[-1][1]
    scope = r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/s3/aws4_request"
    assert re.match(scope, headers["Authorization"]) and "x-amz-security-token" in headers["Authorization"]
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest()
    assert lower["x-amz-security-token"] == "TOKEN"

    assert fetch("S3", {"path": info["path"] + "?X-Amz-Signature=0123"}, "presigned", **own).returncode == 0
    assert "Authorization" not in server.asked[-1][1]
    done = fetch("S3", {"path": f"{server.url}/to?{server.url}/hello.sh"}, "elsewhere", **own)
    assert done.returncode == 1 and "302" in done.stderr


# --- git -------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """Two commits on main, one of them on other; a link; a file that can be run."""
    top = tmp_path / "repository"
    git = lambda *args: subprocess.run(
        ["git", "-C", str(top), "-c", "user.name=x", "-c", "user.email=x@x", *args], check=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True).stdout.strip()
    top.mkdir()
    git("init", "-q", "-b", "main")
    (top / "scripts").mkdir()
    (top / "scripts" / "hello.sh").write_bytes(HELLO)
    os.symlink("hello.sh", top / "scripts" / "link")
    git("add", ".")
    git("commit", "-qm", "one")
    first = git("rev-parse", "HEAD")
    git("branch", "other")
    (top / "README").write_text("two\n")
    git("add", ".")
    git("commit", "-qm", "two")
    return f"file://{top}", first


def test_git_s_branches_and_commits(fetch, repository):
    url, first = repository
    done = fetch("Git", {"repository": url}, "main")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Content downloaded to {fetch.work}/downloads/main\n"
    assert fetch.downloads() == ["main/README", "main/scripts/hello.sh", "main/scripts/link"]
    assert fetch.got("main/scripts/hello.sh") == HELLO
    for option in ("branch:other", f"commitID:{first}", f"commitID:{first[:9]}"):
        to = option.replace(":", "-")
        done = fetch("Git", {"repository": url, "getOptions": option}, to)
        assert done.returncode == 0, done.stderr
        assert [f for f in fetch.downloads() if f.startswith(to + "/")] == [
            f"{to}/scripts/hello.sh", f"{to}/scripts/link"]
    done = fetch("Git", {"repository": url, "getOptions": "branch:nowhere"}, "x")
    assert done.returncode == 1 and "git could not get" in done.stderr


def bomb(top, files, size):
    """A repository whose few bytes say that there are so many files of that size."""
    git = lambda *args, data=None: subprocess.run(
        ["git", "-C", str(top), "-c", "user.name=x", "-c", "user.email=x@x", *args], check=True, input=data,
        stdout=subprocess.PIPE).stdout.decode().strip()
    top.mkdir()
    git("init", "-q", "-b", "main")
    blob = git("hash-object", "-w", "--stdin", data=b"x" * size)
    tree = git("mktree", data="".join(f"100644 blob {blob}\tf{n:06}\n" for n in range(files)).encode())
    git("update-ref", "refs/heads/main", git("commit-tree", "-m", "x", tree))
    return f"file://{top}", git("rev-parse", "main")


@pytest.mark.parametrize("files, size, bound", [(200, 10000, 1 << 20), (100001, 0, 1 << 30)])
def test_a_repository_that_says_more_than_it_holds_is_not_checked_out(fetch, tmp_path, files, size, bound):
    url, commit = bomb(tmp_path / "bomb", files, size)
    for more in ({}, {"getOptions": f"commitID:{commit}"}, {"getOptions": f"commitID:{commit[:12]}"}):
        done = fetch("Git", {"repository": url, **more}, "x", max=bound)
        assert done.returncode == 1 and "download_max" in done.stderr, done.stderr
    assert fetch.downloads() == []
    assert os.listdir(fetch.work) == ["downloads"], "nothing of git's own is left either"


GIT = """#!/bin/sh
PATH=${PATH#*:}
git "$@"
code=$?
[ "$1" = -C ] && du -sb "$2" | cut -f 1 >>"$HOME/kept"
exit $code
"""


def test_what_git_keeps_of_a_repository_is_bounded_as_a_whole(fetch, tmp_path):
    """Few objects would be a file each, and none of them too large."""
    top = tmp_path / "large"
    git = lambda *args: subprocess.run(
        ["git", "-C", str(top), "-c", "user.name=x", "-c", "user.email=x@x", *args], check=True, stdout=subprocess.DEVNULL)
    top.mkdir()
    git("init", "-q", "-b", "main")
    for n in range(8):
        (top / f"f{n}").write_bytes(os.urandom(700000))
    git("add", ".")
    git("commit", "-qm", "one")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(GIT)
    os.chmod(tmp_path / "bin" / "git", 0o755)
    done = fetch("Git", {"repository": f"file://{top}"}, "x", max=1 << 20,
                 env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.returncode == 1
    assert max(map(int, (tmp_path / "kept").read_text().split())) < 3 << 20
    assert fetch.downloads() == [] and os.listdir(fetch.work) == ["downloads"]


MEASURED_GIT = """#!/bin/sh
PATH=${PATH#*:}
echo "$(ulimit -S -d) $(ulimit -H -d)" >>"$HOME/limits"
exec git "$@"
"""


def test_git_s_memory_is_bounded_whatever_a_repository_says(fetch, repository, tmp_path):
    """A few bytes of a pack unfold to objects that git holds whole; each of its processes has so much and no more."""
    url, _ = repository
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(MEASURED_GIT)
    os.chmod(tmp_path / "bin" / "git", 0o755)
    done = fetch("Git", {"repository": url}, "x", env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    runs = (tmp_path / "limits").read_text().splitlines()
    assert runs == ["1048576 1048576"] * 4, "init, fetch, ls-tree and checkout, in KiB"


def test_links_of_a_repository_lead_to_nothing_of_the_machine_s(fetch, repository, tmp_path):
    url, _ = repository
    top = url.removeprefix("file://")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "secret").write_text("mine")
    os.symlink(tmp_path / "mine", os.path.join(top, "away"))
    for args in (("add", "."), ("commit", "-qm", "three")):
        subprocess.run(["git", "-C", top, "-c", "user.name=x", "-c", "user.email=x@x", *args], check=True)
    (tmp_path / ".gitconfig").write_text(f'[url "{url}"]\n\tinsteadOf = https://github.com/o/r.git\n')
    here = {"owner": "o", "repository": "r"}
    assert fetch("GitHub", {**here, "path": "scripts/hello.sh"}, "x/").returncode == 0
    assert fetch.got("x/hello.sh") == HELLO
    for path in ("away/secret", "away", "away/"):
        done = fetch("GitHub", {**here, "path": path}, "y/")
        assert done.returncode == 1 and "has no away" in done.stderr, done
    assert fetch.downloads() == ["x/hello.sh"]


def test_git_takes_no_password_to_another_host(fetch, server, plain):
    """With a password a redirect is the end of it; without one it is followed, as git does it."""
    where = f"{server.url}/away/x.git"
    server.away, info = plain.url, {"repository": where, "allowInsecureDownload": True}
    for secret in ({"username": "user", "password": "s3cret"}, {"password": "s3cret"}):
        done = fetch("Git", {**info, **secret}, "x")
        assert done.returncode == 1 and "git could not get" in done.stderr and "s3cret" not in done.stderr
    assert server.asked and plain.asked == []
    assert "Authorization" in server.asked[0][1]


SSH = """#!/bin/sh
{ while [ $# -gt 0 ]; do [ "$1" = -i ] && { stat -L -c "%a %u" "$2"; cat "$2"; }; shift; done
find "$WORK" -type f ! -path "*/.git/*"; } >"$HOME/seen"
exit 1
"""


def test_a_key_of_ssh_is_on_no_disk(fetch, tmp_path):
    """What ssh is told to read is the user's alone, and in no file system."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    os.chmod(tmp_path / "bin" / "ssh", 0o755)
    done = fetch("Git", {"repository": "git@host.invalid:a/b.git", "privateSSHKey": "s3cret\nkey"}, "x",
                 env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "WORK": fetch.work})
    assert done.returncode == 1 and "git could not get" in done.stderr
    assert (tmp_path / "seen").read_text() == f"600 {os.geteuid()}\ns3cret\nkey\n"


def test_without_git_it_says_so(fetch, repository):
    done = fetch("Git", {"repository": repository[0]}, "x", env={"PATH": "/nowhere"})
    assert done.returncode == 1 and "git is not installed on this node" in done.stderr


# --- on a fleet ------------------------------------------------------------------------------------


def document(ssm, name, *steps):
    ssm.create_document(Name=name, DocumentType="Command",
                        Content=json.dumps({"schemaVersion": "2.2", "mainSteps": list(steps)}))


def step(name, action, **inputs):
    return {"name": name, "action": action, "inputs": inputs}


def script(name, *lines, **inputs):
    return step(name, "aws:runShellScript", runCommand=list(lines), **inputs)


@pytest.fixture
def node(agents, server):
    """A node that trusts the server."""
    made = agents(start=False)
    with open(os.path.join(made.dir, "node.conf"), "a", encoding="utf-8") as f:
        f.write(f"download_ca = {server.cert}\ncommands_work = {os.path.dirname(made.dir)}\n")
    return made.start()


def send(ssm, node, name):
    found = node.client.json("ls", node.name)
    row = (found["InstanceInformationList"] if isinstance(found, dict) else found)[0]
    command = ssm.send_command(DocumentName=name, InstanceIds=[row["InstanceId"]])["Command"]["CommandId"]
    return command, row["InstanceId"]


def plugins(ssm, command, node_id):
    """Each step's status and output, once all is over."""
    def look():
        found = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
        return found[0] if found and found[0]["Status"] not in ("Pending", "InProgress", "Cancelling") else None
    ended = wait_until(look, f"the end of {command}")
    assert ended["InstanceId"] == node_id
    return ended["Status"], {p["Name"]: (p["Status"], p.get("Output", "")) for p in ended["CommandPlugins"]}


def run(ssm, node, name):
    return plugins(ssm, *send(ssm, node, name))


def test_a_document_that_downloads_and_runs(ssm, node, server):
    server.files["/inner.yaml"] = (b"schemaVersion: '2.2'\nparameters: {Who: {type: String}}\nmainSteps:\n"
                                   b"- {name: one, action: 'aws:runShellScript', inputs: {runCommand: 'echo hello {{ Who }}'}}\n")
    document(ssm, "inner-one", script("inner", "echo inner; exit 7"))
    document(
        ssm, "outer-one",
        step("script", "aws:downloadContent", sourceType="HTTP", destinationPath="bin/",
             sourceInfo=json.dumps({"url": server.url + "/hello.sh"})),
        script("runs", "bin/hello.sh"),
        step("yaml", "aws:downloadContent", sourceType="HTTP", sourceInfo={"url": server.url + "/inner.yaml"}),
        step("local", "aws:runDocument", documentType="LocalPath", documentPath="inner.yaml",
             documentParameters={"Who": "world"}),
        step("relay", "aws:runDocument", documentType="SSMDocument", documentPath="inner-one"),
        step("windows", "aws:runPowerShellScript", runCommand=["x"]),
        step("document", "aws:downloadContent", sourceType="SSMDocument", sourceInfo={"name": "inner-one"}),
        script("look", "cat inner-one.json; exit 0"))
    status, got = run(ssm, node, "outer-one")
    work = os.path.dirname(node.dir)
    assert status == "Failed"
    assert got["script"][0] == "Success" and got["script"][1].endswith("/downloads/bin/hello.sh\n")
    assert re.fullmatch(rf"hello from {re.escape(work)}/hawser-mi-\w+-[-0-9a-f]+/downloads\n", got["runs"][1])
    assert got["local"] == ("Success", "hello world\n")
    assert got["relay"][0] == "Failed" and got["relay"][1].startswith("inner\n")
    assert got["windows"][0] == "Success" and "not supported on Linux" in got["windows"][1]
    assert json.loads(got["look"][1])["mainSteps"][0]["name"] == "inner"
    assert [name for name in os.listdir(work) if name.startswith("hawser-mi-")] == []


def runs_fetch(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
            return "hawser-node-fetch" in f.read()
    except OSError:
        return False


def test_a_download_that_hangs_is_cancelled_with_its_command(ssm, node, server):
    document(ssm, "hangs", step("slow", "aws:downloadContent", sourceType="HTTP", destinationPath="x",
                                sourceInfo={"url": server.url + "/slow"}), script("never", "echo never"))
    command, node_id = send(ssm, node, "hangs")
    wait_until(lambda: server.asked, "the server is asked")
    ssm.cancel_command(CommandId=command)
    status, got = plugins(ssm, command, node_id)
    assert status == "Cancelled" and got["slow"][0] == "Cancelled" and got["never"][0] == "Cancelled"
    wait_until(lambda: not any(runs_fetch(pid) for pid in node.processes()), "the fetch is gone")


def test_git_on_a_fleet(ssm, node, repository):
    document(ssm, "from-git", step("clone", "aws:downloadContent", sourceType="Git", destinationPath="code",
                                   sourceInfo={"repository": repository[0], "getOptions": "branch:main"}),
             script("runs", "cat README; ./scripts/hello.sh >/dev/null && echo ran", workingDirectory="code"))
    status, got = run(ssm, node, "from-git")
    assert status == "Success", got
    assert got["runs"] == ("Success", "two\nran\n")
