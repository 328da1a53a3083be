"""``qibai up`` starts nothing on a port that somebody has, and says who has it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM, SocketKind

import pytest
from cli_tools import Cli, cli_in

from port_holder import port_held
from qibai.testing.platform import free_port, wait_for
from tls_tools import make_certificate

pytestmark = pytest.mark.voice


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with cli_in(tmp_path / "home") as made:
        yield made


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize(
    ("key", "kind", "host"),
    [
        ("voice.udp_port", SOCK_DGRAM, "127.0.0.1"),
        ("voice.udp_port", SOCK_DGRAM, "0.0.0.0"),  # noqa: S104
        ("voice.udp_port", SOCK_DGRAM, "::"),
        ("voice.tcp_port", SOCK_STREAM, "127.0.0.1"),
        ("voice.media_ng_port", SOCK_DGRAM, "127.0.0.1"),
        ("api.port", SOCK_STREAM, "0.0.0.0"),  # noqa: S104
        ("messaging.sip_port", SOCK_DGRAM, "127.0.0.1"),
    ],
)
def test_a_taken_port_is_refused_before_anything_starts(
    cli: Cli, key: str, kind: SocketKind, host: str, shared: bool
) -> None:
    section, _, name = key.partition(".")
    port = free_port("127.0.0.1", kind)
    cli.env[f"QIBAI_{section}_{name}".upper()] = str(port)
    with port_held(kind, host, port, shared=shared) as pid:
        refused = cli.run("up", status=1)
        detached = cli.run("up", "--detach", status=1)
    for done in (refused, detached):
        assert "config_invalid" in done.stderr
        assert key in done.stderr
        assert f"{(kind is SOCK_DGRAM and 'UDP') or 'TCP'} port {port}" in done.stderr
        assert f"(process {pid})" in done.stderr
    assert not cli.config.pg_dir.exists()


@pytest.mark.parametrize("key", ["voice.tls_port", "messaging.smpp_port", "messaging.cmpp_port"])
def test_the_ports_of_tls_and_of_links_are_looked_at_too(cli: Cli, tmp_path: Path, key: str) -> None:
    certificate, private = make_certificate(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    links = "".join(
        f"[[messaging.links]]\nname = '{protocol}'\nprotocol = '{protocol}'\nrole = 'server'\n"
        f"account = '901234'\npassword_file = '{secret}'\n"
        for protocol in ("smpp", "cmpp")
    )
    cli.home.mkdir()
    cli.config.file.write_text(f"[voice]\ntls_cert = '{certificate}'\ntls_key = '{private}'\n{links}")
    names = ("voice.tls_port", "messaging.smpp_port", "messaging.cmpp_port")
    ports = {name: free_port("127.0.0.1", SOCK_STREAM) for name in names}
    for name, port in ports.items():
        cli.env["QIBAI_" + name.upper().replace(".", "_")] = str(port)
    with port_held(SOCK_STREAM, "127.0.0.1", ports[key]) as pid:
        refused = cli.run("up", status=1).stderr
    assert key in refused and f"TCP port {ports[key]}" in refused and f"(process {pid})" in refused
    assert not any(name in refused for name in names if name != key)
    assert not cli.config.pg_dir.exists()


def test_a_second_platform_on_the_same_ports_is_told_whose_they_are(cli: Cli, tmp_path: Path) -> None:
    cli.start()
    with cli_in(tmp_path / "second") as second:
        second.env["QIBAI_VOICE_MEDIA_NG_PORT"] = cli.env["QIBAI_VOICE_MEDIA_NG_PORT"]
        refused = second.run("up", "--detach", status=1)
        assert "voice.media_ng_port" in refused.stderr
        assert f"of the Qibai platform in {cli.home}" in refused.stderr
        for name in ("MIN", "MAX"):
            range_of = cli.config.voice.media_ports
            second.env[f"QIBAI_VOICE_MEDIA_PORT_{name}"] = str(range_of[0 if name == "MIN" else -1])
        second.env["QIBAI_VOICE_MEDIA_NG_PORT"] = str(free_port("127.0.0.1"))
        refused = second.run("up", status=1)
        assert "voice.media_port_min" in refused.stderr
        assert f"of the Qibai platform in {cli.home}" in refused.stderr
    assert cli.run("status").returncode == 0


def test_of_two_that_start_at_once_one_runs(cli: Cli, tmp_path: Path) -> None:
    with cli_in(tmp_path / "second", **{k: v for k, v in cli.env.items() if "PORT" in k}) as second:
        both = [
            subprocess.Popen(
                [*one.command, "up"], env=one.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for one in (cli, second)
        ]
        wait_for(lambda: any(one.poll() is not None for one in both), "one of two is refused", 60)
        wait_for(lambda: cli.all_ready() or second.all_ready(), "the other is ready", 60)
        assert sorted((one.poll() is None, one.poll()) for one in both) == [(False, 1), (True, None)]
        (loser,) = [one for one in both if one.poll() is not None]
        assert loser.stderr is not None
        assert b"Qibai platform in" in loser.stderr.read()
        for one in both:
            one.send_signal(signal.SIGTERM)
            one.wait(60)


def test_a_stranger_on_a_running_platforms_port_makes_that_part_fail(cli: Cli) -> None:
    """rtpengine opens its control port so that others can open it as well."""
    cli.start()
    port = cli.config.voice.media_ng_port
    with port_held(SOCK_DGRAM, "127.0.0.1", port, shared=True) as pid:
        wait_for(lambda: cli.parts()["rtpengine"]["state"] == "failing", "the stranger is seen", 30)
        said = cli.json("status", status=3)["parts"]["rtpengine"]
        assert said["state"] == "failing"
        assert f"(process {pid})" in said["says"]
        os.kill(cli.parts()["rtpengine"]["pid"], signal.SIGKILL)  # now the stranger is alone there
        wait_for(lambda: cli.parts()["rtpengine"]["restarts"] >= 2, "it does not start beside it", 30)
        assert cli.parts()["rtpengine"]["state"] != "ready"
    wait_for(cli.all_ready, "all is well again", 60)


def test_a_part_that_cannot_start_says_why(cli: Cli) -> None:
    """Another gateway works on the same messages."""
    import fcntl

    folder = cli.home / "spool" / "messages"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = cli.run("up", "--detach", status=1)
    assert "gateway cannot start" in refused.stderr
    assert "a gateway runs on this home already" in refused.stderr
    assert cli.processes() == []
