"""The configuration: later sources win, and what is wrong is named, but never shown."""

from pathlib import Path

import pytest

from qibai.config import load
from qibai.core.errors import ConfigError

PEER = '[[voice.peers]]\nname = "west"\nhost = "192.0.2.7"\n'


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_text("[api]\nport = 8000\nworkers = 3\n" + PEER)
    found = load(tmp_path, {"QIBAI_API_PORT": "9000", "QIBAI_NODE": "n1"})
    assert (found.api.port, found.api.workers, found.node) == (9_000, 3, "n1")
    assert [peer.host for peer in found.voice.peers] == ["192.0.2.7"]


def test_ipv6(tmp_path: Path) -> None:
    (tmp_path / "qibai.toml").write_text(
        '[voice]\nhost = "2001:db8::1"\n' + PEER.replace("192.0.2.7", "2001:db8::7")
    )
    assert load(tmp_path, {}).voice.peers[0].host == "2001:db8::7"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[api]\nport = 'secret'\n", "api.port"),
        ("[api]\nprot = 'secret'\n", "prot"),
        ("api = 'secret'\n", "[api]"),
        ("[voice]\nhost = 'secret.example'\n", "host"),
        ("[voice]\nhost = '2001:db8::1'\n" + PEER, "host of peer west"),
        (PEER.replace("192.0.2.7", "secret.example"), "host of peer west"),
        (PEER.replace("192.0.2.7", "2001:db8::7"), "host of peer west"),
        (PEER + "sources = ['secret/8']\n", "sources of peer west"),
        (PEER + PEER, "peers: two"),
        ("[voice]\nudp_port = 30060\n", "udp_port: 30060"),
        ("[voice]\nmedia_ng_port = 39999\n", "media_ng_port: 39999"),
        ("[voice]\nhost = '192.0.2.7'\n" + PEER + "port = 30000\n", "port of peer west: 30000"),
        ("[voice]\nmedia_port_min = 40000\n", "media_port_min"),
        ("[pilot]\nnotice = 'secret'\n", "notice"),
        ("[dual]\nvalid_s = 5\n", "dual.valid_s"),
        ("[api\n", "qibai.toml"),
    ],
)
def test_a_mistake_is_named_and_its_value_is_not_shown(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "qibai.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    assert key in caught.value.message
    assert "secret" not in caught.value.message
