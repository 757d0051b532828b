"""Accounts that only one agent and what it starts know: files of their own over /etc/passwd and its like."""

import os
import shutil
import tempfile

from .relay import program

NODE, HAWSER, ANN, BARRED, BROKEN, HOMELESS, CREW = range(4201, 4208)

_USERS = [  # name, id, home, shell
    ("hawser-node", NODE, "/nonexistent", "/usr/sbin/nologin"),
    ("hawser", HAWSER, "{home}/hawser", "/bin/bash"),
    ("ann", ANN, "{home}/ann", "/bin/sh"),
    ("barred", BARRED, "/", "/usr/sbin/nologin"),
    ("broken", BROKEN, "/", "/nonexistent/shell"),
    ("homeless", HOMELESS, "/nonexistent", "/bin/sh"),
]
_FILES = ("passwd", "group", "shadow", "sudoers")
_BIND = 'for f in passwd group shadow sudoers pam.d; do mount --bind "$0/$f" "/etc/$f" || exit 1; done; exec "$@"'


class Accounts:
    """A folder that everybody may enter, with the accounts' homes and copies of the agent's programs."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="hawser-e2e-")
        os.chmod(self.base, 0o755)
        self.etc, self.homes = (os.path.join(self.base, x) for x in ("etc", "home"))
        os.mkdir(self.etc)
        os.mkdir(self.homes)
        for name in _FILES:
            shutil.copy(os.path.join("/etc", name), self.etc)
        shutil.copytree("/etc/pam.d", os.path.join(self.etc, "pam.d"))
        for name, number, home, shell in _USERS:
            self._add(name, number, home.format(home=self.homes), shell)
        self._append("passwd", "toor:x:0:0::/root:/bin/sh")
        self._append("group", f"crew:x:{CREW}:hawser,ann")
        self._append("sudoers", "ann ALL=(ALL) NOPASSWD: ALL")
        os.chmod(os.path.join(self.etc, "shadow"), 0o600)
        os.chmod(os.path.join(self.etc, "sudoers"), 0o440)
        self.agent = os.path.join(self.base, "hawser-node")
        for name in ("hawser-node", "hawser-node-monitor", "hawser-node-fetch", "hawser-node-pam", "hawser-node-upgrade"):
            shutil.copy(program(name), self.base)

    def _append(self, name, line):
        with open(os.path.join(self.etc, name), "a", encoding="utf-8") as f:
            f.write(line + "\n")

    def _add(self, name, number, home, shell):
        self._append("passwd", f"{name}:x:{number}:{number}::{home}:{shell}")
        self._append("group", f"{name}:x:{number}:")
        self._append("shadow", f"{name}:*:19000:0:99999:7:::")
        if home.startswith(self.homes):
            os.mkdir(home, 0o750)
            os.chown(home, number, number)

    def expire(self, name):
        """As chage -E 1 does it; in place, since it may be mounted."""
        path = os.path.join(self.etc, "shadow")
        with open(path, encoding="utf-8") as f:
            rows = [line.split(":") for line in f]
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(":".join([*row[:7], "1", row[8]] if row[0] == name else row) for row in rows)

    def service(self, name, text):
        """One of PAM's."""
        with open(os.path.join(self.etc, "pam.d", name), "w", encoding="utf-8") as f:
            f.write(text)

    @property
    def wrap(self):
        """A command that runs its arguments where these accounts are."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BIND, self.etc]

    def remove(self):
        shutil.rmtree(self.base)
