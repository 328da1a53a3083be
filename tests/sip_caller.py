"""A telephone that calls once, by a plan."""

from call_plans import Plan, PlannedLine
from qibai.testing.sip_agent import ORDER, Address, SipAgent, SipPacket, tag_of


class Caller(SipAgent):
    """One telephone that calls once."""

    def __init__(self, at: Address, platform: Address, plan: Plan) -> None:
        super().__init__(at, platform)
        self.plan = plan
        self.final = 0  #: the status that the call was answered with
        self._gave_up = False
        self._invite = PlannedLine(
            plan=plan, call_id=f"call-{at[1]}@{at[0]}", own="", other="", target="", cseq=0
        )
        self._branch = f"z9hG4bK{at[1]}invite"
        self._changes: dict[str, PlannedLine] = {}

    def call(self, number: str, called: str) -> None:
        line, host = self._invite, f"{self.platform[0]}:{self.platform[1]}"
        line.own = f"<sip:{number}@{self.at[0]}>;tag=c{self.at[1]}"
        line.target = f"sip:{called}@{host}"
        line.other = f"<{line.target}>"
        self.start()
        more = (f"P-Asserted-Identity: <sip:{number}@{self.at[0]}>", "Supported: 100rel")
        line.cseq = 1
        self.send("INVITE", line, 1, branch=self._branch, more=more, described=True)

    def on_request(self, packet: SipPacket, sender: Address) -> None:
        line = self.lines.get((packet.call_id, tag_of(packet.from_)))
        if packet.start.startswith("BYE "):
            self.on_bye(packet, sender, line)

    def on_reply(self, packet: SipPacket) -> None:
        tag = tag_of(packet.to)
        line = self.lines.get((packet.call_id, tag))
        if packet.method == "BYE" and line is not None:
            self.on_bye_reply(packet, line)
        elif packet.method == "INVITE" and packet.cseq == 1:
            if packet.status < 200:
                self._ringing(packet, tag)
            elif packet.status < 300:
                self._answered(packet, tag)
            else:
                self.final = self.final or packet.status
                self._acknowledge_failure(packet, self._branch, self._invite)
        elif packet.method == "INVITE" and packet.status >= 200 and line is not None:
            self._changed(packet, line)

    def _acknowledge_failure(self, packet: SipPacket, branch: str, line: PlannedLine) -> None:
        kept, line.other = line.other, packet.to
        self.send("ACK", line, packet.cseq, branch=branch)
        line.other = kept

    def _early(self, packet: SipPacket, tag: str) -> PlannedLine:
        line = PlannedLine(
            plan=self.plan,
            call_id=packet.call_id,
            own=self._invite.own,
            other=packet.to,
            target=packet.contact,
            cseq=1,
        )
        return self.lines.setdefault((packet.call_id, tag), line)

    def _ringing(self, packet: SipPacket, tag: str) -> None:
        if "100rel" in packet.first("Require"):
            line = self._early(packet, tag)
            self.ask(line, "PRACK", more=(f"RAck: {packet.first('RSeq')} 1 INVITE",))
        if self._gave_up or self.final:
            return
        rings = packet.status > 100 and bool(tag) and bool(packet.contact)
        if self.plan.caller == "cancels at once" or (self.plan.caller == "cancels" and rings):
            self._gave_up = True
            self.send("CANCEL", self._invite, 1, branch=self._branch)
        elif self.plan.caller == "hangs up early" and rings:
            self._gave_up = True
            line = self._early(packet, tag)
            self.later(0.05, lambda: self.hang_up(line))

    def _answered(self, packet: SipPacket, tag: str) -> None:
        line = self._early(packet, tag)
        line.target = packet.contact or line.target
        self.send("ACK", line, 1)
        if line.off_hook:
            return
        another = any(other.off_hook for other in self.lines.values())
        line.off_hook, line.acknowledged, line.closed = next(ORDER), True, False
        self.final = packet.status
        if another:
            self.faults.append("a second answer was passed on")
        if self._gave_up or another:
            self.later(0.05, lambda: self.hang_up(line))
        elif self.plan.change != "none":
            self.later(0.05, lambda: self._change(line))
        else:
            self._finish(line)

    def _change(self, line: PlannedLine) -> None:
        if not line.closed:
            self._changes[self.ask(line, "INVITE", described=True)] = line

    def _changed(self, packet: SipPacket, line: PlannedLine) -> None:
        new = self._changes.pop(packet.branch, None) is not None
        if packet.status < 300:
            line.target = packet.contact or line.target
            self.send("ACK", line, packet.cseq)
        else:
            self._acknowledge_failure(packet, packet.branch, line)
        if not new:
            return
        if (packet.status < 300) != (self.plan.change == "accepted"):
            self.faults.append(f"the change was answered with {packet.status}")
        self._finish(line)

    def _finish(self, line: PlannedLine) -> None:
        if self.plan.hangs_up == "caller":
            self.later(0.05, lambda: self.hang_up(line))
