"""Any text passes whole through a SIP message, and any body is read or refused."""

from datetime import UTC, datetime

import sip_samples
from hypothesis import given
from hypothesis import strategies as st

from qibai.core.sip import BadMessage, Endpoint, Page, PageRefused, parse, read_page, write_page
from qibai.core.sip.cpim import CPIM, write_cpim
from qibai.core.sip.page import PLAIN

_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)
_HEAD = sip_samples.MESSAGES["text/plain"].partition("\r\nContent-Type")[0]
_KINDS = st.sampled_from(
    ["text/plain", "text/plain;charset=gbk", "text/plain;charset=utf-16", "message/cpim", "text/html", "x"]
)
_PIECES = st.sampled_from(
    [
        b"From: x\r\n",
        b"NS: imdn <urn:ietf:params:imdn>\r\n",
        b"imdn.Message-ID: a\r\n",
        b"imdn.Disposition-Notification: positive-delivery\r\n",
        b"\r\n",
        b"\n\n",
        b"Content-Type: message/imdn+xml\r\n",
        b"Content-Type: text/plain;charset=gb18030\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b'<imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>a</message-id>',
        b"<delivery-notification><status><delivered/></status></delivery-notification></imdn>",
        b"\xc4\xe3",
    ]
)


@given(_TEXT, st.booleans())
def test_a_text_comes_back_whole(text: str, wrapped: bool) -> None:
    body = text
    if wrapped:
        at = datetime(2026, 11, 24, tzinfo=UTC)
        body = write_cpim(text, source="700123456780001", destination="+8613800138000", message_id="m", at=at)
    written = write_page(
        target="sip:+8613800138000@192.0.2.9",
        here=Endpoint("192.0.2.7", 5060),
        branch="1",
        source="sip:700123456780001@192.0.2.7",
        tag="t",
        destination="sip:+8613800138000@192.0.2.9",
        call_id="c",
        content_type=CPIM if wrapped else PLAIN,
        body=body,
    )
    page = read_page(parse(written.encode()))
    assert isinstance(page, Page)
    assert page.text == text
    assert page.wants_delivery == wrapped


@given(st.one_of(st.binary(max_size=300), st.lists(_PIECES, max_size=20).map(b"".join)), _KINDS)
def test_any_body_is_read_or_refused(body: bytes, kind: str) -> None:
    head = f"{_HEAD}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        page = read_page(parse(head.encode() + body))
    except (BadMessage, PageRefused):
        return
    if isinstance(page, Page):
        assert page.text
        page.text.encode()
