"""Reading SIP messages: shapes that are accepted, and those that are refused."""

import pytest

from qibai.core.existing import ExistingNumber
from qibai.core.sip import BadMessage, called_number, caller_identity, parse, unsupported

HEAD = (
    "INVITE sip:700123456780001@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n"
    "From: <sip:+8613800138000@a>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: x@y\r\nCSeq: 1 INVITE\r\n"
)


def message(
    *, uri: str = "sip:700123456780001@192.0.2.7", sender: str = "<sip:x@a>;tag=f", extra: str = ""
) -> str:
    return (
        HEAD.replace("sip:700123456780001@192.0.2.7", uri).replace("<sip:+8613800138000@a>;tag=f", sender)
        + extra
        + "\r\n"
    )


def test_compact_folded_and_listed_headers() -> None:
    text = (
        "INVITE sip:b@c SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1,\r\n SIP/2.0/TCP b:5061\r\n"
        'VIA : SIP / 2.0 / UDP c\r\nf: "A, <B>" <sip:a@b>\r\n  ;tag=1\r\nt: sip:b@c\r\n'
        "i: 1\r\ncseq:  7\t INVITE \r\n"
        "m: sip:a@d;expires=3\r\nl: 2\r\n\r\nhixx"
    )
    read = parse(text)
    assert [via[-1] for via in read.vias] == ["1", "1", "c"]
    assert (read.from_uri, read.from_tag, read.to_uri, read.to_tag) == ("sip:a@b", "1", "sip:b@c", "")
    assert (read.cseq, read.method, read.contact, read.body) == (7, "INVITE", "sip:a@d", "hi")
    assert parse(text.encode()).fields == read.fields


def test_response() -> None:
    read = parse(
        "SIP/2.0 180 Ringing 139\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n"
        "Call-ID: 1\r\nCSeq: 4 INVITE\r\n\r\n"
    )
    assert (read.status, read.method, read.to_tag, read.is_request) == (180, "INVITE", "2", False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\r\n\r\n",
        HEAD,  # no empty line
        HEAD.replace("SIP/2.0\r\n", "SIP/3.0\r\n", 1) + "\r\n",
        HEAD.replace("INVITE sip", "INVITE  sip", 1) + "\r\n",
        HEAD.replace("Call-ID: x@y\r\n", "") + "\r\n",
        HEAD + "Call-ID: z\r\n\r\n",
        HEAD + "CSeq: 1 INVITE\r\n\r\n",
        HEAD + "no colon here\r\n\r\n",
        HEAD + "Bad name: 1\r\n\r\n",
        HEAD + "Subject: \x00\r\n\r\n",
        HEAD + "Subject: a\rb\r\n\r\n",
        HEAD + "Subject: a\nX: b\r\n\r\n",
        HEAD + "Content-Length: 5\r\n\r\nabc",
        HEAD + "Content-Length: -1\r\n\r\n",
        HEAD + "Content-Length: \u0665\r\n\r\n",
        HEAD + "Max-Forwards: 300\r\n\r\n",
        HEAD.replace("CSeq: 1 ", "CSeq: 2147483648 ") + "\r\n",
        HEAD.replace("1 INVITE", "1 BYE") + "\r\n",
        HEAD.replace("<sip:b@c>", '"x <sip:b@c>') + "\r\n",
        HEAD.replace("<sip:b@c>", "<sip:b@c>;;") + "\r\n",
        HEAD.replace("<sip:b@c>", "<sip:b@c>;tag=1;tag=2") + "\r\n",
        HEAD.replace(";branch", ";;branch") + "\r\n",
        HEAD.replace("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "") + "\r\n",
        HEAD.replace("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "") + "Via: ,\r\n\r\n",
        HEAD + "X: y\r\n" * 500 + "\r\n",
        HEAD + "X: " + "y" * 66_000 + "\r\n\r\n",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse(text)
    assert caught.value.code == "sip_malformed"


@pytest.mark.parametrize("hops", ["", "many", "300", "\u0665"])
@pytest.mark.parametrize("method", ["ACK", "BYE", "CANCEL"])
def test_what_ends_a_call_is_taken_with_any_max_forwards(method: str, hops: str) -> None:
    text = HEAD.replace("INVITE", method) + f"Max-Forwards: {hops}\r\nMax-Forwards: 1\r\n\r\n"
    assert parse(text).max_forwards == 70


@pytest.mark.parametrize(
    "uri",
    [
        "sip:700123456780001@h",
        "sip:+86700123456780001@h;user=phone",
        "sip:86700123456780001@h",
        "sip:0086700123456780001@h:5060",
        "sips:700123456780001:secret@[2001:db8::1]:5061;transport=tcp",
        "sip:700123456780001;phone-context=+86@h",
        "sip:%37%30%30123456780001@h",
        "tel:+86700123456780001",
        "tel:+86-700-1234-5678-0001",
        "tel:700123456780001;phone-context=+86",
        "TEL:700123456780001;phone-context=ims.example.com",
    ],
)
def test_called_number_is_read(uri: str) -> None:
    assert str(called_number(parse(message(uri=uri)))) == "700123456780001"


@pytest.mark.parametrize(
    "uri",
    [
        "sip:70012345678000@h",
        "sip:7001234567800011@h",
        "sip:+1700123456780001@h",
        "tel:700123456780001;phone-context=+1",
        "sip:%D9%A7001@h",
        "sip:%FF%FE@h",
        "sip:138001380001@h",
        "sip:112@h",
        "sip:h",
        "http://700123456780001@h/",
        "urn:service:sos",
    ],
)
def test_called_number_is_none(uri: str) -> None:
    assert called_number(parse(message(uri=uri))) is None


@pytest.mark.parametrize(
    "uri", ["sip:17012345678@h", "tel:+86-170-1234-5678", "sip:+8617012345678@h;user=phone"]
)
def test_an_ordinary_number_may_be_an_old_middle_number(uri: str) -> None:
    assert called_number(parse(message(uri=uri))) == ExistingNumber("+8617012345678")


@pytest.mark.parametrize(
    ("sender", "asserted", "trusted", "want"),
    [
        ("<sip:+8613800138000@a>;tag=1", None, True, "+8613800138000"),
        ("<sip:13800138000@a>", None, True, "+8613800138000"),
        ("sip:8613800138000@a;tag=1", None, True, "+8613800138000"),
        ('"1" <tel:+86-138-0013-8000>;tag=1', None, True, "+8613800138000"),
        ("<sip:%2B8613800138000@a>", None, True, "+8613800138000"),
        ("<tel:13800138000;phone-context=+86>", None, True, "+8613800138000"),
        ("<sip:008613800138000@a>", None, True, "+8613800138000"),
        ("<sip:+8613800138000@a>", "<tel:+8613912345678>", True, "+8613912345678"),
        ("<sip:+8613800138000@a>", '"a,b" <sip:x@y>, <tel:+8613912345678>', True, "+8613912345678"),
        ("<sip:+8613800138000@a>", "<tel:+8613912345678>", False, "+8613800138000"),
        ("<sip:+8613800138000@a>", "<sip:proxy@y>", True, None),  # asserted, but no number: From is not asked
        ("<sip:+8613800138000@a>", "<<", True, None),
        ("<sip:anonymous@anonymous.invalid>", None, True, None),
        ("<sip:+14155550100@a>", None, True, None),
        ("<sip:700123456780001@a>", None, True, None),
        ("<tel:13800138000;phone-context=+1>", None, True, None),
    ],
)
def test_caller(sender: str, asserted: str | None, trusted: bool, want: str | None) -> None:
    extra = "" if asserted is None else f"P-Asserted-Identity: {asserted}\r\n"
    found = caller_identity(parse(message(sender=sender, extra=extra)), trust_asserted=trusted)
    assert (None if found is None else str(found)) == want


def test_unsupported_extensions_are_named() -> None:
    assert unsupported(parse(message(extra="Require: 100rel, replaces\r\nRequire: timer\r\n"))) == [
        "replaces"
    ]
