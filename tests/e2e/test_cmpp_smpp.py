"""Text messages from CMPP to SMPP and from SMPP to CMPP, through the real gateway."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cmpp_world import NORTH_AT, SOUTH_AT, A, B, X, deliver, reports, submit, texts, told, up, world
from gateway_tools import until
from qibai.store.keys import Keyring
from qibai.testing.cmpp import (
    DELIVER,
    SUBMIT,
)
from smpp_tools import esme, receipt_dates, smsc


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


async def test_from_cmpp_to_smpp_and_back(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring, north="smpp")
    port = made.config.messaging.links[0].port
    async with smsc(port, host=NORTH_AT) as (north, _), made.gateway() as gateway, made.south(2) as south:
        await up(gateway, "north", "south")
        content = "到楼下了 12".encode("gbk")
        answer = await south.ask(SUBMIT, submit(2, content, Msg_Fmt=15))
        out = await north.expect("submit_sm")
        assert (out["source_addr"], out["destination_addr"]) == (str(X), B.national)
        assert out["short_message"]["message"] == "到楼下了 12"
        addresses = {"source_addr": B.national, "destination_addr": str(X)}
        receipt = f"id:a0 sub:001 dlvrd:001 {receipt_dates()} stat:DELIVRD err:000 text:"
        north.send("deliver_sm", **addresses, esm_class=4, short_message={"message": receipt})
        await until(lambda: reports(south))
        assert (reports(south)[0]["about"], reports(south)[0]["stat"]) == (answer[:8], "DELIVRD")
        north.send("deliver_sm", **addresses, short_message="OK @ once")
        await until(lambda: texts(south))
        assert (texts(south)[0]["Msg_Fmt"], texts(south)[0]["Msg_Content"]) == (0, b"OK @ once")
        await made.all_end("delivered", 2)


async def test_from_smpp_to_cmpp_and_back(home: Path, dsn: str, keyring: Keyring) -> None:
    made = world(home, dsn, keyring, south="smpp")
    async with (
        made.north() as north,
        made.gateway() as gateway,
        esme(made.port, system_id="902345", **{"from": SOUTH_AT}) as south,
    ):
        await up(gateway, "north", "south")
        given = {"source_addr": A.national, "destination_addr": str(X), "registered_delivery": 1}
        south.send("submit_sm", **given, short_message="到楼下了")
        taken = await south.expect("submit_sm_resp", command_status=0)
        await until(lambda: north.submits)
        (out,) = north.submits
        assert (out["Src_Id"], out["Dest_terminal_Id"]) == (str(X), B.national)
        assert out["Msg_Content"].decode("utf-16-be") == "到楼下了"
        await told(north, out["given"], "EXPIRED")
        receipt = await south.expect("deliver_sm", esm_class=4)
        assert (receipt["receipted_message_id"], receipt["message_state"]) == (taken["message_id"], 3)
        await (await north.bound()).ask(DELIVER, deliver(3, "好".encode("utf-16-be"), Msg_Fmt=8))
        back = await south.expect("deliver_sm", esm_class=0)
        assert (back["source_addr"], back["short_message"]["message"]) == (str(X), "好")
