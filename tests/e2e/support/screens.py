"""What a person sees: a command on a terminal that is emulated, by tmux, so that its screen can be looked at."""

import os
import shutil
import subprocess

import pytest

from .relay import PATIENCE, program, wait_until


class Screen:
    """`hawser ARGS` on a terminal of its own; rows and columns are its own too."""

    def __init__(self, client, *args, cols=80, rows=24):
        if shutil.which("tmux") is None:
            pytest.skip("tmux is not installed")
        self.socket = os.path.join(client.home, f"tmux-{id(self)}")
        self.result = self.socket + ".status"
        self.env = dict(client.env, TERM="xterm-256color")
        self.env.pop("TMUX", None)
        self._tmux(
            "-f", "/dev/null", "start-server", ";", "set", "-g", "remain-on-exit", "on", ";", "set", "-g", "status",
            "off", ";", "set", "-g", "default-terminal", "screen-256color", ";", "new-session", "-d", "-x", str(cols),
            "-y", str(rows), "sh", "-c", 'out=$1; shift; "$@"; echo $? > "$out"', "sh", self.result, program("hawser"),
            *args)

    def _tmux(self, *args):
        return subprocess.run(
            ["tmux", "-S", self.socket, *args], env=self.env, check=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE).stdout

    def ask(self, what):
        """One of its variables, as tmux calls them."""
        return self._tmux("display", "-p", "#{" + what + "}").strip()

    def text(self, history=False):
        """Its lines, without what is blank at their ends."""
        shown = self._tmux("capture-pane", "-p", *(["-S", "-"] if history else []))
        return "\n".join(line.rstrip() for line in shown.rstrip("\n").split("\n"))

    def words(self, history=False):
        """The same as it was written: lines that were too long for it are one."""
        return self._tmux("capture-pane", "-p", "-J", *(["-S", "-"] if history else []))

    def coloured(self):
        return self._tmux("capture-pane", "-p", "-e")

    def state(self):
        """All that a program can see of it, but its history."""
        names = ("cursor_x", "cursor_y", "alternate_on", "cursor_flag", "keypad_cursor_flag", "wrap_flag",
                 "scroll_region_upper", "scroll_region_lower", "mouse_any_flag")
        return [self.text()] + [self.ask(name) for name in names]

    def type(self, text):
        self._tmux("send-keys", "-l", text)

    def key(self, *names):
        self._tmux("send-keys", *names)

    def line(self, text):
        self.type(text)
        self.key("Enter")

    def expect(self, text, history=False):
        try:
            wait_until(lambda: text in self.words(history), repr(text))
        except AssertionError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.text(True)}") from None

    def resize(self, cols, rows):
        self._tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def status(self):
        """The command's exit status, when it has ended."""
        try:
            return int(wait_until(self._ended, "the end of the command"))
        except AssertionError:
            raise AssertionError(f"the command goes on:\n{self.text(True)}") from None

    def _ended(self):
        if not os.path.exists(self.result):
            return None
        with open(self.result, encoding="ascii") as f:
            return f.read().strip()

    def close(self):
        """The window is closed: what still runs in it is hung up."""
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], env=self.env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=PATIENCE)
