"""The interop corpus as whole calls: each stack's INVITE, answered by the same stack, to the end."""

import re
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from corpus import CORPUS, Entry, corpus
from qibai.core.events import CallEventKind
from qibai.core.numbering import Number700
from qibai.testing.leaks import LeakChecker
from raw_sip import RawAgent, contact, header, raw_agent
from voice_tools import CALLEE_AT, CALLER_AT, A, B, Bench, bench

pytestmark = pytest.mark.voice
_INVITES = [
    entry
    for entry in corpus()
    if entry.data.startswith(b"INVITE ") and not re.search(rb"\r\nTo:[^\r]*;tag=", entry.data)
]
#: Kamailio's core drops these before any script.
_DROPPED = {"rfc4475: 3.1.2.1 badinv01", "rfc4475: 3.1.2.16 another version"}
_BRANCHES = count(1)
_KEPT = (b"Via", b"From", b"Call-ID", b"CSeq", b"Record-Route")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory, database: Callable[[], str]) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("interop"), database) as made:
        yield made


@pytest.fixture
def near(voice: Bench) -> Iterator[RawAgent]:
    with raw_agent((CALLER_AT, 5060), voice.here) as agent:  # where a Via without a port wants its answers
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


def _fitted(data: bytes, at: str, x: Number700, voice: Bench) -> bytes:
    """A message of the corpus with the numbers and addresses of this test; its length is made again."""
    data = re.sub(rb"192\.0\.2\.[0-9]+(?::506[01])?", at.encode(), data)
    data = data.replace(b"198.51.100.1", voice.here[0].encode()).replace(b"70012345678001", str(x).encode())
    head, _, body = data.partition(b"\r\n\r\n")
    head = re.sub(rb"(?m)^(Content-Length: |l:)[0-9]+", rb"\g<1>%d" % len(body), head)
    return head + b"\r\n\r\n" + body


def _asserted(invite: bytes) -> bytes:
    """The carrier's border names a caller who calls without a name, and each call has a branch of its own."""
    head, _, body = invite.partition(b"\r\n\r\n")
    if A.national.encode() not in b"".join(re.findall(rb"\r\n(?:From|f|P-Asserted-Identity):[^\r]*", head)):
        head += b"\r\nP-Asserted-Identity: <sip:%b@test>" % A.national.encode()
    head = re.sub(rb"branch=z9hG4bK", b"branch=z9hG4bK%d" % next(_BRANCHES), head, count=1)
    return head + b"\r\n\r\n" + body


class _Caller:
    """The side that the corpus's INVITE comes from."""

    def __init__(self, agent: RawAgent, invite: bytes) -> None:
        self.agent = agent
        self._invite = invite
        self._cseq = int(header(invite, b"CSeq").split()[0])
        self._to, self._target = header(invite, b"To"), b""
        self._asked = 0

    def begin(self) -> None:
        self.agent.send(self._invite)

    def answered(self, answer: bytes) -> None:
        self._to = header(answer, b"To")
        self._target = contact(answer)

    def ask(self, method: bytes, *headers: bytes, body: bytes = b"", cseq: int = 0) -> None:
        self._asked += 1
        typed = (b"Content-Type: application/sdp",) if body else ()
        self.agent.request(
            method,
            self._target,
            call_id=header(self._invite, b"Call-ID"),
            from_=header(self._invite, b"From"),
            to=self._to,
            cseq=cseq or self._cseq + self._asked,
            headers=(*typed, *headers),
            body=body,
        )

    def acknowledge(self, cseq: int = 0) -> None:
        self.ask(b"ACK", cseq=cseq or self._cseq)

    @property
    def cseq(self) -> int:
        """Of the last request."""
        return self._cseq + self._asked


def _answer(entry: Entry, request: bytes, x: Number700, voice: Bench) -> bytes:
    """What the callee's stack says of ``request``: the corpus's reply, with the headers of the request."""
    data = _fitted(entry.data, CALLEE_AT, x, voice)
    here = CALLEE_AT.encode()
    data = re.sub(rb"(Contact: <sip:(?:[^@>]*@)?)%b" % here, rb"\g<1>%b:%d" % (here, voice.callee[1]), data)
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    own = [line for line in lines if line.partition(b":")[0] not in (*_KEPT, b"To")]
    asked = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    kept = [line for line in asked if line.partition(b":")[0] in _KEPT]
    to = next(line for line in asked if line.startswith(b"To:"))
    tag = re.search(rb";tag=[^;\r]+", header(data, b"To"))
    if b";tag=" not in to and tag:
        to += tag[0]
    return b"\r\n".join([start, *kept, to, *own, b"", body])


_PLAIN = {
    "answer 180": b"SIP/2.0 180 Ringing\r\nTo: <sip:b@192.0.2.9>;tag=plain\r\nContact: <sip:192.0.2.9>\r\n"
    b"Content-Length: 0\r\n\r\n",
    "answer 200": b"SIP/2.0 200 OK\r\nTo: <sip:b@192.0.2.9>;tag=plain\r\nContact: <sip:192.0.2.9>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 0\r\n\r\nv=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\n"
    b"c=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 18\r\n",
}


def _replies(stack: str) -> list[Entry]:
    """How the callee of that stack answers, in the corpus's order; some stacks are only callers there."""
    found = [entry for entry in corpus() if entry.stack == stack and entry.title.startswith("answer ")]
    return found or [Entry("plain", title, "passes", data) for title, data in _PLAIN.items()]


@pytest.mark.parametrize("entry", _INVITES, ids=lambda entry: entry.id)
def test_each_call_comes_to_its_end(
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700, entry: Entry
) -> None:
    caller = _Caller(near, _asserted(_fitted(entry.data, CALLER_AT, x, voice)))
    caller.begin()
    if entry.outcome != "passes":
        _is_refused(voice, near, x, entry)
        return
    invite = far.take(b"INVITE ")
    replies = _replies(entry.stack)
    for reply in replies:
        status = int(reply.title.split()[1])
        far.send(_answer(reply, invite, x, voice))
        got = near.take(b"SIP/2.0 %d " % status)
        if b"\r\nRSeq: " in got:
            caller.answered(got)
            caller.ask(b"PRACK", b"RAck: %b %b" % (header(got, b"RSeq"), header(got, b"CSeq")))
            prack = far.take(b"PRACK ")
            far.reply(prack, b"200 OK")
            near.take(b"SIP/2.0 200")
    caller.answered(got)
    caller.acknowledge()
    far.take(b"ACK ")
    _hold(caller, near, far)
    caller.ask(b"BYE")
    far.reply(far.take(b"BYE "), b"200 OK", contact=False)
    near.take(b"SIP/2.0 200")
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "caller")
    _check_leaks(near, far)


def _hold(caller: _Caller, near: RawAgent, far: RawAgent) -> None:
    """The caller asks for silence, and gets it."""
    caller.ask(b"INVITE", body=near.sdp + b"a=sendonly\r\n")
    again = far.take(b"INVITE ")
    assert b"\r\na=sendonly\r\n" in again
    far.reply(again, b"200 OK", body=far.sdp + b"a=recvonly\r\n")
    assert b"\r\na=recvonly\r\n" in near.take(b"SIP/2.0 200")
    caller.acknowledge(caller.cseq)
    far.take(b"ACK ")


def _is_refused(voice: Bench, near: RawAgent, x: Number700, entry: Entry) -> None:
    """With the corpus's status; nobody is rung."""
    if entry.id in _DROPPED:
        near.request(b"OPTIONS", f"sip:{voice.here[0]}".encode(), from_=b"<sip:a@b>;tag=1")
        assert near.take(b"SIP/2.0 ").startswith(b"SIP/2.0 200 ")
        assert len(near.seen) == 1
        return
    while (answer := near.take(b"SIP/2.0 ")).startswith(b"SIP/2.0 100 "):
        pass
    assert answer.startswith(b"SIP/2.0 %b " % entry.outcome.encode())
    assert not [event for event in voice.events(CallEventKind.DECIDED, x) if event.reason is None]


def _check_leaks(near: RawAgent, far: RawAgent) -> None:
    texts = [b"".join(agent.seen).decode("utf-8", "replace") for agent in (near, far)]
    hidden = LeakChecker({"callee": B}, {"callee": CALLEE_AT}, [str(A).encode()])
    assert not hidden.scan_text(texts[0])
    hidden = LeakChecker({"caller": A}, {"caller": CALLER_AT}, [str(B).encode()])
    assert not hidden.scan_text(texts[1])
    for text in texts:
        shown = re.sub(r"(?m)^Via:.*", "", text)  # without each side's own branches
        assert not re.search(r"cname|Cisco|FreeSWITCH|Asterisk|pjmedia|linphone|Audiocodes|baresip", shown)


@pytest.mark.parametrize(
    "place",
    [b"[2001:db8::9]:5060", b"192.0.2.77:5060", b"0.0.0.0:5060", b"phone.invalid", b"127.0.0.1:0"],
    ids=["another family", "no way there", "nowhere", "a name", "no port"],
)
@pytest.mark.parametrize("of_the_caller", [False, True], ids=["callee", "caller"])
def test_nobody_stays_off_hook_for_a_contact_that_leads_nowhere(  # noqa: PLR0917  # fixtures
    voice: Bench, near: RawAgent, far: RawAgent, x: Number700, place: bytes, of_the_caller: bool
) -> None:
    """Requests go to the peer itself then; both sides hear of the answer and of the end."""
    (entry,) = (entry for entry in _INVITES if entry.id.startswith("reports: captagent 4"))
    wrong = b"\r\nContact: <sip:x@%b>" % place
    invite = _asserted(_fitted(entry.data, CALLER_AT, x, voice))
    invite = re.sub(rb"\r\nCall-ID: [^@]*", b"\r\nCall-ID: nowhere%d" % next(_BRANCHES), invite)
    if of_the_caller:
        invite = re.sub(rb"\r\nContact: [^\r]*", wrong, invite)
    caller = _Caller(near, invite)
    caller.begin()
    asked = far.take(b"INVITE ")
    own = () if of_the_caller else (wrong[2:],)
    far.reply(asked, b"200 OK", *own, body=far.sdp, contact=of_the_caller)
    answer = near.take(b"SIP/2.0 200 ")
    caller.answered(answer)
    caller.acknowledge()
    far.take(b"ACK ")
    if of_the_caller:
        far.request(
            b"BYE",
            contact(asked),
            call_id=header(asked, b"Call-ID"),
            from_=header(asked, b"To") + b";tag=callee",
            to=header(asked, b"From"),
        )
        near.reply(near.take(b"BYE "), b"200 OK", contact=False)
        far.take(b"SIP/2.0 200 ")
    else:
        caller.ask(b"BYE")
        far.reply(far.take(b"BYE "), b"200 OK", contact=False)
        near.take(b"SIP/2.0 200 ")
    (end,) = voice.ends(x)
    assert (end.reason, end.ended_by) == ("answered", "callee" if of_the_caller else "caller")


def test_most_stacks_answer_in_their_own_words() -> None:
    silent = {"rfc4475", "rfc5118", "reports"}  # which are of no stack
    answering = {entry.stack for entry in corpus() if entry.title == "answer 200"}
    assert answering == {file.stem for file in CORPUS.glob("*.sip")} - silent
