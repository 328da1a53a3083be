"""Text messages between carriers over SMPP, through the real gateway: A's carrier binds to us, we to B's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from store_rows import add_route

from gateway_tools import states, until
from kannel_tools import kannel
from qibai.config import Config, MessageLink, MessagingConfig, StoreConfig
from qibai.core.messages import MessageState
from qibai.core.numbering import Code, Msisdn
from qibai.messaging.ends import pair_of
from qibai.messaging.gateway import Gateway
from qibai.messaging.smpp.status import Status
from qibai.store.keys import Keyring
from qibai.store.messages import keep_receipt
from qibai.testing.capture import Capture, Packet
from qibai.testing.leaks import LeakChecker
from qibai.testing.ports import free_port, own_network
from smpp_tools import SECRET, Peer, esme, password, receipt_dates, smsc
from tls_tools import make_certificate

A, B, STRANGER = Msisdn("+8615273940618"), Msisdn("+8618640927351"), Msisdn("+8617391058264")
X = Code(12345678).number(42)
NORTH_AT, SOUTH_AT = f"{own_network()}.43.2", f"{own_network()}.43.3"
_COPY_MESSAGE = """
    INSERT INTO message (code, id, kind, tenant_id, binding_id, called, shown, sender, receiver, node, state,
                         created_at, valid_until, sent_at, flags, attempts)
    SELECT code, id + 1, kind, tenant_id, binding_id, called, shown, sender, receiver, 'n2', state,
           created_at, valid_until, sent_at, flags, attempts FROM message
"""
_COPY_SENT = """
    INSERT INTO message_sent (code, id, part, link, ref, state, error, sent_at)
    SELECT code, id + 1, part, link, ref, state, error, sent_at FROM message_sent
"""
LONG = "订单已送达，请到门口取件。" * 25


@dataclass
class World:
    """South is A's carrier and binds to us; north is B's, and we bind to it."""

    config: Config
    dsn: str
    port: int
    tls: dict[str, str]

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[Gateway]:
        gateway, stop = Gateway(self.config), asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        try:
            await until(lambda: task.done() or any(link.state != "down" for link in gateway.stats().links))
            yield gateway
        finally:
            stop.set()
            await task

    def south(self) -> contextlib.AbstractAsyncContextManager[Peer]:
        tls = {"ca": self.tls["cert"]} if self.tls else {}
        return esme(self.port, system_id="south", **{"from": SOUTH_AT}, **tls)

    def north(self, **peer: Any) -> contextlib.AbstractAsyncContextManager[tuple[Peer, int]]:
        return smsc(self.config.messaging.links[0].port, host=NORTH_AT, **self.tls, **peer)

    async def all_end(self, state: str, count: int = 1) -> None:
        await until(lambda: sorted(states(self.dsn).values()) == [state] * count)


def world(folder: Path, dsn: str, keyring: Keyring, *, tls: bool = False, **link: Any) -> World:
    """A writes to X and reaches B, who sees X and can answer."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        id = add_route(conn, keyring, dialled=X, caller=A, callee=B)
        add_route(conn, keyring, dialled=X, caller=B, callee=A, binding_id=id)
    secret, files = password(folder), {}
    if tls:
        cert, key = make_certificate(folder, NORTH_AT)
        files = {"cert": str(cert), "key": str(key)}
    port = free_port("127.0.0.1")
    more: dict[str, Any] = {"protocol": "smpp", "password_file": secret, **link}
    north = MessageLink(
        name="north",
        host=NORTH_AT,
        port=free_port(NORTH_AT),
        account="qibai",
        prefixes=[B.national[:3]],
        tls=tls,
        tls_ca=files.get("cert", ""),
        **more,
    )
    south = MessageLink(name="south", role="server", account="south", prefixes=[A.national[:3]], **more)
    messaging = MessagingConfig(
        sip=False,
        smpp_port=port,
        links=[north, south],
        tls_cert=files.get("cert", ""),
        tls_key=files.get("key", ""),
        parts_wait_s=30,
        pair_per_minute=0,
        number_per_minute=0,
    )
    config = Config(home=folder, node="n1", store=StoreConfig(dsn=dsn), messaging=messaging)
    return World(config, dsn, port, files)


@pytest.fixture(scope="module")
def one_database(database: Callable[[], str]) -> str:
    return database()


@pytest.fixture
def dsn(one_database: str) -> str:
    """Emptied for each test, which is quicker than a new one."""
    with psycopg.connect(one_database, autocommit=True) as conn:
        conn.execute("TRUNCATE message, message_receipt, route")
    return one_database


@pytest.fixture
def home(tmp_path: Path, keyring: Keyring) -> Path:
    return tmp_path


def write(peer: Peer, text: Any, **more: Any) -> None:
    """A writes to X."""
    given = {"source_addr": A.national, "destination_addr": str(X), "registered_delivery": 1}
    peer.send("submit_sm", short_message=text, **(given | more))


def receipt(
    peer: Peer, ref: str, stat: str = "DELIVRD", error: str = "000", dates: str = "", *, shown: str = str(X)
) -> None:
    """B's carrier says what became of a part."""
    text = f"id:{ref} sub:001 dlvrd:001 {dates or receipt_dates()} stat:{stat} err:{error} text:"
    addresses = {"source_addr": B.national, "destination_addr": shown}
    peer.send("deliver_sm", **addresses, esm_class=4, short_message={"message": text})


async def bound(gateway: Gateway, *names: str) -> None:
    await until(lambda: {link.name for link in gateway.stats().links if link.state == "up"} >= set(names))


def ids(peer: Peer) -> list[str]:
    """What B's carrier has answered to our submits: peer.js counts from a0."""
    return [format(0xA0 + number, "x") for number in range(len(peer.got("submit_sm")))]


@pytest.mark.parametrize("tls", [False, True])
async def test_a_text_an_answer_and_receipts_and_nobody_learns_a_number(
    home: Path, dsn: str, keyring: Keyring, capfd: pytest.CaptureFixture[str], tls: bool
) -> None:
    made = world(home, dsn, keyring, tls=tls)
    expression = f"host {NORTH_AT} or host {SOUTH_AT}"
    with Capture(home / "smpp.pcap", expression) as capture:
        async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
            await bound(gateway, "north", "south")
            callback = {"hex": "000101" + A.national.encode().hex()}
            write(south, "到楼下了，请下来", user_message_reference=7, callback_num=[callback])
            taken = await south.expect("submit_sm_resp", command_status=0)
            out = await north.expect("submit_sm")
            assert (out["source_addr"], out["destination_addr"]) == (str(X), B.national)
            assert out["short_message"]["message"] == "到楼下了，请下来"
            assert "user_message_reference" not in out and "callback_num" not in out
            receipt(north, ids(north)[0])
            told = await south.expect("deliver_sm", esm_class=4)
            assert (told["source_addr"], told["destination_addr"]) == (str(X), A.national)
            assert told["receipted_message_id"] == taken["message_id"] and told["message_state"] == 2

            answer = {"source_addr": B.national, "destination_addr": str(X)}
            north.send("deliver_sm", **answer, short_message="Coming @ once")
            await north.expect("deliver_sm_resp", count=2, command_status=0)
            back = await south.expect("deliver_sm", esm_class=0)
            assert (back["source_addr"], back["destination_addr"]) == (str(X), A.national)
            assert back["short_message"]["message"] == "Coming @ once"
            await made.all_end("delivered", 2)
    seen_at = {"north": (NORTH_AT, B, A), "south": (SOUTH_AT, A, B)}
    for side, (at, own, other) in seen_at.items():
        seen: list[Packet] = [packet for packet in capture.packets if packet.dst == at]
        assert seen, f"nothing was captured at {side}'s"
        known = [own.e164.encode(), own.national.encode(), str(X).encode()]
        checker = LeakChecker({"the other's number": other}, {}, known)
        assert checker.scan_packets(seen, side) == []
        events = repr((north if side == "north" else south).events)
        assert checker.scan_text(events, where=f"what {side} read") == []
    secrets = LeakChecker({"A": A, "B": B}, {}, [str(X).encode()])
    out_text, err_text = capfd.readouterr()
    assert secrets.scan_text(out_text, err_text, where="the log") == []
    assert secrets.scan_files([home / "spool", home / "run"]) == []
    assert SECRET not in out_text + err_text


@pytest.mark.parametrize("long", ["udh8", "udh16", "sar", "payload"])
async def test_a_long_text_in_any_order_of_parts(home: Path, dsn: str, keyring: Keyring, long: str) -> None:
    made = world(home, dsn, keyring, long=long)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        count = 0
        for way in ("udh8", "udh16", "sar", "payload"):
            before = len(north.got("submit_sm"))
            count += write_long(south, way)
            await south.expect("submit_sm_resp", count=count, command_status=0)
            await until(lambda before=before: text_of(north, before) == LONG)
            for ref in reversed(ids(north)[before:]):
                receipt(north, ref)
            await south.expect("deliver_sm", count=count, esm_class=4, message_state=2)
        answered = {answer["message_id"] for answer in south.got("submit_sm_resp")}
        assert {told["receipted_message_id"] for told in south.got("deliver_sm")} == answered
        await made.all_end("delivered", count)


def write_long(peer: Peer, way: str) -> int:
    """A writes LONG to X, the first two parts last; how many submits that is."""
    if way == "payload":
        write(peer, "", message_payload={"message": LONG}, data_coding=8)
        return 1
    pieces = [LONG[at : at + 60] for at in range(0, len(LONG), 60)]
    order = list(enumerate(pieces, 1))
    for seq, piece in [*order[2:], *order[:2]]:
        if way == "sar":
            sar = {"sar_msg_ref_num": 9, "sar_total_segments": len(pieces), "sar_segment_seqnum": seq}
            write(peer, piece, **sar)
        else:
            head = "05000309" if way == "udh8" else "060804030a"
            udh = {"hex": f"{head}{len(pieces):02x}{seq:02x}"}
            write(peer, {"udh": udh, "message": piece}, esm_class=0x40)
    return len(pieces)


def text_of(peer: Peer, start: int = 0) -> str:
    """What a phone would show of all that the carrier got from submit ``start`` on."""

    def place(got: dict[str, Any]) -> int:
        if "sar_segment_seqnum" in got:
            return int(got["sar_segment_seqnum"])
        udh = got["short_message"].get("udh") if got["short_message"] else None
        return int(udh[0]["hex"][-2:], 16) if udh else 0

    return "".join(
        got["message_payload"]["message"] if "message_payload" in got else got["short_message"]["message"]
        for got in sorted(peer.got("submit_sm")[start:], key=place)
    )


async def test_a_carrier_that_is_away_gets_it_later_and_so_does_the_sender(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring)
    async with made.gateway() as gateway:
        async with made.south() as south:
            await bound(gateway, "south")
            write(south, "hi")
            taken = await south.expect("submit_sm_resp", command_status=0)
        async with made.north() as (north, _):
            out = await north.expect("submit_sm")
            assert out["short_message"]["message"] == "hi"
            receipt(north, "a0", "UNDELIV", "021")
            await north.expect("deliver_sm_resp", command_status=0)
            async with made.south() as south:
                told = await south.expect("deliver_sm", esm_class=4)
                assert told["receipted_message_id"] == taken["message_id"]
                assert " stat:REJECTD err:021 " in told["short_message"]["message"]
    await made.all_end("rejected")


async def test_later_means_later_and_never_means_never(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        write(south, "hi")
        first = await north.expect("submit_sm")
        north.order(answer=first["sequence_number"], fields={"command_status": 0x58})
        second = await north.expect("submit_sm", count=2)
        north.order(answer=second["sequence_number"], fields={"command_status": 0x45})
        told = await south.expect("deliver_sm", esm_class=4)
        assert " stat:REJECTD err:00000045 " in told["short_message"]["message"]
        await made.all_end("rejected")
        assert len(north.got("submit_sm")) == 2


async def test_a_part_in_doubt_is_sent_once_more_and_ends_once(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        write(south, "hi")
        await north.expect("submit_sm")
        await north.hold()
        north.order(destroy=True)  # nobody knows whether it was taken
        await north.expect("submit_sm", count=2)
        receipt(north, "a0")
        await south.expect("deliver_sm", esm_class=4)
        await made.all_end("delivered")
        assert len(north.got("submit_sm")) == 2 and len(south.got("deliver_sm")) == 1


async def test_a_slow_centre_gets_one_copy_and_its_late_answer_counts(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring, answer_s=1)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        write(south, "hi")
        got = await north.expect("submit_sm")
        await until(lambda: gateway.stats().in_doubt == 1)
        north.order(answer=got["sequence_number"], fields={"message_id": "A0"})
        await until(lambda: states(dsn) and set(states(dsn).values()) == {"sent"})
        receipt(north, "a0")
        await south.expect("deliver_sm", esm_class=4)
        await made.all_end("delivered")
        assert len(north.got("submit_sm")) == 1


async def test_a_mute_centre_gets_two_copies_at_most_and_a_restart_changes_nothing(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring, answer_s=1)
    async with made.north() as (north, _), made.south() as south:
        async with made.gateway() as gateway:
            await bound(gateway, "north", "south")
            await north.hold("submit_sm")
            write(south, "hi")
            await north.expect("submit_sm")
            await until(lambda: gateway.stats().in_doubt == 1)
        async with made.gateway() as gateway:
            await north.expect("submit_sm", count=2)
            await made.all_end("unknown")
            assert len(north.got("submit_sm")) == 2


async def test_a_receipt_alone_settles_a_part_in_doubt(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring, answer_s=1)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        write(south, "hi")
        await north.expect("submit_sm")
        await until(lambda: gateway.stats().in_doubt == 1)
        receipt(north, "77")
        await made.all_end("delivered")
        assert len(north.got("submit_sm")) == 1


async def test_a_centre_that_is_killed_under_load_loses_nothing(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made, total, answered_first = world(home, dsn, keyring), 300, 50
    window = made.config.messaging.links[0].window
    async with made.gateway() as gateway, made.south() as south:
        async with made.north(answers=answered_first) as (first, _):
            await bound(gateway, "north", "south")
            for number in range(total):
                write(south, f"message {number}")
            await first.expect("submit_sm", count=answered_first + window)  # no more come without an answer
            first.process.kill()
            await first.process.wait()
        async with made.north(first=0x10000) as (second, _):
            await south.expect("submit_sm_resp", count=total, command_status=0)
            await until(lambda: len(texts(first) | texts(second)) == total)
            await until(lambda: sum(link.in_flight for link in gateway.stats().links) == 0)
            for ref in [
                *ids(first)[:answered_first],
                *(format(0x10000 + n, "x") for n in range(len(second.got("submit_sm")))),
            ]:
                receipt(second, ref)
            await made.all_end("delivered", total)
            await south.expect("deliver_sm", count=total, message_state=2)
            answered = {answer["message_id"] for answer in south.got("submit_sm_resp")}
            assert {told["receipted_message_id"] for told in south.got("deliver_sm")} == answered
        twice = texts(first) & texts(second)
        assert len(twice) == gateway.stats().in_doubt == window
        assert len(first.got("submit_sm")) + len(second.got("submit_sm")) == total + len(twice)


def texts(peer: Peer) -> set[str]:
    return {got["short_message"]["message"] for got in peer.got("submit_sm")}


async def test_a_receipt_that_overtakes_the_answer(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        write(south, "hi")
        out = await north.expect("submit_sm")
        receipt(north, "early")
        north.send("enquire_link")
        await north.expect("enquire_link_resp")
        north.order(answer=out["sequence_number"], fields={"message_id": "early"})
        await north.expect("deliver_sm_resp", command_status=0)
        await south.expect("deliver_sm", esm_class=4, message_state=2)
        await made.all_end("delivered")


@pytest.mark.parametrize("days", [-2, 365], ids=["two-days-back", "a-year-ahead"])
async def test_a_wrong_date_in_a_receipt_decides_nothing(
    home: Path, dsn: str, keyring: Keyring, days: int
) -> None:
    """The record ends when we heard of it, and the sender hears of it."""
    made, done = world(home, dsn, keyring), datetime.now(UTC) + timedelta(days=days)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        write(south, "hello")
        await north.expect("submit_sm")
        receipt(north, ids(north)[0], dates=f"submit date:{done:%y%m%d%H%M} done date:{done:%y%m%d%H%M}")
        told = await south.expect("deliver_sm", esm_class=4)
        assert told["message_state"] == 2
        await made.all_end("delivered")
    with psycopg.connect(dsn) as conn:
        row = conn.execute(
            "SELECT final_at >= created_at, final_at <= clock_timestamp() + interval '1 s' FROM message"
        ).fetchone()
    assert row == (True, True)


async def test_nobody_ends_a_message_by_writing_what_reads_as_its_receipt(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    """A text of the centre's that says no more than that counts if both numbers are the message's."""
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        write(south, "hello")
        out = await north.expect("submit_sm")
        said = f"id:{ids(north)[0]} stat:"
        shown, receiver = out["source_addr"], out["destination_addr"]
        for source, to in (("13655550001", shown), (receiver, "700123456789999")):
            north.send("deliver_sm", source_addr=source, destination_addr=to, short_message=f"{said}DELIVRD")
        await until(lambda: len(north.got("deliver_sm_resp")) == 2)
        north.send("deliver_sm", source_addr=receiver, destination_addr=shown, short_message=f"{said}UNDELIV")
        told = await south.expect("deliver_sm", esm_class=4)
        assert told["message_state"] == 8


@pytest.mark.parametrize("restarts", [False, True])
async def test_of_two_messages_with_one_id_a_receipt_ends_the_one_with_its_numbers(
    home: Path, dsn: str, keyring: Keyring, restarts: bool
) -> None:
    """Some centres count anew when they restart, while messages are still open."""
    made, shown = world(home, dsn, keyring), [X, Code(12345678).number(43)]
    with psycopg.connect(dsn, autocommit=True) as conn:
        add_route(conn, keyring, dialled=shown[1], shown=shown[1], caller=A, callee=B)
    async with made.north() as (north, _), contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(made.gateway())
        south = await stack.enter_async_context(made.south())
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        for count, number in enumerate(shown, 1):
            write(south, "hello", destination_addr=str(number))
            out = await north.expect("submit_sm", count=count)
            north.order(answer=out["sequence_number"], fields={"message_id": "same"})
            await until(lambda count=count: list(states(dsn).values()).count("sent") == count)
        if restarts:
            await stack.aclose()
            gateway = await stack.enter_async_context(made.gateway())
            south = await stack.enter_async_context(made.south())
            await bound(gateway, "north", "south")
        for number, stat in zip(shown, ("UNDELIV", "DELIVRD"), strict=True):
            receipt(north, "same", stat, shown=str(number))
        told = [await south.expect("deliver_sm", esm_class=4, source_addr=str(number)) for number in shown]
        assert [said["message_state"] for said in told] == [8, 2]


async def test_a_receipt_that_overtakes_its_answer_ends_no_older_message_of_that_id(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made, shown = world(home, dsn, keyring), [X, Code(12345678).number(43)]
    with psycopg.connect(dsn, autocommit=True) as conn:
        add_route(conn, keyring, dialled=shown[1], shown=shown[1], caller=A, callee=B)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        await north.hold("submit_sm")
        for count, number in enumerate(shown, 1):
            write(south, "hello", destination_addr=str(number))
            out = await north.expect("submit_sm", count=count)
            if count == 2:
                receipt(north, "same", shown=str(number))
                await asyncio.sleep(0.3)
            north.order(answer=out["sequence_number"], fields={"message_id": "same"})
            await north.expect("submit_sm", count=count)
            await until(lambda: list(states(dsn).values()).count("sent") == 1)
        told = await south.expect("deliver_sm", esm_class=4)
        assert (told["source_addr"], told["message_state"]) == (str(shown[1]), 2)
        await until(lambda: sorted(states(dsn).values()) == ["delivered", "sent"])


async def test_a_kept_receipt_ends_the_message_with_its_numbers_though_another_node_has_one_of_that_id(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    """It came to a node that has neither; both nodes look at it."""
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        write(south, "hello")
        await north.expect("submit_sm")
        await until(lambda: list(states(dsn).values()) == ["sent"])
        (ref,) = ids(north)
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute(_COPY_MESSAGE)
            conn.execute(_COPY_SENT)
        mine, theirs = (pair_of(keyring, str(X), one.e164) for one in (B, STRANGER))
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            for pair, state in ((theirs, MessageState.REJECTED), (mine, MessageState.DELIVERED)):
                await keep_receipt(conn, "north", [ref], state, error="", stated_at=None, pair=pair)
        told = await south.expect("deliver_sm", esm_class=4)
        assert told["message_state"] == 2
        with psycopg.connect(dsn, autocommit=True) as conn:
            left = "SELECT state, pair FROM message_receipt"
            await until(lambda: conn.execute(left).fetchall() == [("rejected", theirs)])


async def test_a_text_whose_validity_is_over_is_refused(home: Path, dsn: str, keyring: Keyring) -> None:
    made, past = world(home, dsn, keyring), datetime.now(UTC) - timedelta(minutes=2)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        write(south, "too late", validity_period=f"{past:%y%m%d%H%M%S}000+")
        await south.expect("submit_sm_resp", command_status=Status.RINVEXPIRY)
        write(south, "in time")
        out = await north.expect("submit_sm")
        assert out["short_message"]["message"] == "in time"
        assert len(north.got("submit_sm")) == 1


async def test_who_may_not_write_hears_why(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as (north, _), made.gateway() as gateway, made.south() as south:
        await bound(gateway, "north", "south")
        to, text = str(X), "hi"
        for sender, number, status in (
            (STRANGER.national, to, 0x0A),
            (A.national, "700999999990000", 0x0B),
            (A.national, "12345", 0x0B),
        ):
            count = len(south.got("submit_sm_resp")) + 1
            south.send("submit_sm", source_addr=sender, destination_addr=number, short_message=text)
            answer = await south.expect("submit_sm_resp", count=count)
            assert answer["command_status"] == status
        assert north.got("submit_sm") == []


async def test_kannels_user_writes_and_is_answered_and_learns_that_it_arrived(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring)
    async with (
        made.north() as (north, _),
        made.gateway() as gateway,
        kannel(home, made.port, account="south") as user,
    ):
        await bound(gateway, "north", "south")
        for text in ("Hello @ €", LONG):
            before, told = len(north.got("submit_sm")), user.statuses().count(1)
            await user.send(A.national, str(X), text)
            await until(lambda before=before, text=text: text_of(north, before) == text)
            for ref in ids(north)[before:]:
                receipt(north, ref)
            await until(lambda told=told: user.statuses().count(1) > told)
        north.send("deliver_sm", source_addr=B.national, destination_addr=str(X), short_message="好的")
        await until(lambda: user.texts() == ["好的"])
        assert user.messages[0]["source"] == str(X)
