"""What the doctor says of peers when it need not ask Kamailio."""

from pathlib import Path

from qibai.cli.doctor.peers import check_peers
from qibai.config import Config, Peer, VoiceConfig


def test_learnt_addresses_are_pointed_out(tmp_path: Path) -> None:
    peers = [Peer(name="west", host="127.0.0.2", media_from="first"), Peer(name="east", host="127.0.0.3")]
    finding = check_peers(Config(home=tmp_path, voice=VoiceConfig(peers=peers, probe_interval_s=0)))
    assert finding.state == "warn"
    assert finding.says == "media of west is taken from the address that sends first"
    unanchored = VoiceConfig(peers=peers, probe_interval_s=0, media=False)
    assert check_peers(Config(home=tmp_path, voice=unanchored)).state == "ok"
