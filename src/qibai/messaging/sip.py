"""The link by SIP MESSAGE: Kamailio's transactions with peers end here, over UDP on loopback.

A transaction keeps its answer for as long as its request may come again (RFC 3261 §17.2.2), so that a message
that comes twice is one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from qibai.config import Config
from qibai.core.badge import BADGE_HEADER, Badge, open_badge, seal_badge
from qibai.core.errors import BadMessage, BadText, StoreUnavailable, TokenBroken
from qibai.core.messages import MessageState
from qibai.core.sip import Endpoint, Message, Notice, parse, write_page
from qibai.core.sip.cpim import CPIM, write_cpim, write_notification
from qibai.core.sip.own import new_branch, write_options
from qibai.core.sip.page import PLAIN
from qibai.core.text import Part, decode, encode, fitting
from qibai.messaging.link import (
    Inbox,
    InDoubt,
    LinkState,
    LinkStatus,
    NotNow,
    Outgoing,
    Receipt,
    Received,
    Rejected,
    Report,
    Taken,
)
from qibai.messaging.sip_late import Asked, LateReplies
from qibai.messaging.sip_status import STATUS, failure_of
from qibai.messaging.sip_text import answer_to, ref_of
from qibai.sip_client import TIMEOUT_S, Address, Reply, Requests
from qibai.store.keys import Keyring

NAME: Final = "sip"
HOST: Final = "127.0.0.1"
WINDOW: Final = 64
SILENCE_S: Final = 32.0  #: so long an answer may still come (RFC 3261, timer F): not repeated before
_PROBE_S: Final = 5.0
_PROBE_WAIT_S: Final = 2.0
_SOON_S: Final = 0.5
_STOP_S: Final = 5.0
#: Seconds between looks for the message of a notice, which may overtake the answer to that message.
_NOTICE_WAITS: Final = (0.0, 0.2, 0.8, 2.0)

_log = structlog.get_logger("sip")


class SipLink:
    """Takes what Kamailio passes on from peers, and sends through it."""

    def __init__(self, config: Config, keys: Keyring) -> None:
        self._keys = keys
        self._port = config.messaging.sip_port
        self._cpim = config.messaging.sip_cpim
        self._kamailio = config.voice.inside
        self._here = Endpoint(HOST, self._port)
        self._requests = Requests(self._on_request)
        self._answers: dict[str, bytes | None] = {}  #: by branch; None: not answered yet
        self._kept: deque[tuple[float, str]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._window = asyncio.Semaphore(WINDOW)
        self._inbox: Inbox | None = None
        self._state, self._since, self._error = LinkState.DOWN, datetime.now(UTC), ""
        self._in_flight = self._received = self._sent = self._refused = 0
        self._doubts = LateReplies()

    @property
    def name(self) -> str:
        return NAME

    @property
    def can_send(self) -> bool:
        return self._state is LinkState.UP

    def status(self) -> LinkStatus:
        return LinkStatus(
            name=NAME,
            protocol="sip",
            role="client",
            state=self._state,
            since=self._since,
            peer=f"{self._kamailio[0]}:{self._kamailio[1]}",
            sessions=int(self.can_send),
            in_flight=self._in_flight,
            window=WINDOW,
            received=self._received,
            sent=self._sent,
            refused=self._refused,
            late=self._doubts.late,
            error=self._error,
        )

    # -- life ----------------------------------------------------------------------------------

    async def run(self, inbox: Inbox, stop: asyncio.Event) -> None:
        """Listen until ``stop``; meanwhile ask Kamailio every few seconds whether it is there."""
        self._inbox = inbox
        self._enter(LinkState.CONNECTING)
        while not stop.is_set():
            try:
                await self._requests.open(HOST, self._port)
                up = await self._probe()
                self._enter(LinkState.UP if up else LinkState.DOWN, "" if up else "Kamailio does not answer")
            except OSError:
                self._enter(LinkState.DOWN, f"port {self._port} is taken")
            try:
                await asyncio.wait_for(stop.wait(), _PROBE_S if self.can_send else _SOON_S)
            except TimeoutError:
                continue
        self._enter(LinkState.STOPPING)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        self._requests.close()
        self._enter(LinkState.DOWN)

    def _enter(self, state: LinkState, error: str = "") -> None:
        if (state, error) != (self._state, self._error):
            self._state, self._error, self._since = state, error, datetime.now(UTC)
            _log.info("link", link=NAME, state=state.value, error=error)

    async def _probe(self) -> bool:
        branch = new_branch()
        asked = self._requests.ask(
            write_options(self._here, "gateway", self._kamailio, branch), branch, self._kamailio
        )
        try:
            return await asyncio.wait_for(asked, _PROBE_WAIT_S) is not None
        except TimeoutError:
            return False

    # -- in ------------------------------------------------------------------------------------

    def _on_request(self, data: bytes, sender: Address) -> None:
        try:
            request = parse(data)
        except BadMessage:
            return
        branch = request.branch
        if branch in self._answers:
            answer = self._answers[branch]
            if answer is not None:
                self._requests.send(answer, sender)
        elif request.method == "OPTIONS":
            self._requests.send(answer_to(request, 200), sender)
        else:
            self._answers[branch] = None
            task = asyncio.ensure_future(self._take(request, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, request: Message, sender: Address) -> None:
        try:
            status = await self._status_of(request)
        except StoreUnavailable:
            status = 503
        except Exception as exc:
            _log.error("a message was not handled", error=type(exc).__name__)
            status = 500
        answer = self._answers[request.branch] = answer_to(request, status)
        self._requests.send(answer, sender)
        now = time.monotonic()
        self._kept.append((now, request.branch))
        while self._kept[0][0] < now - TIMEOUT_S:
            del self._answers[self._kept.popleft()[1]]

    async def _status_of(self, request: Message) -> int:
        if request.method != "MESSAGE" or self._inbox is None:
            return 405
        try:
            token = request.first(BADGE_HEADER.lower()) or ""
            badge = open_badge(token, self._keys, now=time.time(), body=request.body)
        except TokenBroken:
            return 403
        if badge.kind == "in":
            return await self._message(self._inbox, badge, request)
        if badge.kind == "late":
            self._doubts.answered(badge)
            return 200
        return await _notice(self._inbox, badge) if badge.kind == "notice" else 403

    async def _message(self, inbox: Inbox, badge: Badge, request: Message) -> int:
        try:
            encoding = fitting(request.body)
            part = Part(encode(request.body, encoding), encoding)
        except BadText:
            return 400
        self._received += 1
        until = None
        if badge.expires is not None:
            until = datetime.now(UTC) + timedelta(seconds=max(badge.expires, 1))
        answer = await inbox.message(
            Received(
                link=NAME,
                ref=ref_of(badge, request),
                source=badge.source,
                destination=badge.destination,
                part=part,
                wants_receipt=badge.wants_delivery,
                wants_failures=badge.wants_failures,
                valid_until=until,
            )
        )
        return 202 if isinstance(answer, Taken) else STATUS[answer.reason]

    # -- out -----------------------------------------------------------------------------------

    async def submit(self, outgoing: Outgoing) -> str:
        """Send one text; "" when the receiver has it, else the id that a notification would name."""
        try:
            text = decode(outgoing.part).replace("\0", "")
        except BadText:
            raise Rejected("415") from None
        place = outgoing.part.concat.seq if outgoing.part.concat else 0
        name = f"{outgoing.code}/{outgoing.id}/{place}"
        now = datetime.now(UTC)
        message_id = self._word("id", name)
        kind, body = PLAIN, text
        if self._cpim:
            kind = CPIM
            body = write_cpim(
                text,
                source=outgoing.source,
                destination=outgoing.destination,
                message_id=message_id,
                at=now,
            )
        call_id = self._word("call", name)
        badge = Badge(
            "out",
            int(now.timestamp()),
            peer=self._doubts.silent(call_id),
            source=outgoing.source,
            destination=outgoing.destination,
            expires=max(int((outgoing.valid_until - now).total_seconds()), 1),
        )
        began = time.monotonic()
        reply = await self._send(badge, call_id, kind, body, outgoing.leaving)
        failure = InDoubt() if reply is None else failure_of(reply) if reply.status >= 300 else None
        if isinstance(failure, InDoubt):
            self._doubts.put(call_id, Asked(outgoing, message_id, reply.peer if reply else ""))
            rest = SILENCE_S if reply is None else SILENCE_S - (time.monotonic() - began)
            raise InDoubt(max(rest, failure.again_s or 0.0, _SOON_S))
        if failure is not None or reply is None:
            self._refused += isinstance(failure, Rejected)
            raise failure or InDoubt
        self._doubts.drop(call_id)
        self._sent += 1
        return message_id if reply.status == 202 else ""

    async def report(self, report: Report) -> None:
        """Send a notification to a sender who asked for one."""
        message_id = report.receipt.ref.partition(".")[2]
        if not message_id or not report.receipt.state.is_final:
            return
        notice = Notice(message_id, report.receipt.state)
        name = f"{report.receipt.ref} {notice.state}"
        body = write_cpim(
            write_notification(notice, report.submitted_at),
            source=report.source,
            destination=report.destination,
            message_id=self._word("id", name),
            at=report.receipt.at,
            notification=True,
        )
        badge = Badge("out", int(time.time()), source=report.source, destination=report.destination)
        reply = await self._send(badge, self._word("call", name), CPIM, body)
        failure = InDoubt() if reply is None else failure_of(reply) if reply.status >= 300 else None
        if isinstance(failure, InDoubt):  # the same again does no harm
            raise NotNow(failure.again_s)
        if failure is not None:
            raise failure

    async def _send(
        self,
        badge: Badge,
        call_id: str,
        kind: str,
        body: str,
        leaving: Callable[[], None] = lambda: None,
    ) -> Reply | None:
        branch = new_branch()
        host, port = self._kamailio
        text = write_page(
            target=f"sip:{host}:{port}",
            here=self._here,
            branch=branch.removeprefix("z9hG4bK"),
            source=f"sip:gateway@{HOST}",
            tag=self._word("tag", call_id),
            destination=f"sip:{host}:{port}",
            call_id=call_id,
            content_type=kind,
            body=body,
            asserted=False,
            header=f"{BADGE_HEADER}: {seal_badge(badge, self._keys, body)}",
        )
        async with self._window:
            if not self.can_send:
                raise NotNow(link_down=True)
            self._in_flight += 1
            try:
                leaving()
                return await self._requests.ask(text.encode(), branch, self._kamailio)
            finally:
                self._in_flight -= 1

    def _word(self, use: str, name: str) -> str:
        """An id that nobody can guess, the same each time: what is sent again looks alike to its receiver."""
        return self._keys.lasting_mac(f"{use} {name}".encode())[:10].hex()


async def _notice(inbox: Inbox, badge: Badge) -> int:
    receipt = Receipt(badge.message_id, MessageState(badge.state), datetime.now(UTC))
    for wait in _NOTICE_WAITS:
        await asyncio.sleep(wait)
        if await inbox.receipt(NAME, receipt):
            return 200
    return 404
