"""The manual: every command has a page, and every page is one that man(1) can show."""

import glob
import os
import re
import subprocess

import pytest

from support.relay import BUILD, program

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGES = sorted(glob.glob(os.path.join(SOURCES, "docs", "man", "*.[58]")) +
               glob.glob(os.path.join(BUILD, "man", "*.[57]")) + glob.glob(os.path.join(BUILD, "client", "man", "*.1")))


def offered(*line):
    return subprocess.run([program("hawser"), "completion", "words", "--", *line], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[1:]


def words(*line):
    # An option of which help says nothing is the way it is anyway, and may be said.
    return [each.split("\t")[0] for each in offered(*line) if "\t" in each or line[-1] != "--"]


def rendered(page):
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-P-c", "-rLL=400n", page], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=True)
    return re.sub(r".\x08", "", done.stdout), done.stderr


def test_every_command_and_option_is_in_the_manual():
    names = {os.path.basename(page): rendered(page)[0] for page in PAGES}
    missing = []
    for command in words(""):
        for line in [[command, each] for each in words(command, "")] if f"hawser-{command}.1" in names else [[command]]:
            name = " ".join(line)
            pages = [text for page, text in names.items()
                     if page in (f"hawser-{command}.1", f"hawser-{'-'.join(line)}.1")]
            if not pages:
                missing.append(name)
            for option in words(*line, "--"):
                if option not in ("--home", "--timeout", "--proxy", "--no-color", "--help", "--output") and \
                        not any(option in text for text in pages):
                    missing.append(f"{name} {option}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=os.path.basename)
def test_a_page_is_well_formed(page):
    text, complaints = rendered(page)
    assert not complaints
    assert "NAME" in text and ("SYNOPSIS" in text or page[-1] in "57")


def test_the_overview_names_every_page():
    text = rendered(os.path.join(BUILD, "client", "man", "hawser.1"))[0]
    for command in words(""):
        assert f"hawser-{command}(1)" in text


def test_every_setting_is_in_its_page(tmp_path):
    """Also those that the parser names when it is given one that it does not know."""
    subprocess.run([program("hawser-relay"), "init", "--dir", tmp_path / "relay"], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    written = re.findall(r"(?m)^(\w+) = ", (tmp_path / "relay" / "relay.conf").read_text())
    relay = rendered(os.path.join(BUILD, "man", "hawser-relay.conf.5"))[0]
    assert len(written) > 50 and [key for key in written if not re.search(rf"(?m)^ +{key}$|^ +{key} ", relay)] == []

    with open(os.path.join(SOURCES, "node", "config.h"), encoding="utf-8") as f:
        struct = f.read().split("struct node_config {")[1].split("};")[0]
    struct = re.sub(r"/\*.*?\*/", "", struct, flags=re.S)
    keys = set(re.findall(r"\b(\w+)(?:\[\d+\])?[,;]", struct)) - {"id"}
    node = rendered(os.path.join(BUILD, "man", "hawser-node.conf.5"))[0]
    assert len(keys) > 12 and [key for key in sorted(keys) if not re.search(rf"(?m)^ +{key}$|^ +{key} ", node)] == []


def examples():
    for command in words(""):
        for line in [[command, each] for each in words(command, "")] if f"hawser-{command}.1" and is_group(command) else [[command]]:
            said = subprocess.run([program("hawser"), *line, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
            for example in said.split("\nexamples:\n")[1].splitlines():
                yield line, example.strip()


def is_group(command):
    return "COMMAND [OPTION...]" in subprocess.run([program("hawser"), command, "--help"], stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]


def test_every_command_has_two_examples_whose_options_it_has():
    seen, wrong = {}, []
    for line, example in examples():
        seen.setdefault(" ".join(line), []).append(example)
        for call in re.findall(r"hawser (?!-)([^|>&;]*)", example):
            call = call.split(" -- ")[0]
            if not call.startswith(" ".join(line)):
                continue
            have = {each.split("\t")[0] for each in offered(*line, "--")} | {"--comment", "--output", "--home", "--timeout"}
            wrong += [f"{example}: no {option}" for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", call) if option not in have]
    assert not wrong and len(seen) > 60
    assert [name for name, of in seen.items() if len(of) < 2] == []
