"""SIPp as a SIP user agent: a scenario is put together step by step; what it saw is read from its trace."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qibai.core.errors import Unavailable
from qibai.core.sip import uri_host

#: What real phones put into their messages, and nobody else may see: ``{number}`` is the sender's own.
_TELLTALES: Final = (
    "User-Agent: phone-of-{number}",
    "Server: phone-of-{number}",
    "X-Owner: {number}",
    "Subject: call from {number}",
    "P-Preferred-Identity: <sip:{number}@[local_ip]>",
    'Remote-Party-ID: "{number}" <sip:{number}@[local_ip]>;party=calling',
    "Reply-To: <sip:{number}@[local_ip]>",
    "Call-Info: <http://[local_ip]/{number}.png>;purpose=icon",
    "Date: Mon, 24 Nov 2025 00:00:00 GMT",
)
_ACK: Final = '<recv request="ACK"/>'
_SDP: Final = """v=0
o={number} 53655765 2353687637 IN IP[local_ip_type] [media_ip]
s=call of {number}
i={number}
c=IN IP[media_ip_type] [media_ip]
t=0 0
a=tool:phone {number}
m=audio {port} RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:{rtcp} IN IP[media_ip_type] [media_ip]
a=ssrc:314159 cname:{number}@[media_ip]
a=candidate:1 1 UDP 2130706431 [media_ip] {port} typ host
a={direction}"""


@dataclass(slots=True)
class Scenario:
    """One side's steps; each method adds one and gives back the scenario."""

    number: str  #: this side's own number, which it tells wherever it can
    port: int = 16_000  #: of its media
    steps: list[str] = field(default_factory=list)
    _cseq: int = 0
    _asked: str = ""  #: the method of the last request sent, but ACK
    _late: bool = False  #: the other side called, so From and To are swapped

    def invite(
        self, called: str, *, asserted: str | None = None, headers: tuple[str, ...] = (), sdp: bool = True
    ) -> "Scenario":
        """The first INVITE, to ``called`` at the platform."""
        head = self._first("INVITE", called, asserted)
        lines = [*head, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, REFER", *headers]
        return self._send(lines, self.sdp() if sdp else "", retrans=True)

    def message(
        self,
        called: str,
        body: str,
        *,
        kind: str = "text/plain",
        asserted: str | None = None,
        headers: tuple[str, ...] = (),
    ) -> "Scenario":
        """A text message outside calls."""
        head = self._first("MESSAGE", called, asserted)
        return self._send([*head, *headers], body, retrans=True, kind=kind)

    def _first(self, method: str, called: str, asserted: str | None) -> list[str]:
        """The head of a request outside calls."""
        return [
            *self._head(
                f"sip:{called}@[remote_ip]:[remote_port]",
                method,
                f'From: "{self.number}" <sip:{self.number}@[local_ip]:[local_port]>;tag=[pid]A[call_number]',
                f'To: "from {self.number}" <sip:{called}@[remote_ip]:[remote_port]>',
            ),
            f"P-Asserted-Identity: <sip:{asserted or self.number}@[local_ip]>",
        ]

    def request(
        self,
        method: str,
        *,
        headers: tuple[str, ...] = (),
        body: str = "",
        kind: str = "application/sdp",
        cseq: int | None = None,
        contact_port: int | None = None,
    ) -> "Scenario":
        """A request within the call; after it this side is reached at ``contact_port``, if given."""
        if self._late:
            ends = ("From: [$to];tag=[pid]B[call_number]", "To: [$from]")
        else:
            ends = (
                f'From: "{self.number}" <sip:{self.number}@[local_ip]:[local_port]>;tag=[pid]A[call_number]',
                "To: <[$remote]>[peer_tag_param]",
            )
        head = self._head("[next_url]", method, *ends, cseq=cseq)
        if contact_port is not None:
            head = [
                line.replace("[local_port]", str(contact_port)) if line.startswith("Contact:") else line
                for line in head
            ]
        head.append("[routes]")
        return self._send([*head, *headers], body, retrans=method != "ACK", kind=kind)

    def ack(self, cseq: int | None = None) -> "Scenario":
        """The ACK to a 2xx; to the last request, unless ``cseq`` says to which."""
        return self.request("ACK", cseq=cseq or self._cseq)

    def reply_to_invite(self, status: int, *, sdp: bool = False) -> "Scenario":
        """A reply to the first INVITE, after another request came in between."""
        lines = [
            f"SIP/2.0 {status} from {self.number}",
            "Via: [$via]",
            "Via: [$via2]",
            "From: [$from]",
            "To: [$to];tag=[pid]B[call_number]",
            "[last_Call-ID:]",
            "CSeq: [$cseq]",
            *self._telltales(),
            f"Contact: <sip:{self.number}@[local_ip]:[local_port];transport=[transport]>",
        ]
        return self._send(lines, self.sdp() if sdp else "")

    def ack_failure(self) -> "Scenario":
        """The ACK to a negative answer to the last request of the call, an INVITE."""
        self.ack()
        step = self.steps[-1]
        self.steps[-1] = re.sub(r"^Via: .*$", "[last_Via:]", step, count=1, flags=re.MULTILINE)
        return self

    def cancel(self, called: str) -> "Scenario":
        """CANCEL of the first INVITE."""
        lines = [
            f"CANCEL sip:{called}@[remote_ip]:[remote_port] SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch-{len(self.steps)}]",
            f'From: "{self.number}" <sip:{self.number}@[local_ip]:[local_port]>;tag=[pid]A[call_number]',
            f"To: <sip:{called}@[remote_ip]:[remote_port]>",
            "Call-ID: [call_id]",
            "CSeq: 1 CANCEL",
            "Max-Forwards: 70",
            f'Reason: SIP;cause=487;text="{self.number} hung up"',
        ]
        return self._send(lines, "")

    def fail_ack(self, called: str) -> "Scenario":
        """The ACK to a negative answer to the first INVITE."""
        lines = [
            f"ACK sip:{called}@[remote_ip]:[remote_port] SIP/2.0",
            "[last_Via:]",
            f'From: "{self.number}" <sip:{self.number}@[local_ip]:[local_port]>;tag=[pid]A[call_number]',
            f"To: <sip:{called}@[remote_ip]:[remote_port]>[peer_tag_param]",
            "Call-ID: [call_id]",
            "CSeq: 1 ACK",
            "Max-Forwards: 70",
        ]
        return self._send(lines, "")

    def expect(self, status: int, *, optional: bool = False) -> "Scenario":
        """A reply; what its To says is remembered for requests to come."""
        flags = ' optional="true"' if optional else ""
        if 100 < status < 300 and self._asked in ("INVITE", "UPDATE"):
            flags += ' rrs="true"'  # others have no Contact, and newer SIPps then forget the one they know
        self.steps.append(
            f'<recv response="{status}"{flags}><action>'
            '<ereg regexp="sips?:[^&gt;;]*|tel:[^&gt;]*" search_in="hdr" header="To:" assign_to="remote"/>'
            "</action></recv>"
        )
        return self

    def expect_request(self, method: str, *, first: bool = False) -> "Scenario":
        """A request; ``first``: the one that sets up the call. A BYE may overtake the ACK, as UDP allows."""
        if method == "BYE" and self.steps[-1:] == [_ACK]:
            self.steps[-1] = _ACK.replace("/>", ' optional="true"/>')
        if not first:
            self.steps.append(f'<recv request="{method}"/>')
            return self
        self._late = True
        self.steps.append(
            f'<recv request="{method}" rrs="true"><action>'
            '<ereg regexp="&lt;.*" search_in="hdr" header="From:" assign_to="from"/>'
            '<ereg regexp="&lt;.*" search_in="hdr" header="To:" assign_to="to"/>'
            '<ereg regexp="[0-9].*" search_in="hdr" header="CSeq:" assign_to="cseq"/>'
            '<ereg regexp="SIP.*" search_in="hdr" header="Via:" assign_to="via"/>'
            '<ereg regexp="SIP.*" search_in="hdr" header="Via:" occurrence="2" assign_to="via2"/>'
            "</action></recv>"
        )
        return self

    def reply(
        self,
        status: int,
        *,
        phrase: str = "",
        sdp: bool = False,
        direction: str = "sendrecv",
        headers: tuple[str, ...] = (),
        contact: bool = True,
        retrans: bool = False,
        tag: str = "",
    ) -> "Scenario":
        """A reply to the last request; ``tag``: from one of several phones that ring at once."""
        lines = [
            f"SIP/2.0 {status} {phrase or f'from {self.number}'}",
            "[last_Via:]",
            "[last_From:]",
            f"[last_To:]{self._tag(tag)}",
            "[last_Call-ID:]",
            "[last_CSeq:]",
            *self._telltales(),
            *headers,
        ]
        if contact:
            lines.append(f"Contact: <sip:{self.number}@[local_ip]:[local_port];transport=[transport]>")
        return self._send(lines, self.sdp(direction) if sdp else "", retrans=retrans)

    def pause(self, milliseconds: int) -> "Scenario":
        self.steps.append(f'<pause milliseconds="{milliseconds}"/>')
        return self

    def turn_to(self, host: str, port: int) -> "Scenario":
        """Send what follows elsewhere, as a balancer in between would."""
        self.steps.append(
            f'<nop><action><setdest host="{host}" port="{port}" protocol="UDP"/></action></nop>'
        )
        return self

    def sdp(self, direction: str = "sendrecv") -> str:
        return _SDP.format(number=self.number, port=self.port, rtcp=self.port + 1, direction=direction)

    def xml(self) -> str:
        """The scenario as SIPp reads it."""
        body = "\n".join(self.steps)
        names = dict.fromkeys(re.findall(r'assign_to="(\w+)"', body))
        used = f'\n<Reference variables="{",".join(names)}"/>' if names else ""
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="qibai">\n{body}{used}\n</scenario>\n'

    def _tag(self, tag: str) -> str:
        """What a reply adds to To."""
        if tag:
            return f";tag={tag}"
        return ";tag=[pid]B[call_number]" if self._late and self._first_reply() else ""

    def _first_reply(self) -> bool:
        """Whether the last request was the one that set up the call, so that To has no tag yet."""
        for step in reversed(self.steps):
            if step.startswith("<recv request="):
                return 'assign_to="from"' in step
        return False

    def _telltales(self) -> list[str]:
        return [line.format(number=self.number) for line in _TELLTALES]

    def _head(self, target: str, method: str, from_: str, to: str, *, cseq: int | None = None) -> list[str]:
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        if method != "ACK":
            self._asked = method
        return [
            f"{method} {target} SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]",
            from_,
            to,
            "Call-ID: [call_id]",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.number}@[local_ip]:[local_port];transport=[transport]>",
            "Max-Forwards: 70",
            *self._telltales(),
        ]

    def _send(
        self, lines: list[str], body: str, *, retrans: bool = False, kind: str = "application/sdp"
    ) -> "Scenario":
        typed = [f"Content-Type: {kind}"] if body else []
        text = "\n".join([*lines, *typed, "Content-Length: [len]", "", body])
        flag = ' retrans="500"' if retrans else ""
        self.steps.append(f"<send{flag}><![CDATA[\n{text}\n]]></send>")
        return self


@dataclass(slots=True)
class Agent:
    """A running SIPp."""

    process: subprocess.Popen[bytes]
    trace: Path
    errors: Path

    def wait(self, seconds: float = 20.0) -> None:
        """Wait until the scenario is through. Raise Unavailable when it failed, with what SIPp said."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = -1
        if code != 0:
            said = self.errors.read_text("utf-8", "replace")[-1500:] if self.errors.exists() else ""
            raise Unavailable(f"SIPp ended with {code}: {said}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def received(self) -> list[str]:
        """Every message that this side got, in order."""
        return self._messages("received")

    @property
    def sent(self) -> list[str]:
        return self._messages("sent")

    def _messages(self, direction: str) -> list[str]:
        text = self.trace.read_text("utf-8", "replace") if self.trace.exists() else ""
        parts = re.split(r"^-{20,}.*\n", text, flags=re.MULTILINE)
        return [part.partition("\n\n")[2] for part in parts if re.match(rf"\S+ message {direction}", part)]


def run(
    scenario: Scenario,
    folder: Path,
    name: str,
    *,
    local: tuple[str, int],
    remote: tuple[str, int] | None = None,
    transport: str = "u1",
    timeout_s: int = 20,
    calls: int = 1,
) -> Agent:
    """Start SIPp at ``local``; without ``remote`` it waits for as many calls."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.xml"
    path.write_text(scenario.xml(), "utf-8")
    trace, errors = folder / f"{name}.messages", folder / f"{name}.errors"
    command = [
        *("sipp", "-sf", str(path), "-i", local[0], "-p", str(local[1]), "-t", transport, "-m", str(calls)),
        *("-trace_msg", "-message_file", str(trace), "-trace_err", "-error_file", str(errors)),
        *("-nostdin", "-timeout", str(timeout_s), "-timeout_error", "-recv_timeout", str(timeout_s * 1000)),
    ]
    if remote is not None:
        command.append(f"{uri_host(remote[0])}:{remote[1]}")
    with (folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, "TERM": "dumb"},
        )
    return Agent(process, trace, errors)


__all__ = ["Agent", "Scenario", "run"]
