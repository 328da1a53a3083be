"""What the doctor says of peers: without Kamailio, and by what Kamailio's ``kamcmd`` prints."""

from pathlib import Path

import pytest

from qibai.cli.doctor.peers import check_peers
from qibai.config import Config, Peer, VoiceConfig


def test_learnt_addresses_are_pointed_out(tmp_path: Path) -> None:
    peers = [Peer(name="west", host="127.0.0.2", media_from="first"), Peer(name="east", host="127.0.0.3")]
    finding = check_peers(Config(home=tmp_path, voice=VoiceConfig(peers=peers, probe_interval_s=0)))
    assert finding.state == "warn"
    assert finding.says == "media of west is taken from the address that sends first"
    unanchored = VoiceConfig(peers=peers, probe_interval_s=0, media=False)
    assert check_peers(Config(home=tmp_path, voice=unanchored)).state == "ok"


def test_a_peer_that_was_not_probed_yet_is_not_well_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``kamcmd dispatcher.list`` prints in the first seconds after a start."""
    kamcmd = tmp_path / "kamcmd"
    kamcmd.write_text("#!/bin/sh\necho 'URI: sip:127.0.0.2:5060'\necho 'FLAGS: TP'\n")
    kamcmd.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = check_peers(
        Config(home=tmp_path, voice=VoiceConfig(peers=[Peer(name="west", host="127.0.0.2")]))
    )
    assert (finding.state, finding.says) == ("warn", "not probed yet: west")
