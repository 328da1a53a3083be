"""A gateway of the test's own behind a real Kamailio: it keeps messages, or hands them straight on."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qibai.config import Config, MessagingConfig, Peer
from qibai.core.numbering import Msisdn, Number700
from qibai.core.text import decode, encode, fitting
from qibai.core.text.part import Part
from qibai.messaging.link import Outgoing, Receipt, Received, Refused, Report, Taken
from qibai.messaging.sip import SipLink
from qibai.store.keys import Keyring
from qibai.testing.platform import free_port, wait_for
from voice_tools import Bench, bench, peers

Answer = Callable[[Received], Taken | Refused]


class Mailbox:
    """An inbox that keeps what came, and gives the same answer to the same ``ref``."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.messages: list[Received] = []
        self.receipts: list[Receipt] = []
        self.asked = 0
        self._answers: dict[str, Taken | Refused] = {}

    async def message(self, received: Received) -> Taken | Refused:
        self.asked += 1
        if received.ref not in self._answers:
            self._answers[received.ref] = self.answer(received)
            self.messages.append(received)
        return self._answers[received.ref]

    async def is_ours(self, link: str, receipt: Receipt) -> bool:
        return receipt.ref != "nobody"

    async def receipt(self, link: str, receipt: Receipt) -> bool:
        self.receipts.append(receipt)
        return receipt.ref != "nobody"

    @property
    def texts(self) -> list[str]:
        return [decode(received.part).removesuffix("\r\n") for received in self.messages]  # SIPp adds it


class Gateway:
    """A SipLink in a thread of its own."""

    def __init__(self, config: Config, answer: Answer = lambda received: Taken(1)) -> None:
        self.mailbox = Mailbox(answer)
        self.link = SipLink(config, Keyring.load(config.key_file))
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> "Gateway":
        self._thread.start()
        wait_for(lambda: self.link.can_send, "the link")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.link.run(self.mailbox, self._stop))

    def start(self, work: Coroutine[Any, Any, Any]) -> Callable[[], Any]:
        """Begin something in the gateway's thread; call what comes back for its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return lambda: future.result(20)

    def submit(self, outgoing: Outgoing) -> str:
        """What the link answers; raises SubmitError."""
        return str(self.start(self.link.submit(outgoing))())

    def report(self, report: Report) -> None:
        self.start(self.link.report(report))()


def outgoing(text: str, shown: Number700, receiver: Msisdn, id: int = 7, *, hours: float = 1) -> Outgoing:
    encoding = fitting(text)
    return Outgoing(
        code=shown.code.value,
        id=id,
        source=str(shown),
        destination=receiver.e164,
        part=Part(encode(text, encoding), encoding),
        valid_until=datetime.now(UTC) + timedelta(hours=hours),
    )


@contextmanager
def message_bench(
    folder: Path,
    make_dsn: Callable[[], str],
    make_peers: Callable[[int], list[Peer]] = peers,
    *,
    sip_cpim: bool = False,
    **changes: Any,
) -> Iterator[Bench]:
    """A running Kamailio that takes messages; no gateway yet."""
    messaging = MessagingConfig(sip_port=free_port("127.0.0.1"), sip_cpim=sip_cpim)
    with bench(folder, make_dsn, make_peers, media=False, messaging=messaging, **changes) as made:
        yield made
