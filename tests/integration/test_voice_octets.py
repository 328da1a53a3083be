"""Messages as strange stacks write them: what is never used decides nothing; limits have their own answer."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.core.sip import token_in
from qibai.core.token import seal, unseal
from qibai.store.keys import Keyring
from qibai.store.loss_counts import read_losses
from qibai.store.rotation import use_next_token_key
from qibai.testing.platform import free_port, wait_for
from raw_sip import RawAgent, contact, header, raw_agent
from voice_tools import CALLER_AT, STRANGER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice
GBK = "张三".encode("gbk")
REL = bytes.fromhex("0c020002828f")  #: an ISUP release
IAM = bytes.fromhex("01004800ff0a0300")
ISUP = (b"Content-Type: application/ISUP;version=itu-t92+",)


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("octets"), database) as made:
        yield made


@pytest.fixture
def near(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent((CALLER_AT, free_port(CALLER_AT)), voice.here) as agent:
        yield agent


@pytest.fixture
def far(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent(voice.callee, voice.here) as agent:
        yield agent


@pytest.fixture
def x(voice: Bench) -> Number700:
    made = voice.number()
    voice.bind(made, A, B)
    return made


class _Call:
    """A call that ``near`` begins."""

    def __init__(self, voice: Bench, near: RawAgent, x: Number700) -> None:
        self.near = near
        self.uri = f"sip:{x}@{voice.here[0]}".encode()
        self.from_ = b"<sip:%b@%b>;tag=near" % (A.national.encode(), CALLER_AT.encode())
        self.call_id = b"call-%d" % near.at[1]
        self.to = b"<%b>" % self.uri

    def invite(
        self, *headers: bytes, body: bytes | None = None, from_: bytes = b"", via: bytes = b""
    ) -> bytes:
        self.from_ = from_ or self.from_
        asserted = b"P-Asserted-Identity: <sip:%b@test>" % A.national.encode()
        typed = (
            ()
            if any(one.startswith(b"Content-Type") for one in headers)
            else (b"Content-Type: application/sdp",)
        )
        return self.near.request(
            b"INVITE",
            self.uri,
            call_id=self.call_id,
            from_=self.from_,
            via=via,
            headers=(asserted, *typed, *headers),
            body=self.near.sdp if body is None else body,
        )

    def answered(self, answer: bytes) -> None:
        self.to, self.target = header(answer, b"To"), contact(answer)
        self.ask(b"ACK", 1)

    def ask(self, method: bytes, cseq: int, *headers: bytes, body: bytes = b"") -> None:
        self.near.request(
            method,
            self.target,
            call_id=self.call_id,
            from_=self.from_,
            to=self.to,
            cseq=cseq,
            headers=headers,
            body=body,
        )


@pytest.fixture
def call(voice: Bench, near: RawAgent, x: Number700) -> _Call:
    return _Call(voice, near, x)


def set_up(call: _Call, far: RawAgent, invite: bytes) -> None:
    far.reply(invite, b"200 OK", body=far.sdp)
    call.answered(call.near.take(b"SIP/2.0 200"))
    far.take(b"ACK ")


def hang_up(call: _Call, far: RawAgent, *headers: bytes, body: bytes = b"") -> None:
    call.ask(b"BYE", 5, *headers, body=body)
    far.reply(far.take(b"BYE "), b"200 OK")
    call.near.take(b"SIP/2.0 200")


def test_binary_bodies_pass_nowhere_and_stop_nothing(
    voice: Bench, far: RawAgent, x: Number700, call: _Call
) -> None:
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\n%b\r\n" % call.near.sdp
    body += b"--b\r\nContent-Type: application/ISUP;version=itu-t92+\r\n\r\n%b\r\n--b--\r\n" % IAM
    call.invite(b'Content-Type: multipart/mixed;boundary="b"', body=body)
    invite = far.take(b"INVITE ")
    assert IAM not in invite
    assert b"m=audio" in invite
    set_up(call, far, invite)
    hang_up(call, far, *ISUP, body=REL)
    assert [end.reason for end in voice.ends(x)] == ["answered"]
    assert not any(REL in data for data in far.seen)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((b"Content-Type: application/sdp",), b"garbage"),
        ((b"Content-Type: application/sdp",), b"v=0\r\no=- 1 1 IN IP4 h.example\r\nc=IN IP4 h.example\r\n"),
        ((b"Content-Type: application/sdp", b"Content-Type: text/plain"), b"v=0"),
        ((b"Content-Type: application/sdp", b"Content-Encoding: gzip"), b"\x1f\x8b"),
        ((b"Content-Type: multipart/mixed",), b"--b"),
        ((b"Content-Length: 9999", b"Content-Type: application/sdp"), b"v=0"),
        ((b"Max-Forwards: many",), b""),
    ],
    ids=["no description", "a name", "two types", "zipped", "no boundary", "two lengths", "hops"],
)
def test_an_ack_is_taken_with_any_body(  # noqa: PLR0917  # fixtures
    voice: Bench, far: RawAgent, x: Number700, call: _Call, headers: tuple[bytes, ...], body: bytes
) -> None:
    """All is agreed by then; without the ACK the callee would repeat its answer, and then give up."""
    call.invite()
    invite = far.take(b"INVITE ")
    far.reply(invite, b"200 OK", body=far.sdp)
    answer = call.near.take(b"SIP/2.0 200")
    call.to, call.target = header(answer, b"To"), contact(answer)
    call.ask(b"ACK", 1, *headers, body=body)
    assert far.take(b"ACK ").endswith(b"Content-Length: 0\r\n\r\n")
    hang_up(call, far)
    assert [end.reason for end in voice.ends(x)] == ["answered"]


@pytest.mark.parametrize(
    "phrase",
    ["占线".encode("gbk"), b"\xff\xfe\x80", b"", "Занято".encode("koi8-r")],
    ids=["gbk", "octets", "none", "koi8"],
)
def test_a_phrase_in_any_charset_is_the_status_that_it_has(
    voice: Bench, far: RawAgent, x: Number700, call: _Call, phrase: bytes
) -> None:
    call.invite()
    far.reply(far.take(b"INVITE "), b"486 " + phrase)
    assert call.near.take(b"SIP/2.0 4").startswith(b"SIP/2.0 486 ")
    assert [(end.reason, end.sip_status) for end in voice.ends(x)] == [("busy", 486)]


@pytest.mark.parametrize("name", [b'"%b"', b"%b"], ids=["quoted", "bare"])
def test_a_display_name_in_gbk(far: RawAgent, call: _Call, name: bytes) -> None:
    call.invite(from_=(name % GBK) + b" <sip:%b@test>;tag=near" % A.national.encode())
    invite = far.take(b"INVITE ")
    assert GBK not in invite
    set_up(call, far, invite)
    hang_up(call, far, b"Subject: " + GBK)


@pytest.mark.parametrize(
    "parameters",
    [
        b"received=2001:db8::9:255",
        b"received=[2001:db8::9:255]",
        b'x-route-tag="cid:1@192.0.2.1"',
        b"alias;rport",
    ],
)
def test_a_second_via_by_the_grammar(far: RawAgent, call: _Call, parameters: bytes) -> None:
    via = b"SIP/2.0/UDP %b;branch=z9hG4bKv%d, SIP/2.0/UDP [2001:db8::9:1];%b;branch=z9hG4bKas3"
    via %= call.near.place, call.near.at[1], parameters
    call.invite(via=via)
    invite = far.take(b"INVITE ")
    set_up(call, far, invite)
    hang_up(call, far)
    assert any(parameters in data for data in call.near.seen)


def test_early_media_needs_no_contact(far: RawAgent, call: _Call) -> None:
    call.invite()
    invite = far.take(b"INVITE ")
    far.reply(invite, b"183 Session Progress", b"P-Early-Media: sendrecv, gated", body=far.sdp, contact=False)
    early = call.near.take(b"SIP/2.0 183")
    assert b"m=audio" in early
    assert header(early, b"P-Early-Media") == b"sendrecv, gated"
    set_up(call, far, invite)
    hang_up(call, far)


def sdp(host: str, *payloads: int, port: int = 20_000) -> bytes:
    """Audio with these of the well-known payload types."""
    names = {0: "PCMU", 8: "PCMA", 18: "G729"}
    lines = [
        *("v=0", f"o=- 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"),
        f"m=audio {port} RTP/AVP {' '.join(map(str, payloads))}",
        *(f"a=rtpmap:{payload} {names[payload]}/8000" for payload in payloads),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def payloads_in(message: bytes) -> list[int]:
    found = re.search(rb"m=audio [0-9]+ RTP/AVP ([0-9 ]+)\r", message)
    assert found, message
    return [int(payload) for payload in found[1].split()]


@pytest.mark.parametrize("tag", [b"callee", b"forked"], ids=["one-dialog", "another"])
@pytest.mark.parametrize("payload", [0, 8, 18])
def test_the_caller_hears_the_codec_of_the_answer_not_that_of_the_ringing(
    far: RawAgent, call: _Call, tag: bytes, payload: int
) -> None:
    """A ring-back server answers in the 183, the telephone in the 200 (RFC 3261 §13.2.2.4)."""
    call.invite(body=sdp(CALLER_AT, 8, 0, 18))
    invite = far.take(b"INVITE ")
    far.reply(invite, b"183 Session Progress", body=sdp(far.at[0], 8), tag=b"callee")
    assert payloads_in(call.near.take(b"SIP/2.0 183")) == [8]
    far.reply(invite, b"200 OK", body=sdp(far.at[0], payload, port=20_050), tag=tag)
    answer = call.near.take(b"SIP/2.0 200")
    assert payloads_in(answer) == [payload]
    call.answered(answer)
    far.take(b"ACK ")
    hang_up(call, far)


@pytest.mark.parametrize("over", [False, True], ids=["running", "over"])
@pytest.mark.parametrize("what", ["no-to-tag", "call-id", "from-tag", "to-tag"])
def test_a_token_opens_only_requests_of_its_own_dialog(
    far: RawAgent, call: _Call, what: str, over: bool
) -> None:
    """Our Contact carries the dialog's state: whoever has the Contact has not the dialog."""
    call.invite()
    set_up(call, far, far.take(b"INVITE "))
    if over:
        hang_up(call, far)
    own = (call.call_id, call.from_, call.to)
    call.call_id = b"other@test" if what == "call-id" else call.call_id
    call.from_ = call.from_.replace(b"tag=near", b"tag=far") if what == "from-tag" else call.from_
    if what == "no-to-tag":
        call.to = call.to.partition(b";tag=")[0]
    elif what == "to-tag":
        call.to += b"x"
    for number, method in enumerate((b"INVITE", b"BYE", b"INFO"), 11):
        headers, body = ((b"Content-Type: application/sdp",), call.near.sdp) if number == 11 else ((), b"")
        call.ask(method, number, *headers, body=body)
        refused = call.near.take(b"SIP/2.0 4")
        assert header(refused, b"CSeq") == b"%d %b" % (number, method)
    assert far.waiting() == []  # a request that has its final answer goes no further
    call.call_id, call.from_, call.to = own
    if not over:
        hang_up(call, far)


def test_a_token_of_a_key_that_another_node_has_made_is_not_refused_for_good(
    voice: Bench, far: RawAgent, call: _Call, tmp_path: Path
) -> None:
    """After a 481 one side would take the call for over, and the other would stay off-hook."""
    call.invite()
    set_up(call, far, far.take(b"INVITE "))
    token = token_in(call.target.decode())
    assert token is not None
    newer = tmp_path / "keys.json"
    shutil.copy(voice.keyring.path, newer)
    rotated = Keyring.load(newer)
    use_next_token_key(rotated)
    own = call.target
    call.target = own.replace(token.encode(), seal(unseal(token, voice.keyring), rotated).encode())
    for number, method in enumerate((b"INFO", b"BYE"), 11):
        call.ask(method, number)
        refused = call.near.take(b"SIP/2.0 5")
        assert refused.startswith(b"SIP/2.0 503 ")
        assert header(refused, b"Retry-After")
    assert far.waiting() == []
    call.target = own
    hang_up(call, far)


def test_a_merged_request_rings_once(far: RawAgent, call: _Call) -> None:
    call.invite()
    invite = far.take(b"INVITE ")
    call.invite()
    assert call.near.take(b"SIP/2.0 4").startswith(b"SIP/2.0 482 ")
    set_up(call, far, invite)
    hang_up(call, far)
    assert sum(data.startswith(b"INVITE ") for data in far.seen) == 1


def test_a_refused_request_may_come_another_way(far: RawAgent, call: _Call) -> None:
    for _ in range(2):
        call.invite()
        far.reply(far.take(b"INVITE "), b"486 Busy Here")
        call.near.take(b"SIP/2.0 486")


def test_options_within_a_call(far: RawAgent, call: _Call) -> None:
    call.invite()
    set_up(call, far, far.take(b"INVITE "))
    call.ask(b"OPTIONS", 2)
    assert b"OPTIONS" in header(call.near.take(b"SIP/2.0 200"), b"Allow")
    hang_up(call, far)
    call.ask(b"OPTIONS", 7)
    call.near.take(b"SIP/2.0 481")


@pytest.mark.parametrize("status", [300, 302, 305])
def test_a_redirection_is_recorded_as_one(
    voice: Bench, far: RawAgent, x: Number700, call: _Call, status: int
) -> None:
    call.invite()
    far.reply(far.take(b"INVITE "), b"%d Moved" % status)
    call.near.take(b"SIP/2.0 480")
    assert [end.reason for end in voice.ends(x)] == ["redirected"]


def test_the_callees_503_holds_back_no_other_call(
    voice: Bench, far: RawAgent, x: Number700, call: _Call
) -> None:
    call.invite()
    far.reply(far.take(b"INVITE "), b"503 Service Unavailable", b"Retry-After: 3600")
    assert b"Retry-After" not in call.near.take(b"SIP/2.0 503")


@pytest.mark.parametrize(
    ("headers", "sdp", "status", "reason"),
    [
        ((), b"c=IN IP4 mgw7.example", 488, "media_refused"),
        ((), b"c=IN IP4 999.1.2.3", 488, "media_refused"),
        ((), b"c=IN IP4 239.1.2.3/127", 488, "media_refused"),
        ((b"Content-Type: application/x-other",), None, 415, "sip_malformed"),
        ((b"Content-Encoding: gzip",), None, 415, "sip_malformed"),
        ((b"Record-Route: " + b", ".join([b"<sip:192.0.2.1;lr>"] * 21),), None, 513, "sip_malformed"),
    ],
    ids=["name", "address", "group", "type", "encoding", "routes"],
)
def test_their_fault_is_never_ours(  # noqa: PLR0917
    voice: Bench,
    x: Number700,
    call: _Call,
    headers: tuple[bytes, ...],
    sdp: bytes | None,
    status: int,
    reason: str,
) -> None:
    body = call.near.sdp
    if sdp is not None:
        body = body.replace(b"c=IN IP4 " + CALLER_AT.encode(), sdp)
    call.invite(*headers, body=body)
    answer = call.near.take(b"SIP/2.0 4" if status < 500 else b"SIP/2.0 5")
    assert answer.startswith(b"SIP/2.0 %d " % status)
    assert b"Retry-After" not in answer
    (event,) = voice.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == (reason, status)


def test_an_offer_of_which_nothing_can_pass_rings_nobody(voice: Bench, x: Number700, call: _Call) -> None:
    head, _, _ = call.near.sdp.partition(b"m=")
    call.invite(body=head + b"m=audio 4000 RTP/AVP 99\r\na=rtpmap:99 SECRET/8000\r\n")
    assert call.near.take(b"SIP/2.0 4").startswith(b"SIP/2.0 488 ")
    (event,) = voice.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == ("media_refused", 488)


@pytest.mark.parametrize("sender", [b"<sip:%b@%b>", b"<sip:%b@%b>;tag="], ids=["none", "empty"])
def test_a_from_without_a_tag_is_their_fault(voice: Bench, x: Number700, call: _Call, sender: bytes) -> None:
    call.invite(from_=sender % (A.national.encode(), CALLER_AT.encode()))
    assert call.near.take(b"SIP/2.0 4").startswith(b"SIP/2.0 400 ")
    (event,) = voice.events(CallEventKind.DECIDED, x)
    assert (event.reason, event.sip_status) == ("sip_malformed", 400)


def test_an_empty_require_asks_for_nothing(far: RawAgent, call: _Call) -> None:
    call.invite(b"Require: ")
    far.reply(far.take(b"INVITE "), b"486 Busy Here")
    call.near.take(b"SIP/2.0 486")


def test_twenty_routes_and_three_hundred_headers_pass(far: RawAgent, call: _Call) -> None:
    routes = b"Record-Route: " + b", ".join([b"<sip:192.0.2.1;lr>"] * 20)
    call.invite(routes, *(b"X-%d: y" % n for n in range(300)))
    far.reply(far.take(b"INVITE "), b"486 Busy Here")
    call.near.take(b"SIP/2.0 486")


@pytest.mark.parametrize(
    ("at", "loss"),
    [(STRANGER_AT, "replies_of_strangers"), (CALLER_AT, "replies_unmatched")],
    ids=["stranger", "peer"],
)
def test_replies_to_nothing_are_dropped(voice: Bench, near: RawAgent, at: str, loss: str) -> None:
    run_dir = voice.platform.config.run_dir
    before = read_losses(run_dir)[loss][0]
    here = f"{voice.here[0]}:{voice.here[1]}".encode()
    vias = b"Via: SIP/2.0/UDP %b;branch=z9hG4bKnone\r\nVia: SIP/2.0/UDP %b;branch=z9hG4bKvictim" % (
        here,
        near.place,
    )
    with raw_agent((at, free_port(at)), voice.here) as other:
        for status in (b"200 OK", b"180 Ringing", b"503 Away"):
            text = b"SIP/2.0 %b\r\n%b\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n" % (status, vias)
            other.send(text + b"Call-ID: none\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n")
    wait_for(lambda: read_losses(run_dir)[loss][0] == before + 3, "the count")
    near.request(b"OPTIONS", b"sip:" + here, from_=b"<sip:a@b>;tag=1")
    near.take(b"SIP/2.0 ")
    assert not any(b"victim" in data for data in near.seen)
