"""What may be shown of rtpengine's log."""

import pytest

from qibai.voice.medialog import MediaLogFilter


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "WARNING: [<[c_12ab]> port 30000]: RTP packet from <[192.0.2.7:4000]>",
            "WARNING: [c_12ab port 30000]: RTP packet from …",
        ),
        (
            "ERR: More than 30 duplicate packets, from <[[2001:db8::7]:4000]>to avoid",
            "ERR: More than 30 duplicate packets, from …to avoid",
        ),
        ("ERR: sent to 192.0.2.7:4000 failed", "ERR: sent to …:4000 failed"),
        ("ERR: sent to [2001:db8::7]:4000 failed", "ERR: sent to […]:4000 failed"),
        ("INFO: local 127.0.0.1:30000 at 12:30:45", "INFO: local 127.0.0.1:30000 at 12:30:45"),
    ],
)
def test_addresses_of_parties_are_not_shown(line: str, shown: str) -> None:
    assert MediaLogFilter("127.0.0.1")(line) == shown
