"""What two sides think that they have agreed on."""

import pytest

from qibai.core.sip.agreed import has_common_codec


def _sdp(*media: str) -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", *media, ""])


@pytest.mark.parametrize(
    ("answer", "told", "agreed"),
    [
        (["m=audio 9 RTP/AVP 8"], ["m=audio 9 RTP/AVP 8"], True),
        (["m=audio 9 RTP/AVP 18"], ["m=audio 9 RTP/AVP 8"], False),
        (["m=audio 9 RTP/AVP 18 8"], ["m=audio 9 RTP/AVP 8"], True),
        (["m=audio 9 RTP/AVP 8"], ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 pcma/8000"], True),
        (
            ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 AMR/8000"],
            ["m=audio 9 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"],
            False,
        ),
        (
            ["m=audio 9 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000"],
            ["m=audio 9 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"],
            False,
        ),
        (["m=audio 0 RTP/AVP 18"], ["m=audio 0 RTP/AVP 8"], True),
        (["m=image 9 udptl t38"], ["m=image 9 udptl t38"], True),
        (
            ["m=audio 9 RTP/AVP 8", "m=video 9 RTP/AVP 31"],
            ["m=audio 9 RTP/AVP 8", "m=video 9 RTP/AVP 34"],
            True,
        ),
        (
            ["m=audio 9 RTP/AVP 18", "m=video 0 RTP/AVP 31"],
            ["m=audio 9 RTP/AVP 8", "m=video 0 RTP/AVP 31"],
            False,
        ),
        ([], [], True),
    ],
)
def test_codecs(answer: list[str], told: list[str], agreed: bool) -> None:
    assert has_common_codec(_sdp(*answer), _sdp(*told)) is agreed
