"""A network namespace of its own for one process, which the host reaches by one link that can be cut."""

import os
import shutil
import subprocess

NAME = "artcafe-test"
OUTER, INNER = "artcafe-out", "artcafe-in"
OUTER_ADDRESS, ADDRESS = "10.213.77.1", "10.213.77.2"


def is_available():
    """Whether this process may make namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Namespace:
    """Reached at `ADDRESS`; a process within it reaches the host at `OUTER_ADDRESS`."""

    def __init__(self):
        self.remove()  # of a run that was killed
        _ip("netns", "add", NAME)
        _ip("link", "add", OUTER, "type", "veth", "peer", "name", INNER, "netns", NAME)
        _ip("addr", "add", f"{OUTER_ADDRESS}/30", "dev", OUTER)
        _ip("link", "set", OUTER, "up")
        _ip("-n", NAME, "addr", "add", f"{ADDRESS}/30", "dev", INNER)
        _ip("-n", NAME, "link", "set", "lo", "up")
        self.heal()

    @staticmethod
    def command(command):
        """The command that runs another one within the namespace."""
        return ["ip", "netns", "exec", NAME, *command]

    @staticmethod
    def cut():
        """Lose every packet in both directions; nobody is told."""
        # The outer end stays up, so that what listens at its address still does.
        _ip("-n", NAME, "link", "set", INNER, "down")

    @staticmethod
    def heal():
        """Let packets through."""
        _ip("-n", NAME, "link", "set", INNER, "up")

    @staticmethod
    def remove():
        """Take away the namespace, and the link with it."""
        subprocess.run(["ip", "netns", "del", NAME], check=False, capture_output=True)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
