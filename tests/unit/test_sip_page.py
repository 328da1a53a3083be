"""Text messages in SIP: what one says, what its sender wants to hear, what is told."""

from datetime import UTC, datetime

import pytest
import sip_samples
from sip_checks import KEYS

from qibai.core.badge import Badge, open_badge, seal_badge
from qibai.core.errors import TokenBroken
from qibai.core.messages import MessageReason, MessageState
from qibai.core.sip import BadMessage, Notice, Page, PageRefused, expires_in, parse, read_page
from qibai.core.sip.cpim import read_cpim, read_notification, write_cpim, write_notification
from qibai.core.token import seal
from qibai.messaging.link import InDoubt, NotNow, Rejected
from qibai.messaging.sip_status import RETRY_AFTER, STATUS, failure_of
from qibai.sip_client import Reply

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEAD = sip_samples.MESSAGES["text/plain"].partition("\r\nContent-Type")[0]


def message(body: bytes, kind: str = "text/plain", more: str = "") -> Page | Notice | None:
    head = f"{HEAD}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return read_page(parse(head.encode() + body))


def text_of(body: bytes, kind: str) -> str:
    page = message(body, kind)
    assert isinstance(page, Page)
    return page.text


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("你好".encode(), "text/plain", "你好"),
        ("你好".encode("gbk"), 'Text/Plain; charset="GB2312"', "你好"),
        ("你好".encode("utf-16-be"), "text/plain;charset=UTF-16BE", "你好"),
        ("é".encode("latin-1"), "text/plain;charset=iso-8859-1", "é"),
        (b"a\0b", "text/plain", "ab"),
        (b"From: x\n\nContent-Transfer-Encoding: base64\n\n5L2g5aW9", "message/cpim", "你好"),
        (b"From: x\r\n\r\n\r\nplain\r\n\r\nstill", "message/cpim", "plain\r\n\r\nstill"),
        ("a: b\n\nContent-type: text/plain;charset=gbk\n\n你".encode("gbk"), "message/cpim", "你"),
    ],
)
def test_texts(body: bytes, kind: str, text: str) -> None:
    assert text_of(body, kind) == text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"),
        (b"\xff", "text/plain"),
        (b"no wrapper", "message/cpim"),
        (b"no colon\n\nContent-Type: text/plain\n\nhi", "message/cpim"),
        (b"A: b\n" * 101 + b"\n\n\n\nhi", "message/cpim"),
        (b"A: \xff\n\nB: c\n\nhi", "message/cpim"),
        (b"A: b\n\nContent-Type: message/imdn+xml\n\n<imdn", "message/cpim"),
    ],
)
def test_what_cannot_be_read(body: bytes, kind: str) -> None:
    with pytest.raises(BadMessage):
        message(body, kind)


@pytest.mark.parametrize(
    ("body", "kind", "more", "status"),
    [
        (b"x", "text/html", "", 415),
        (b"x", "text/plain;charset=utf-7", "", 415),
        (b"x", "text/plain", "Content-Encoding: gzip\r\n", 415),
        (b"A: b\n\nContent-Type: image/png\n\nx", "message/cpim", "", 415),
        (b"A: b\n\nContent-Transfer-Encoding: quoted-printable\n\nx", "message/cpim", "", 415),
        ("长".encode() * 10_001, "text/plain", "", 513),
    ],
)
def test_what_is_not_taken(body: bytes, kind: str, more: str, status: int) -> None:
    with pytest.raises(PageRefused) as caught:
        message(body, kind, more)
    assert caught.value.status == status


def test_what_a_sender_wants_to_hear() -> None:
    page = read_page(parse(sip_samples.MESSAGES["message/cpim"]))
    assert isinstance(page, Page)
    assert (page.message_id, page.wants_delivery, page.wants_failures) == ("34jk324j", True, True)


def test_the_namespace_may_have_any_prefix() -> None:
    head = b"NS: n <urn:ietf:params:imdn>\nn.Message-ID: a1\nn.Disposition-Notification: negative-delivery"
    wrapped = read_cpim(head + b"\n\n\nx")
    assert (wrapped.message_id, wrapped.wants_delivery, wrapped.wants_failures) == ("a1", False, True)


def test_an_id_that_cannot_be_named_again_is_not_asked_for() -> None:
    body = f"imdn.Message-ID: {'x' * 48}\nimdn.Disposition-Notification: positive-delivery\n\n\nx"
    page = message(body.encode(), "message/cpim")
    assert page == Page("x")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("delivered", MessageState.DELIVERED),
        ("failed", MessageState.REJECTED),
        ("forbidden", MessageState.REJECTED),
        ("error", MessageState.UNKNOWN),
    ],
)
def test_notices(status: str, state: MessageState) -> None:
    text = sip_samples.NOTICE.replace("delivered", status)
    assert message(text.encode(), "message/cpim") == Notice("34jk324j", state)


def test_a_notice_of_display_says_nothing() -> None:
    text = sip_samples.NOTICE.replace("delivery-notification", "display-notification")
    assert message(text.encode(), "message/cpim") is None


@pytest.mark.parametrize(
    "xml",
    [
        "<!DOCTYPE imdn [<!ENTITY a 'b'>]><imdn xmlns='urn:ietf:params:xml:ns:imdn'>&a;</imdn>",
        "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><delivery-notification><status><odd/></status>"
        "</delivery-notification></imdn>",
        "<imdn",
        "\xff",
    ],
)
def test_broken_notices_are_refused(xml: str) -> None:
    with pytest.raises(BadMessage):
        read_notification(xml.encode("latin-1"))


@pytest.mark.parametrize("state", [state for state in MessageState if state.is_final])
def test_a_sender_is_told_in_its_own_words(state: MessageState) -> None:
    xml = write_notification(Notice("a&b<c", state), AT)
    body = write_cpim(
        xml, source="700123456780001", destination="+8613800138000", message_id="m", at=AT, notification=True
    )
    with pytest.raises(BadMessage):  # such an id would not have been taken
        message(body.encode(), "message/cpim")
    xml = write_notification(Notice("34jk324j", state), AT)
    found = read_notification(xml.encode())
    assert found is not None
    assert found.message_id == "34jk324j"
    assert (found.state is MessageState.DELIVERED) == (state is MessageState.DELIVERED)


def test_expiry() -> None:
    assert expires_in(parse(sip_samples.MESSAGES["text/plain"])) == 180
    assert (
        expires_in(parse(sip_samples.MESSAGES["text/plain"].replace("Expires: 180", "Expires: soon"))) is None
    )


def test_every_reason_has_a_status() -> None:
    assert set(STATUS) == set(MessageReason)
    assert all(400 <= status < 700 for status in STATUS.values())
    for reason in MessageReason:
        if reason.is_temporary:
            assert STATUS[reason] in RETRY_AFTER


def test_what_a_peers_answer_means() -> None:
    for status in range(300, 700):
        failure = failure_of(Reply("b", status, 9))
        later = status == 480 or (status // 100 == 5 and status not in (501, 504, 505, 513))
        expected = InDoubt if status in (408, 504) else NotNow if later else Rejected
        assert isinstance(failure, expected)
        if isinstance(failure, Rejected):
            assert failure.error == str(status)


def test_badges() -> None:
    badge = Badge("in", 1_000, "west", source="+8613800138000", destination="700123456780001")
    token = seal_badge(badge, KEYS, "text")
    assert "13800138000" not in repr(badge) + token
    assert open_badge(token, KEYS, now=1_001, body="text").source == "+8613800138000"
    others = [
        (token, 1_001, "another text"),
        (token, 2_000, "text"),
        (token[:-2] + "AA", 1_001, "text"),
        ("", 1_001, "text"),
        (seal(b"\x90", KEYS, b"message"), 1_001, "text"),
        (seal(b"\x90", KEYS), 1_001, "text"),
    ]
    for changed, now, body in others:
        with pytest.raises(TokenBroken):
            open_badge(changed, KEYS, now=now, body=body)
