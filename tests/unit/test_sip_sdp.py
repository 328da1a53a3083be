"""Session descriptions: line by line what passes."""

import pytest

from qibai.core.sip import BadMessage, clean_sdp, parse, sdp_of

BASE = "v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=x\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
HEAD = (
    "INVITE sip:7@h SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\n"
    "Call-ID: 1\r\nCSeq: 1 INVITE\r\n"
)


def lines(media: str, **options: bool) -> list[str]:
    text = BASE + media.replace("\n", "\r\n") + "\r\n"
    return clean_sdp(text, "192.0.2.8", salt="s", **options).split("\r\n")[5:-1]


@pytest.mark.parametrize(
    ("attribute", "passes"),
    [
        ("rtpmap:96 AMR-WB/16000/1", True),
        ("rtpmap:96 Zhangsan/16000", False),
        ("rtpmap:0 PCMU/8000", True),
        ("rtpmap:5 DVI4/8000", False),  # no such type on this m= line
        ("fmtp:96 mode-set=0,2,4;octet-align=1", True),
        ("fmtp:96 0-15", True),
        ("fmtp:96 0-15,32-36,66", True),
        ("fmtp:96 13,8,0,0,13", False),
        ("fmtp:96 note=139", False),
        ("fmtp:96 mode-set=13800138000", False),
        ("fmtp:96 profile-level-id=42e01f;packetization-mode=1", True),
        ("fmtp:96 br=5.9-24.4;bw=nb-swb", True),
        ("sendonly", True),
        ("sendonly:139", False),
        ("ptime:20", True),
        ("ptime:13800138000", False),
        ("rtcp:40001", True),
        ("rtcp:40001 IN IP4 10.0.0.1", False),
        ("rtcp-mux", True),
        ("rtcp-fb:96 nack pli", True),
        ("rtcp-fb:* nack 139", False),
        ("curr:qos local sendrecv", True),
        ("des:qos mandatory remote sendrecv", True),
        ("ssrc:1 cname:x", False),
        ("candidate:1 1 UDP 1 10.0.0.1 4 typ host", False),
        ("ice-pwd:x", False),
        ("mid:0", False),
        ("setup:actpass", True),
        ("fingerprint:sha-256 " + ":".join(["AB"] * 32), True),
        ("crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz", True),
        ("crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTM4MDAxMzgwMDA=", False),
        ("crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7f13800138000", False),
        ("crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTM4MDAxMzgwMDBYWFhYWFhYWFhYWFhYWFhYWFhY", False),
        ("X-unknown", False),
        ("", False),
    ],
)
def test_attributes(attribute: str, passes: bool) -> None:
    written = lines(f"m=audio 4000 RTP/AVP 0 96\na=rtpmap:96 AMR/8000\na={attribute}")[2:]
    assert written == ([f"a={attribute}"] if passes else [])


@pytest.mark.parametrize(
    ("media", "want"),
    [
        ("audio 4000 RTP/AVP 8 0", "m=audio 4000 RTP/AVP 8 0"),
        ("audio 4000/2 RTP/AVP 8", "m=audio 4000 RTP/AVP 8"),
        ("audio 4000 RTP/SAVPF 8 99", "m=audio 4000 RTP/SAVPF 8"),  # 99 has no rtpmap
        ("audio 4000 RTP/AVP 99 1380", "m=audio 0 RTP/AVP 0"),
        ("image 4000 udptl t38", "m=image 4000 udptl t38"),
        ("application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 0 RTP/AVP 0"),
        ("zhangsan 9 X 139", "m=audio 0 RTP/AVP 0"),
        ("video 9 TCP/139 8", "m=video 0 RTP/AVP 0"),
    ],
)
def test_media_lines_keep_their_places(media: str, want: str) -> None:
    assert lines(f"m=audio 2 RTP/AVP 8\nm={media}\na=tool:x\nm=video 6 RTP/AVP 34") == [
        "m=audio 2 RTP/AVP 8",
        want,
        "m=video 6 RTP/AVP 34",
    ]


def test_addresses_are_ours_unless_told_otherwise() -> None:
    assert lines("m=audio 2 RTP/AVP 8\nc=IN IP4 10.0.0.2")[1] == "c=IN IP4 192.0.2.8"
    assert lines("m=audio 2 RTP/AVP 8\nc=IN IP4 0.0.0.0")[1] == "c=IN IP4 0.0.0.0"
    assert lines("m=audio 2 RTP/AVP 8\nc=IN IP4 10.0.0.2", pass_media_address=True)[1] == "c=IN IP4 10.0.0.2"
    assert "o=- " in clean_sdp(BASE, "2001:db8::1", salt="s")
    assert " IN IP6 2001:db8::1\r\n" in clean_sdp(BASE, "2001:db8::1", salt="s")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=1\r\n",
        "v=0\r\ns=x\r\n",
        BASE + "m=audio\r\n",
        BASE + "m=audio 70000 RTP/AVP 8\r\n",
        BASE + "c=IN IP4 zhangsan\r\n",
        BASE + "m=audio 2 RTP/AVP 8\r\n" * 17,
        BASE + "a=x\r\n" * 401,
        "v=0\r\no=a b c\r\n",
        BASE + "m=audio 2 RTP/AVP 8\r\nc=IN IP4 224.2.1.1/127/3\r\n",
        BASE + "m=audio 2 RTP/AVP 8\r\nc=IN IP4 255.255.255.255\r\n",
        BASE + "m=audio 2 RTP/AVP 8\r\nc=IN IP6 ff15::101\r\n",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        clean_sdp(text, "192.0.2.8", salt="s")


def test_the_numbers_of_an_origin_are_as_long_as_they_like() -> None:
    long = "v=0\r\no=- 123456789012345678901234567890 7 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\n"
    assert clean_sdp(long, "192.0.2.8", salt="s").startswith("v=0\r\no=- ")


def test_the_description_is_found_among_several_parts() -> None:
    isup = "--b\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n"
    body = f"{isup}--b\r\nContent-type: application/SDP\r\n\r\n{BASE}\r\n--b--"
    text = f'{HEAD}Content-Type: multipart/mixed;boundary="b"\r\n\r\n{body}'
    assert sdp_of(parse(text)) == BASE
    assert sdp_of(parse(f"{HEAD}Content-Type: text/plain\r\n\r\nx")) is None
    assert sdp_of(parse(f"{HEAD}\r\n")) is None
    with pytest.raises(BadMessage):
        sdp_of(parse(f"{HEAD}Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nx"))


def test_rtcp_goes_to_nobody() -> None:
    """Each stream that lives says so at its end, and nothing of the original's RTCP is left."""
    text = BASE + (
        "m=audio 4000 RTP/AVP 8\r\na=rtcp:4005\r\na=rtcp-mux\r\na=sendrecv\r\n"
        "m=video 4002 RTP/AVPF 96\r\na=rtpmap:96 H264/90000\r\na=rtcp-fb:96 nack pli\r\n"
        "m=audio 4004 RTP/AVP 139\r\nm=image 4006 udptl t38\r\n"
    )
    for host, place in (("192.0.2.8", "IP4 192.0.2.8"), ("2001:db8::1", "IP6 2001:db8::1")):
        written = clean_sdp(text, host, salt="s", without_rtcp=True).split("\r\n")[5:-1]
        assert written == [
            *("m=audio 4000 RTP/AVP 8", "a=sendrecv", f"a=rtcp:9 IN {place}"),
            *("m=video 4002 RTP/AVPF 96", "a=rtpmap:96 H264/90000", f"a=rtcp:9 IN {place}"),
            *("m=audio 0 RTP/AVP 0", "m=image 4006 udptl t38"),
        ]


def test_media_without_any_address() -> None:
    """RFC 8866 §5.7: each media has an address, its own or the session's; refused media needs none."""
    head = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\n"
    audio = "m=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.7\r\n"
    for refused in ("m=video 0 RTP/AVPF 96\r\n", "m=video 0 TCP/XYZ 96\r\n"):
        written = clean_sdp(head + audio + refused, "198.51.100.1", salt="s", pass_media_address=True)
        assert written.count("c=IN IP4 192.0.2.7\r\n") == 1
        assert written.split("m=video 0 ")[1].count("c=IN IP4 198.51.100.1\r\n") == 1
    with pytest.raises(BadMessage):
        clean_sdp(head + audio + "m=video 4002 RTP/AVP 31\r\n", "198.51.100.1", salt="s")
    with pytest.raises(BadMessage):
        clean_sdp(head + "m=audio 4000 RTP/AVP 8\r\n", "198.51.100.1", salt="s")
