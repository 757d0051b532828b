"""The manual: every command has a page, and every page is one that man(1) can show."""

import glob
import os
import re
import subprocess

import pytest

from support.relay import BUILD, program

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PAGES = sorted(glob.glob(os.path.join(SOURCES, "docs", "man", "*.[58]")) +
               glob.glob(os.path.join(BUILD, "client", "man", "*.1")))


def words(*line):
    said = subprocess.run([program("hawser"), "completion", "words", "--", *line], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.splitlines()[1:]
    # An option of which help says nothing is the way it is anyway, and may be said.
    return [each.split("\t")[0] for each in said if "\t" in each or line[-1] != "--"]


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
                if option not in ("--home", "--timeout", "--no-color", "--help", "--output") and \
                        not any(option in text for text in pages):
                    missing.append(f"{name} {option}")
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=os.path.basename)
def test_a_page_is_well_formed(page):
    text, complaints = rendered(page)
    assert not complaints
    assert "NAME" in text and "SYNOPSIS" in text


def test_the_overview_names_every_page():
    text = rendered(os.path.join(BUILD, "client", "man", "hawser.1"))[0]
    for command in words(""):
        assert f"hawser-{command}(1)" in text
