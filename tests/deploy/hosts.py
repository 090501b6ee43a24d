"""Hosts of a network on one machine: network namespaces, joined by a bridge in the one we are in.

Processes, files and names are shared, so a host that is cut off goes on running unseen.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

NAMES = ("head", "one", "two")


@dataclass(frozen=True)
class Host:
    """A network namespace with one address on the bridge."""

    name: str
    address: str
    link: str
    """The bridge's end of its cable."""

    @property
    def prefix(self) -> list[str]:
        """What runs a command on this host."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Pull the cable; everything on the host goes on."""
        _ip("link", "set", self.link, "down")

    def mend(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.link, "up")


@dataclass(frozen=True)
class Network:
    """Some hosts, and the address of this process among them."""

    address: str
    hosts: dict[str, Host] = field(default_factory=dict)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Make a bridge with three hosts, and remove them afterwards."""
    assert os.geteuid() == 0, "network namespaces need root: run these tests as root"
    assert shutil.which("ip"), "the command ip is missing: apt-get install iproute2"
    own = os.getpid()
    bridge, net = f"tun{own}", f"10.213.{own % 250}"
    made = Network(f"{net}.254")
    with contextlib.ExitStack() as undo:
        _ip("link", "add", bridge, "type", "bridge")
        undo.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{made.address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, name in enumerate(NAMES, start=1):
            host = Host(f"tuner{own}-{name}", f"{net}.{number}", f"v{own}x{number}")
            made.hosts[name] = host
            _join(host, bridge, undo)
        yield made


def _join(host: Host, bridge: str, undo: contextlib.ExitStack) -> None:
    _ip("netns", "add", host.name)
    undo.callback(_ip, "netns", "del", host.name)
    _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
    _ip("link", "set", host.link, "master", bridge, "up")
    _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host.name, "link", "set", "eth0", "up")
    _ip("-n", host.name, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
