"""What is left of a request that is not read."""

from qibai.core.sip.bare import bare_request


def test_the_first_of_each_stays() -> None:
    text = (
        "\r\nBYE sip:x SIP/2.0\r\nv: one\r\nnonsense\r\nVia: two\r\nf: <sip:a>\r\n ;tag=1\r\n"
        "From: <sip:b>\r\nt: <sip:c>\r\nTo : <sip:d>\r\ni: e\r\nCSeq: 1 BYE\r\nCSEQ: 2 BYE\r\n"
        "Content-Length: 9\r\n\r\nFrom: body"
    )
    assert bare_request(text) == (
        "BYE sip:x SIP/2.0\r\nv: one\r\nVia: two\r\nf: <sip:a> ;tag=1\r\n"
        "t: <sip:c>\r\ni: e\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    )
