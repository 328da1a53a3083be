"""Text messages over CMPP, through the real gateway: A's carrier connects to us, and we to B's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cmpp_world import (
    BOTH,
    LONG,
    NORTH_AT,
    SOUTH_AT,
    STRANGER,
    A,
    B,
    X,
    deliver,
    reports,
    submit,
    texts,
    told,
    up,
    world,
)
from gateway_tools import states, until
from qibai.store.keys import Keyring
from qibai.testing.capture import Capture, Packet
from qibai.testing.cmpp import (
    DELIVER,
    RESP,
    SECRET,
    SUBMIT,
    result,
)
from qibai.testing.leaks import LeakChecker


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


@BOTH
async def test_a_text_an_answer_and_reports_and_nobody_learns_a_number(
    home: Path, dsn: str, keyring: Keyring, capfd: pytest.CaptureFixture[str], version: int
) -> None:
    made = world(home, dsn, keyring, version=f"{version}.0")
    with Capture(home / "cmpp.pcap", f"host {NORTH_AT} or host {SOUTH_AT}") as capture:
        async with made.north() as north, made.gateway() as gateway, made.south(version) as south:
            await up(gateway, "north", "south")
            answer = await south.ask(SUBMIT, submit(version, "到楼下了，请下来"))
            assert answer[8:] == result(version, 0)
            await until(lambda: north.submits)
            (out,) = north.submits
            assert (out["Src_Id"], out["Dest_terminal_Id"]) == (str(X), B.national)
            assert out["Msg_Content"].decode("utf-16-be") == "到楼下了，请下来"
            assert (out["Msg_src"], out["Service_Id"], out["Fee_terminal_Id"]) == ("901234", "", "")
            assert not out.get("LinkID") and not out.get("Reserve")
            await told(north, out["given"])
            await until(lambda: reports(south))
            (back,) = reports(south)
            assert (back["Src_terminal_Id"], back["Dest_Id"]) == (str(X), A.national)
            assert (back["about"], back["stat"], back["of"]) == (answer[:8], "DELIVRD", str(X).encode())

            taken = await (await north.bound()).ask(
                DELIVER, deliver(version, "好的，马上".encode("gbk"), Msg_Fmt=15)
            )
            assert taken[8:] == result(version, 0)
            await until(lambda: texts(south))
            (heard,) = texts(south)
            assert (heard["Src_terminal_Id"], heard["Dest_Id"]) == (str(X), A.national)
            spelled = {8: "utf-16-be", 15: "gbk"}[heard["Msg_Fmt"]]
            assert heard["Msg_Content"].decode(spelled) == "好的，马上"
            await made.all_end("delivered", 2)
    seen_at = {"north": (NORTH_AT, B, A), "south": (SOUTH_AT, A, B)}
    for side, (at, own, other) in seen_at.items():
        seen: list[Packet] = [packet for packet in capture.packets if packet.dst == at]
        assert seen, f"nothing was captured at {side}'s"
        known = [own.e164.encode(), own.national.encode(), str(X).encode()]
        checker = LeakChecker({"the other's number": other}, {}, known)
        assert checker.scan_packets(seen, side) == []
    secrets = LeakChecker({"A": A, "B": B}, {}, [str(X).encode()])
    out_text, err_text = capfd.readouterr()
    assert secrets.scan_text(out_text, err_text, where="the log") == []
    assert secrets.scan_files([home / "spool", home / "run"]) == []
    assert SECRET not in out_text + err_text


def parts(long: str) -> list[bytes]:
    """LONG in pieces with the header of this kind."""
    pieces = [LONG[at : at + 60].encode("utf-16-be") for at in range(0, len(LONG), 60)]
    head = b"\x05\x00\x03\x09" if long == "udh8" else b"\x06\x08\x04\x03\x0a"
    return [head + bytes((len(pieces), seq)) + piece for seq, piece in enumerate(pieces, 1)]


def whole(submits: list[dict[str, Any]]) -> bool:
    return bool(submits) and len(submits) == submits[0]["Pk_total"]


@pytest.mark.parametrize(("long", "size"), [("udh8", 6), ("udh16", 7)])
async def test_a_long_text_in_any_order_of_parts(
    home: Path, dsn: str, keyring: Keyring, long: str, size: int
) -> None:
    made = world(home, dsn, keyring, long=long)
    async with made.north() as north, made.gateway() as gateway, made.south() as south:
        await up(gateway, "north", "south")
        given = set()
        for way in ("udh16", "udh8"):
            before, pieces = len(north.submits), parts(way)
            for piece in [*pieces[2:], *pieces[:2]]:
                answer = await south.ask(SUBMIT, submit(3, piece, TP_udhi=1, Pk_total=len(pieces)))
                assert answer[8:] == result(3, 0)
                given.add(answer[:8])
            await until(lambda before=before: whole(north.submits[before:]))
            out = sorted(north.submits[before:], key=lambda got: got["Pk_number"])
            assert all(got["TP_udhi"] == 1 and got["Msg_Content"][0] == size - 1 for got in out)
            assert b"".join(got["Msg_Content"][size:] for got in out).decode("utf-16-be") == LONG
            assert {(got["Pk_total"], got["Msg_Content"][size - 1]) for got in out} == {
                (len(out), got["Pk_number"]) for got in out
            }
            for got in reversed(out):
                await told(north, got["given"])
        await until(lambda: {got["about"] for got in reports(south)} == given)
        await made.all_end("delivered", len(given))


async def test_a_carrier_that_is_away_gets_it_later_and_so_does_the_sender(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring)
    async with made.gateway() as gateway:
        async with made.south() as south:
            await up(gateway, "south")
            taken = await south.ask(SUBMIT, submit(3, "hi"))
        async with made.north() as north:
            await until(lambda: north.submits)
            await told(north, north.submits[0]["given"], "MK:0012")
            async with made.south() as south:
                await until(lambda: reports(south))
                assert (reports(south)[0]["about"], reports(south)[0]["stat"]) == (taken[:8], "MK:0012")
    await made.all_end("rejected")


async def test_later_means_later_and_never_means_never(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with (
        made.north(answers=[8, 6]) as north,
        made.gateway() as gateway,
        made.south() as south,
    ):
        await up(gateway, "north", "south")
        await south.ask(SUBMIT, submit(3, "hi"))
        await until(lambda: reports(south))
        assert reports(south)[0]["stat"] == "REJECTD"
        await made.all_end("rejected")
        assert len(north.submits) == 2


async def test_a_part_in_doubt_is_sent_once_more_and_ends_once(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made = world(home, dsn, keyring)
    async with (
        made.north(answers=[None]) as north,
        made.gateway() as gateway,
        made.south() as south,
    ):
        await up(gateway, "north", "south")
        await south.ask(SUBMIT, submit(3, "hi"))
        await until(lambda: north.submits)
        north.peer.writer.transport.abort()  # nobody knows whether it was taken
        await until(lambda: len(north.submits) == 2)
        await told(north, north.submits[1]["given"])
        await until(lambda: reports(south))
        await made.all_end("delivered")
        assert len(north.submits) == 2 and len(reports(south)) == 1
        assert gateway.stats().in_doubt == 1


async def test_what_comes_again_is_relayed_once(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as north, made.gateway() as gateway, made.south() as south:
        await up(gateway, "north", "south")
        again = submit(3, "once")
        for _ in range(3):  # the peer's T has passed: the same octets
            south.send(SUBMIT, again, sequence=4711)
        first = await south.expect(SUBMIT | RESP, 1, sequence=4711)
        assert await south.expect(SUBMIT | RESP, 3, sequence=4711) == first
        body = deliver(3, b"yes")
        for _ in range(3):  # the gateway delivers again what was not answered in time
            assert (await (await north.bound()).ask(DELIVER, body))[8:] == result(3, 0)
        await until(lambda: texts(south) and north.submits)
        await told(north, north.submits[0]["given"])
        await made.all_end("delivered", 2)
        assert len(north.submits) == len(texts(south)) == 1


async def test_a_carrier_that_breaks_off_under_load_loses_nothing(
    home: Path, dsn: str, keyring: Keyring
) -> None:
    made, each, breaks = world(home, dsn, keyring), 100, 3
    total = breaks * each
    async with made.north() as north, made.gateway() as gateway, made.south() as south:
        await up(gateway, "north", "south")
        for start in range(0, total, each):
            north.breaks = {len(north.submits) + each // 2}
            for number in range(start, start + each):
                south.send(SUBMIT, submit(3, f"message {number}"))
            # A copy that was sent again is answered before the next break: it would end as unknown.
            await until(lambda count=start + each: list(states(dsn).values()) == ["sent"] * count)
        assert north.connects == breaks + 1  # each broke another connection off
        answers = {(await south.expect(SUBMIT | RESP, count))[:8] for count in range(1, total + 1)}
        assert len(answers) == total
        assert len({got["Msg_Content"] for got in north.submits}) == total
        await until(lambda: sum(link.in_flight for link in gateway.stats().links) == 0)
        for got in list(north.submits):
            await told(north, got["given"])
        await made.all_end("delivered", total)
        await until(lambda: {got["about"] for got in reports(south)} == answers)
        twice = len(north.submits) - total
        assert 0 < twice <= gateway.stats().in_doubt <= 3 * made.config.messaging.links[0].window
        assert len(reports(south)) == total


async def test_who_may_not_write_hears_why(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring)
    async with made.north() as north, made.gateway() as gateway, made.south() as south:
        await up(gateway, "north", "south")
        for fields, expected in (
            ({"Src_Id": STRANGER.national}, 10),
            ({"Dest_terminal_Id": "700999999990000"}, 13),
            ({"Dest_terminal_Id": "12345"}, 13),
        ):
            assert (await south.ask(SUBMIT, submit(3, "hi", **fields)))[8:] == result(3, expected)
        stranger = {"Src_terminal_Id": STRANGER.national}
        assert (await (await north.bound()).ask(DELIVER, deliver(3, b"hi", **stranger)))[8:] == result(3, 9)
        assert north.submits == [] and south.delivered() == []
