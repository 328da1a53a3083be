"""Calls on a path whose MTU is so small that UDP datagrams go in pieces."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.voice

MTU = 600  #: an INVITE has some 1,200 bytes
CALLS = Path(__file__).with_name("test_voice_calls.py")
#: In a network of its own: set the loopback's MTU, run calls, tell what the kernel has put together.
INSIDE = f"""
import fcntl, socket, struct, sys
import pytest
with socket.socket() as handle:
    fcntl.ioctl(handle, 0x8922, struct.pack("16si12x", b"lo", {MTU}))  # SIOCSIFMTU
    fcntl.ioctl(handle, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
code = pytest.main(["-q", "-p", "no:cacheprovider", "-k", "hold or cancel", {str(CALLS)!r}])
names, values = [line.split() for line in open("/proc/net/snmp") if line.startswith("Ip:")]
print("reassembled", dict(zip(names, values))["ReasmOKs"])
sys.exit(code)
"""


def test_calls_whose_messages_go_in_pieces() -> None:
    own_network = [str(shutil.which("unshare")), "--net"]
    if os.geteuid() != 0:
        own_network.append("--map-root-user")
    if subprocess.run([*own_network, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let its users make a network of their own")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*own_network, sys.executable, "-c", INSIDE],
        env=env, cwd=CALLS.parents[2], capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert int(done.stdout.split("reassembled ")[1]) > 50
