"""What is shown of a message that is not read."""

from qibai.core.sip.bare import bare_request, needed_first


def test_the_first_of_each_stays() -> None:
    text = (
        "\r\nBYE sip:x SIP/2.0\r\nv: SIP/2.0/UDP one\r\nnonsense\r\nVia: foo\r\nVia: SIP/2.0/UDP two\r\n"
        "f: <sip:a>\r\n ;tag=1\r\nFrom: <sip:b>\r\nt: <sip:c>\r\nTo : <sip:d>\r\n"
        "i: e\r\nCSeq: 1 BYE\r\nCSEQ: 2 BYE\r\nContent-Length: 9\r\n\r\nFrom: body"
    )
    assert bare_request(text) == (
        "BYE sip:x SIP/2.0\r\nv: SIP/2.0/UDP one\r\nVia: SIP/2.0/UDP two\r\nf: <sip:a> ;tag=1\r\n"
        "t: <sip:c>\r\ni: e\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    )


def test_what_is_needed_stands_first() -> None:
    text = (
        "\r\nSIP/2.0 200 OK\r\n \r\n goes on\r\nVia: foo\r\nv: SIP/2.0/UDP a,\r\n SIP/2.0/UDP b\r\n"
        "nonsense\r\n more\r\nVia: SIP/2.0/UDP c\nf: <sip:a>\r\nTo: <sip:b>\r\nX: y\r\n"
        "To: <sip:c>\r\nCall-ID: d\r\nCSeq: 1 BYE\r\n\r\nTo: body"
    )
    assert needed_first(text) == (
        "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a,\r\n SIP/2.0/UDP b\r\nf: <sip:a>\r\nTo: <sip:b>\r\nCall-ID: d\r\n"
        "CSeq: 1 BYE\r\ngoes on\r\nVia: foo\r\nnonsense\r\n more\r\nVia: SIP/2.0/UDP c\nX: y\r\n"
        "To: <sip:c>\r\n\r\nTo: body"
    )


def test_what_is_incomplete_stays() -> None:
    for text in ("", "\r\n", "BYE sip:x SIP/2.0", "BYE sip:x SIP/2.0\r\nX: y\r\n", "x\r\n\r\nVia: y"):
        assert needed_first(text) == text


def test_a_via_without_a_value_or_with_a_lone_quote_is_none() -> None:
    rest = "v: SIP/2.0/UDP a\r\nf: <sip:a>\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 BYE\r\n"
    text = f'BYE sip:x SIP/2.0\r\nVia:\r\nVia: "\r\nVia: ,\r\n{rest}\r\n'
    assert bare_request(text) == f"BYE sip:x SIP/2.0\r\n{rest}Content-Length: 0\r\n\r\n"
    assert needed_first(text) == f'BYE sip:x SIP/2.0\r\n{rest}Via:\r\nVia: "\r\nVia: ,\r\n\r\n'
