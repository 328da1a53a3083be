"""A peer that plays many telephones at once, each by the plan for its number."""

from dataclasses import dataclass, field

from call_plans import Plan, PlannedLine
from qibai.testing.sip_agent import ORDER, REPEAT_S, Address, SipAgent, SipPacket, tag_of


@dataclass
class _Ring:
    """An INVITE at a callee, and what it was answered."""

    invite: SipPacket
    sender: Address
    plan: Plan
    tag: str
    ended: bool = False  #: a final answer was sent
    unacknowledged: set[tuple[str, int]] = field(default_factory=set)


class Callee(SipAgent):
    """A peer: ``place`` says which of a plan's two it is, 0 or 1."""

    def __init__(self, at: Address, platform: Address, place: int) -> None:
        super().__init__(at, platform)
        self.plans: dict[str, Plan] = {}  #: by the last 11 digits of the called number
        self.rung: dict[str, int] = {}  #: when the first INVITE for a number came
        self._place = place
        self._rings: dict[str, _Ring] = {}  #: by Call-ID

    def on_request(self, packet: SipPacket, sender: Address) -> None:
        method = packet.start.split()[0]
        ring = self._rings.get(packet.call_id)
        line = self.lines.get((packet.call_id, tag_of(packet.to)))
        if method == "INVITE" and not tag_of(packet.to):
            if ring is None:
                self._ring(packet, sender)
        elif method == "INVITE" and line is not None and ring is not None:
            self._change(packet, sender, ring, line)
        elif method == "ACK":
            if ring is not None and line is not None:
                self._acknowledged(packet, ring, line)
        elif method == "CANCEL" and ring is not None:
            self.reply(packet, sender, 200, tag=ring.tag)
            if not ring.ended and ring.plan.crosses:
                self._answer(ring, ring.tag)
            elif not ring.ended:
                self._fail(ring, 487)
        elif method == "PRACK" and ring is not None:
            self.reply(packet, sender, 200)
            self._rang(ring)
        elif method == "BYE":
            self._bye(packet, sender, ring, line)
        elif method == "OPTIONS":
            self.reply(packet, sender, 200, tag="o")

    def on_reply(self, packet: SipPacket) -> None:
        line = self.lines.get((packet.call_id, tag_of(packet.from_)))
        if line is not None and packet.method == "BYE":
            self.on_bye_reply(packet, line)

    def _ring(self, packet: SipPacket, sender: Address) -> None:
        number = packet.start.split("@")[0][-11:]
        plan = self.plans[number]
        self.rung.setdefault(number, next(ORDER))
        ring = _Ring(packet, sender, plan, f"{self._place}a{len(self._rings)}")
        self._rings[packet.call_id] = ring
        match plan.peers[self._place]:
            case "dead":
                return
            case "fails":
                self._fail(ring, 503)
            case "late":
                self._line(ring, ring.tag)
                self.later(5.8, lambda: self._answer(ring, ring.tag))
            case _:
                self._line(ring, ring.tag)
                if plan.reliable:
                    self.reply(packet, sender, 183, tag=ring.tag, more=("Require: 100rel", "RSeq: 1"))
                else:
                    self.reply(packet, sender, 180, tag=ring.tag)
                    self._rang(ring)

    def _rang(self, ring: _Ring) -> None:
        """Answer, unless somebody is to give up before."""
        plan = ring.plan
        if plan.caller != "waits" or plan.answer == "none":
            return
        if plan.answer == "busy":
            self.later(plan.delay, lambda: self._fail(ring, 486))
        else:
            self.later(plan.delay, lambda: self._answer(ring, ring.tag))
            if plan.answer == "forked":
                self.later(plan.delay, lambda: self._answer(ring, f"{ring.tag}b"))

    def _fail(self, ring: _Ring, status: int) -> None:
        if not ring.ended:
            ring.ended = True
            self.reply(ring.invite, ring.sender, status, tag=ring.tag)

    def _line(self, ring: _Ring, tag: str) -> PlannedLine:
        invite = ring.invite
        line = PlannedLine(
            plan=ring.plan,
            call_id=invite.call_id,
            own=f"{invite.to};tag={tag}",
            other=invite.from_,
            target=invite.contact,
            cseq=100,
        )
        return self.lines.setdefault((invite.call_id, tag), line)

    def _answer(self, ring: _Ring, tag: str) -> None:
        if ring.ended and tag == ring.tag:
            return
        ring.ended = True
        self._line(ring, tag).off_hook = next(ORDER)
        ring.unacknowledged.add((tag, ring.invite.cseq))
        self._say_answer(ring, ring.invite, ring.sender, tag)

    def _say_answer(self, ring: _Ring, packet: SipPacket, sender: Address, tag: str) -> None:
        """Send the 2xx until its ACK comes (RFC 3261 §13.3.1.4)."""
        if (tag, packet.cseq) not in ring.unacknowledged:
            return
        strange = ring.plan.answer == "unreadable" and packet is ring.invite
        self.reply(packet, sender, 200, tag=tag, more=("Via: SIP/2.0/UDP [;",) if strange else ())
        self.later(REPEAT_S, lambda: self._say_answer(ring, packet, sender, tag))

    def _change(self, packet: SipPacket, sender: Address, ring: _Ring, line: PlannedLine) -> None:
        if ring.plan.change == "refused":
            self.reply(packet, sender, 488)
        else:
            line.target = packet.contact
            ring.unacknowledged.add((tag_of(packet.to), packet.cseq))
            self._say_answer(ring, packet, sender, tag_of(packet.to))

    def _acknowledged(self, packet: SipPacket, ring: _Ring, line: PlannedLine) -> None:
        plan = ring.plan
        tag = tag_of(packet.to)
        first = (tag, ring.invite.cseq) in ring.unacknowledged
        ring.unacknowledged.discard((tag, packet.cseq))
        if packet.cseq == ring.invite.cseq and line.off_hook:
            line.acknowledged = True
        if first and plan.answer == "forked later" and tag == ring.tag:
            self.later(0.05, lambda: self._answer(ring, f"{tag}b"))
        last = (packet.cseq > ring.invite.cseq) == (plan.change != "none")
        if plan.hangs_up == "callee" and plan.connects and tag == ring.tag and last and not line.hanging_up:
            line.hanging_up = True
            self.later(0.05, lambda: self.hang_up(line))

    def _bye(self, packet: SipPacket, sender: Address, ring: _Ring | None, line: PlannedLine | None) -> None:
        if ring is None or ring.ended or line is None:
            self.on_bye(packet, sender, line)
        elif ring.plan.crosses:
            self.reply(packet, sender, 481)
            self._answer(ring, ring.tag)
        elif self.on_bye(packet, sender, line):
            self._fail(ring, 487)
