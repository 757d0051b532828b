"""The Debian packages, installed, upgraded, removed and purged by the real dpkg, on this machine's own root file
system with a layer over it that is thrown away."""

import glob
import os
import re
import shutil
import subprocess

import pytest

from support.relay import BUILD

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
RELEASE = os.path.join(os.path.dirname(BUILD), "release")  # which is what packages hold
pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="dpkg and mounts need root"),
              pytest.mark.skipif(not os.path.exists(os.path.join(RELEASE, "hawser-relay")), reason=f"no build {RELEASE}")]
EPOCH = "1700000000"
PACKAGES = ["hawser", "hawser-node", "hawser-relay"]


def cpack(out):
    """Of what was built already; less is compressed than is for others to download."""
    done = subprocess.run(
        ["cpack", "-G", "DEB", "-B", str(out), "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip"], cwd=RELEASE,
        env=dict(os.environ, SOURCE_DATE_EPOCH=EPOCH), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        umask=0o022)  # as ./dev package has it
    assert done.returncode == 0, done.stdout
    shutil.rmtree(out / "_CPack_Packages")
    return sorted(out.glob("*.deb"))


def newer(out, debs, version="99.0", preinst=None):
    """The same as the next version."""
    for deb in debs:
        subprocess.run(["dpkg-deb", "-R", str(deb), str(out / deb.stem)], check=True)
        control = out / deb.stem / "DEBIAN" / "control"
        control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
        if preinst:
            (control.parent / "preinst").write_text(preinst)
            (control.parent / "preinst").chmod(0o755)
        subprocess.run(["dpkg-deb", "-b", "-Zgzip", "-z1", str(out / deb.stem), str(out)], check=True,
                       stdout=subprocess.DEVNULL)
    return sorted(out.glob("*.deb"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return cpack(tmp_path_factory.mktemp("packages"))


class Root:
    """A shell in a mount namespace of its own, where / is this machine's with a layer over it."""

    LAYER = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 layer "$0"
mkdir "$0"/upper "$0"/work "$0"/root
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" overlay "$0"/root
mount -t proc proc "$0"/root/proc
mount --bind /dev "$0"/root/dev
mount -t tmpfs -o mode=755 run "$0"/root/run
mkdir -p "$0"/root/packages
echo ready
exec chroot "$0"/root /bin/bash
"""

    def __init__(self, base):
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
        self.process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "bash", "-c", self.LAYER, str(base)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env=env)
        self.ready = self.process.stdout.readline()

    def run(self, script):
        """Its exit status, and all that it said."""
        self.process.stdin.write(f"{{ {script}\n}} 2>&1 < /dev/null; printf '\\n=end %s\\n' $?\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith("=end "):
                return int(line[5:]), "".join(said)[:-1]
            said.append(line)
        raise AssertionError("the shell ended:\n" + "".join(said))

    def ok(self, script):
        status, said = self.run(script)
        assert status == 0, f"{script}: exit {status}\n{said}"
        return said

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def root(tmp_path):
    made = Root(tmp_path)
    if made.ready != "ready\n":
        made.close()
        pytest.skip(f"no layer over this machine's root: {made.ready}")
    made.ok("touch /begun")  # the shell is in it by then
    yield made
    made.close()


def bring(root, debs):
    for deb in debs:
        with open(deb, "rb") as f:
            subprocess.run(["nsenter", "-t", str(child_of(root.process.pid)), "-m", "-r", "tee",
                            f"/packages/{deb.name}"], stdin=f, stdout=subprocess.DEVNULL, check=True)
    return "dpkg --no-triggers -i " + " ".join(f"/packages/{deb.name}" for deb in debs)


def install(root, debs):
    return root.ok(bring(root, debs))


def told_systemd(root, script):
    """What of the units a script of the package starts and stops, on a machine that is run by systemd."""
    root.ok("rm -f /told; mkdir -p /run/systemd/system; mv /usr/bin/deb-systemd-invoke /deb-systemd-invoke && "
            "printf '#!/bin/sh\\necho $* >> /told\\n' > /usr/bin/deb-systemd-invoke && chmod 755 /usr/bin/deb-systemd-invoke")
    status = root.run(script)[0]
    return status, root.ok("rm -r /run/systemd/system; mv /deb-systemd-invoke /usr/bin/deb-systemd-invoke; cat /told").splitlines()


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return int(f.read().split()[0])


def test_a_life_of_the_packages(root, packages, tmp_path):
    install(root, packages)
    for program in ("hawser version", "hawser-relay --version", "hawser-node --version"):
        assert re.match(r"hawser[a-z-]* \d", root.ok(program))
    assert root.ok("stat -c '%U %a' /var/lib/hawser-relay /home/hawser") == "hawser-relay 700\nhawser 750\n"
    assert root.ok("getent passwd hawser-node | cut -d: -f7") == "/usr/sbin/nologin\n"
    assert root.ok("ls /usr/libexec/hawser") == \
        "hawser-node-fetch\nhawser-node-monitor\nhawser-node-pam\nhawser-node-upgrade\n"
    assert root.ok("systemctl --root=/ is-enabled hawser-relay hawser-node") == "enabled\nenabled\n"
    root.ok("grep -qx Type=notify /lib/systemd/system/hawser-relay.service")
    units = root.ok("systemd-analyze verify /lib/systemd/system/hawser-*.service || :")
    assert not [line for line in units.splitlines() if "hawser" in line and "man " not in line], units
    assert root.ok("bash -c '. /usr/share/bash-completion/completions/hawser.bash && complete -p hawser'").strip() == \
        "complete -F _hawser hawser"

    # As whom it runs, a relay can be made and looked at.
    root.ok("runuser -u hawser-relay -- hawser-relay init --dir /var/lib/hawser-relay --listen 127.0.0.1:8443")
    root.ok("mkdir -p /var/lib/hawser-node && echo mine > /var/lib/hawser-node/mine")
    root.ok("mkdir -p /etc/hawser && echo 'deny all' > /etc/hawser/node.policy")
    root.ok("systemctl --root=/ disable hawser-node")
    assert "/etc/pam.d/hawser " in root.ok("dpkg-query -W -f '${Conffiles}\n' hawser-node")
    assert root.ok("stat -c '%U %a' /etc/pam.d/hawser") == "root 644\n"
    root.ok("echo '# ours' >> /etc/pam.d/hawser")

    # An upgrade keeps what is theirs, and what the administrator decided.
    install(root, newer(tmp_path, packages))
    assert root.ok("dpkg-query -W -f '${Version} ' " + " ".join(PACKAGES)) == "99.0 99.0 99.0 "
    root.ok("test -s /var/lib/hawser-relay/ca.crt && test -s /var/lib/hawser-node/mine && tail -n 1 /etc/pam.d/hawser | grep ours")
    assert root.run("systemctl --root=/ is-enabled hawser-node")[1] == "disabled\n"

    # What is broken off leaves things as they were: nothing is restarted, and what was stopped is started again.
    broken = tmp_path / "broken"
    broken.mkdir()
    agent = newer(broken, [deb for deb in packages if "-node_" in deb.name], "100.0", "#!/bin/sh\nexit 1\n")
    status, told = told_systemd(root, bring(root, agent))
    assert status != 0 and told == ["start hawser-node.service"]
    prerm = "/var/lib/dpkg/info/hawser-node.prerm"
    root.ok(f"cp {prerm} /prerm && echo exit 1 >> {prerm}")
    status, told = told_systemd(root, "dpkg --no-triggers -r hawser-node")
    assert status != 0 and told == ["stop hawser-node.service", "start hawser-node.service"]
    root.ok(f"cp /prerm {prerm}")
    assert root.ok("dpkg-query -W -f '${Version} ${db:Status-Status}' hawser-node") == "99.0 installed"
    assert root.run("systemctl --root=/ is-enabled hawser-node")[1] == "disabled\n"

    # Removed, they leave their state; purged, nothing but the users, and what is not theirs.
    root.ok("dpkg --no-triggers -r hawser-node hawser-relay hawser")
    root.ok("test -s /var/lib/hawser-relay/ca.crt && test -s /var/lib/hawser-node/mine")
    assert root.run("ls /usr/bin/hawser /usr/libexec/hawser")[0] != 0
    root.ok("dpkg --no-triggers -P hawser-node hawser-relay hawser")
    left = root.ok("find /etc /usr/bin /usr/lib/systemd /usr/libexec /usr/share/man /var/lib -name '*hawser*' -newer /begun")
    assert left.split() == ["/etc/hawser"]
    assert root.ok("ls /etc/hawser /home") .split().count("node.policy") == 1
    root.ok("getent passwd hawser-relay hawser-node hawser")


def test_the_same_sources_make_the_same_bytes(tmp_path, packages):
    again = cpack(tmp_path / "again")
    assert [deb.name for deb in again] == [deb.name for deb in packages] and len(again) == 3
    for one, other in zip(packages, again):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_no_program_knows_where_it_was_built():
    """Or two builds would not be the same bytes: also what is stripped from it goes into its build id."""
    for name in ("hawser", "hawser-relay", "hawser-node", "hawser-node-monitor", "hawser-node-fetch", "hawser-node-upgrade"):
        with open(os.path.join(RELEASE, name), "rb") as f:
            program = f.read()
        assert os.path.realpath(RELEASE).encode() not in program, name
        assert b"/lws-" not in program, name  # where libwebsockets is kept


def test_who_builds_the_client_alone_has_all_that_its_package_holds(tmp_path):
    """The tarball for other systems is made of this target, in a build folder where nothing else was built."""
    graph = subprocess.run(["ninja", "-t", "graph", "client"], cwd=RELEASE, stdout=subprocess.PIPE, text=True, check=True).stdout
    made = re.findall(r'label="([^"]+)"', graph)
    subprocess.run(["cmake", "--install", RELEASE, "--component", "hawser", "--prefix", tmp_path], check=True, stdout=subprocess.DEVNULL)
    there = {os.path.basename(path) for path in made} | {os.path.basename(page) for page in glob.glob(f"{SOURCES}/docs/man/*")}
    held = [name for _, _, names in os.walk(tmp_path) for name in names]
    # Pages of section 1 are written together with the first.
    assert len(held) > 30 and [name for name in held if name not in there and not re.match(r"hawser-.*\.1$", name)] == []


def test_no_package_holds_what_is_anothers(packages):
    held = {}
    for deb in packages:
        listed = subprocess.run(["dpkg-deb", "-c", str(deb)], stdout=subprocess.PIPE, text=True, check=True).stdout
        for line in listed.splitlines():
            mode, owner, path = line.split()[0], line.split()[1], line.split()[5]
            assert owner == "root/root" and mode[8] == "-" and "s" not in mode, line
            if not path.endswith("/"):
                assert path not in held, f"{path} is in {held[path]} and {deb.name}"
                held[path] = deb.name
    assert "./usr/bin/hawser" in held and "./usr/libexec/hawser/hawser-node-monitor" in held
