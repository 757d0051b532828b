"""The manual, followed word for word: a relay, two nodes and a person on a machine each, the commands of each page in
order, and what they say beside what the page says that they do. BESIDE are pages beside it of which the same holds.

A fenced block is run when its info is `console`. What follows says where: `console relay`, `console node` (web-01) and
`console db` (db-1); without it, on the person's own machine. `console shown` needs a person, or packages, and is checked
as far as its words go. A line that begins with `$ ` or `# ` is a command, one that ends with `\\` goes on; what is below
it is what it prints, in which `...` stands for anything, within a line or as a line. A command whose exit status the page
means to show ends with `; echo $?`."""

import glob
import json
import os
import re
import subprocess
import time

import pytest
import yaml

from support import machine
from support.machine import Machine, cable
from support.relay import BUILD, PATIENCE, program, wait_until

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")
PAGES = sorted(os.path.basename(p) for p in glob.glob(os.path.join(DOCS, "manual", "*.md")))
PLACES = {"": "desk", "relay": "relay", "node": "web-01", "db": "db-1"}

# Pages for those who look something up, of which the same holds.
BESIDE = ("networks.md", "auditing.md", "sealing.md", "operations.md", "upgrading.md", "aws-cli.md")

needs_machines = pytest.mark.skipif(not machine.possible(), reason="root cannot make namespaces here")


def contents():
    """The pages in the order in which they are read: an earlier one makes what a later one uses."""
    with open(os.path.join(DOCS, "manual", "README.md"), encoding="utf-8") as f:
        return re.findall(r"(?m)^\| \[\S+\]\((\S+?\.md)\)", f.read())


class Block:
    def __init__(self, page, line, info, text):
        self.page, self.line, self.info, self.text = page, line, info.split(), text

    @property
    def commands(self):
        """(command, what it prints or None) in order."""
        found, lines = [], iter(self.text.splitlines())
        for line in lines:
            if line[:2] in ("$ ", "# "):
                command = line[2:]
                while command.endswith("\\"):
                    command = command[:-1] + next(lines).strip()
                here = re.search(r"<<'(\w+)'$", command)
                while here and not command.endswith(f"\n{here.group(1)}"):
                    command += "\n" + next(lines)
                found.append([command, []])
            else:
                assert found, f"{self.page}:{self.line}: a block begins with a command"
                found[-1][1].append(line)
        return [(command, "\n".join(said)) for command, said in found]


def blocks(path):
    with open(os.path.join(DOCS, path), encoding="utf-8") as f:
        text = f.read()
    for m in re.finditer(r"(?ms)^```([^\n]*)\n(.*?)^```$", text):
        yield Block(os.path.basename(path), text.count("\n", 0, m.start()) + 1, m.group(1), m.group(2))


def matches(said, shown):
    """Whether it is what the page shows: blanks at ends of lines and in tables may differ in number."""
    pattern = r"\s*".join(
        "(.*?\n)??" if line.strip() == "..." else
        r"\s+".join(re.escape(word).replace(r"\.\.\.", ".*?") for word in line.split()) + r"\s*?\n"
        for line in shown.strip().splitlines())
    return re.fullmatch(r"\s*" + pattern + r"\s*", said.strip() + "\n", re.S) is not None


class Fleet:
    """The machines, and the words in which pages name what differs each time."""

    def __init__(self, base):
        self.words, self.at = {}, {}
        for name in ("relay", "web-01", "db-1", "desk"):
            self.at[name] = Machine(base, name)
        for n, name in enumerate(("web-01", "db-1", "desk")):
            cable(self.at["relay"], self.at[name], f"10.78.{n + 1}")
            self.at[name].run(f"echo 10.78.{n + 1}.1 relay.example >> /etc/hosts")
        for each in self.at.values():
            each.run(f"echo 127.0.0.1 {each.name} >> /etc/hosts; cp {BUILD}/hawser {BUILD}/hawser-relay {BUILD}/hawser-node* /usr/local/bin")
            each.run(f"systemd-sysusers {DOCS}/../relay/sysusers.conf {DOCS}/../node/sysusers.conf; "
                     f"systemd-tmpfiles --create {DOCS}/../relay/tmpfiles.conf {DOCS}/../node/tmpfiles.conf; mkdir -p /home/ann", timeout=PATIENCE * 2)

    def unit(self, where, name):
        """Starts what the unit starts, as the user whom it names."""
        with open(os.path.join(BUILD, name.removeprefix("hawser-"), f"{name}.service"), encoding="utf-8") as f:
            unit = dict(re.findall(r"(?m)^(ExecStart|User)=(.*)$", f.read()))
        where.start(re.sub(r"\S*/(hawser-\w+)", r"/usr/local/bin/\1", unit["ExecStart"], count=1), unit.get("User"))
        if name == "hawser-relay":
            wait_until(lambda: where.log.count("relay.ready") >= len(where.daemons), "the relay")
        else:
            wait_until(lambda: "link.up" in where.log, "the node's link")

    def shell(self, where, command):
        """Exit status and what it said."""
        for was, now in self.words.items():
            command = command.replace(was, now)
        unit = re.fullmatch(r"systemctl (start|restart|stop) (hawser-\w+)", command)
        if unit:
            where.stop()
            if unit.group(1) != "stop":
                self.unit(where, unit.group(2))
            return 0, ""
        done = subprocess.run([*where.wrap(), "bash", "-c", f"cd; {command}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE * 2,
                              env=dict(where.env, HOME="/home/ann"))
        said = done.stdout
        self.learn(said)
        for was, now in self.words.items():
            said = said.replace(now, was)
        return done.returncode, said

    def learn(self, said):
        """What a page calls by a placeholder from then on."""
        for pattern, placeholders in (
                (r"(https://relay\.example:8443#sha256:[0-9a-f]{64}) (\S+)\s*$", ("https://relay.example:8443#sha256:...", "INVITE")),
                (r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:\S{20,})", ("ID:CODE",)),
                (r"\A([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*\Z", ("HOLD-ID",)),
                (r"\Akey ([0-9A-Za-z+/]{43}=)\s*\Z", ("PUBLIC-KEY",)),
                (r"AccessKeyId +(\S+)\s+SecretAccessKey +(\S+)", ("HWAK...", "SECRET-ACCESS-KEY"))):
            m = re.search(pattern, said)
            if m:
                self.words.update(zip(placeholders, m.groups()))

    def follow(self, page):
        """What is not as the page of docs/ says it; the commands behind it are run all the same."""
        for block in blocks(page):
            if block.info[:1] != ["console"] or "shown" in block.info:
                continue
            where = self.at[PLACES[" ".join(block.info[1:])]]
            for command, shown in block.commands:
                status, said = self.shell(where, command)
                if command.startswith("hawser audit grep"):  # the archive is a moment behind
                    end = time.monotonic() + PATIENCE
                    while (status != 0 or shown and not matches(said, shown)) and time.monotonic() < end:
                        status, said = self.shell(where, command)
                what = f"docs/{page}:{block.line}: {command}\n{said}"
                if status != 0:
                    yield f"{what}exit {status}"
                elif shown and not matches(said, shown):
                    yield f"{what}is not what the page shows:\n{shown}"

    def beside(self):
        """Those pages; each begins with the nodes there, whatever the one before has started anew."""
        for page in BESIDE:
            wait_until(lambda: self.shell(self.at["desk"], "hawser ls status:online -o name 2> /dev/null")[1].count("\n") == 2, "the nodes")
            yield from self.follow(page)

    def remove(self):
        for each in self.at.values():
            each.remove()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        yield made
    finally:
        made.remove()


@needs_machines
def test_the_manual_is_true(fleet):
    *manual, last = (f"manual/{page}" for page in contents())  # the last one loses the relay's disk
    wrong = [what for page in manual for what in fleet.follow(page)]
    wrong += [*fleet.beside(), *fleet.follow(last)]
    assert not wrong, "\n\n".join(wrong)


def test_the_manuals_contents_are_its_pages():
    assert sorted(contents()) == sorted(set(PAGES) - {"README.md"})
    for page in PAGES:
        with open(os.path.join(DOCS, "manual", page), encoding="utf-8") as f:
            for to in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", f.read()):
                assert to.startswith("http") or os.path.exists(os.path.join(DOCS, "manual", to)), f"{page}: no {to}"


def commands_of(text):
    """Lines of shell in which a program of ours is called."""
    for block in re.finditer(r"(?ms)^```[^\n]*\n(.*?)^```$", text):
        joined = re.sub(r"\\\n\s*", "", block.group(1))
        for line in joined.splitlines():
            m = re.match(r"(?:[$#] )?(?:runuser -u \S+ -- )?(hawser(?:-relay|-node)? [^#]*)", line)
            if m:
                yield m.group(1).strip()


def options_of(*command):
    said = subprocess.run([program("hawser"), "completion", "words", "--", *command, "--"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[1:]
    return {line.split("\t")[0] for line in said}


@pytest.mark.parametrize("page", sorted(os.path.relpath(p, DOCS) for p in glob.glob(os.path.join(DOCS, "*.md")) +
                                        glob.glob(os.path.join(DOCS, "manual", "*.md")) + [os.path.join(DOCS, "..", "README.md")]))
def test_what_a_page_calls_is_there(page):
    """Also where it is not run: the command is one, and its long options are its own."""
    with open(os.path.join(DOCS, page), encoding="utf-8") as f:
        text = f.read()
    for line in commands_of(text):
        words = re.split(r"\s+", re.split(r" -- | \| ", line)[0])
        if words[0] != "hawser":
            continue
        done = subprocess.run([program("hawser"), *(w for w in words[1:3] if re.fullmatch(r"[a-z-]+", w) and w[0] != "-"), "--help"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            done = subprocess.run([program("hawser"), words[1], "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f"{page}: {line}\n{done.stdout}"
        name = re.match(r"usage: hawser ((?:[a-z-]+ ?)+)", done.stdout)
        if name and "COMMAND" not in done.stdout.splitlines()[0]:
            have = options_of(*name.group(1).split()) | {"--comment", "--home", "--help", "--timeout", "--no-color"}
            for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", " ".join(words)):
                assert option in have, f"{page}: {line}: no option {option}"


def statements(text):
    for block in re.finditer(r"(?ms)^```json\n(.*?)^```$", text):
        made = json.loads(block.group(1))
        yield made if "Statement" in made else {"Version": "2012-10-17", "Statement": made}


def test_policies_and_documents_that_pages_show_load(client, tmp_path):
    """As they stand there."""
    n = 0
    for page in ("policies.md", "auditing.md"):
        with open(os.path.join(DOCS, page), encoding="utf-8") as f:
            for policy in statements(f.read()):
                n += 1
                path = tmp_path / f"{n}.json"
                path.write_text(json.dumps(policy))
                client.ok("policy", "put", f"{page[:4]}-{n}", str(path))
    with open(os.path.join(DOCS, "documents.md"), encoding="utf-8") as f:
        for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", f.read()):
            n += 1
            path = tmp_path / f"{n}.yaml"
            path.write_text(block)
            kind = ["--type", "session"] if "sessionType" in yaml.safe_load(block) else []
            client.ok("document", "put", f"shown-{n}", str(path), *kind)
    assert n >= 10


def test_every_event_of_the_log_page_is_one():
    with open(os.path.join(DOCS, "manual", "log.md"), encoding="utf-8") as f:
        events = re.findall(r"`([a-z]+\.[a-z_]+)`", f.read())
    sources = ""
    for folder in ("relay", "node", "audit"):
        for path in glob.glob(os.path.join(DOCS, "..", folder, "**", "*.c"), recursive=True):
            with open(path, encoding="utf-8") as f:
                sources += f.read()
    assert len(events) > 20 and [e for e in events if not re.search(f'"{re.escape(e)}[" ]', sources)] == []
