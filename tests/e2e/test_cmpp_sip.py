"""Text messages from CMPP to a telephone on SIP and back, through ``qibai up``."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli
from up_tools import platform_with_peers, tenant_key

from cmpp_world import reports, texts
from gateway_tools import until
from qibai.client import BindRequest, Client
from qibai.core.numbering import Msisdn
from qibai.testing.capture import Capture
from qibai.testing.cmpp import RESP, SUBMIT, result, sp, write
from qibai.testing.leaks import LeakChecker
from qibai.testing.platform import free_port, listening, wait_for
from qibai.testing.ports import own_network
from qibai.testing.sipp import Scenario, run
from smpp_tools import password
from voice_tools import CALLEE_AT, CALLER_AT

pytestmark = pytest.mark.voice

A, B = Msisdn("+8615273940618"), Msisdn("+8618640927351")
SOUTH_AT = f"{own_network()}.44.4"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    port = free_port("127.0.0.1")
    variables = {"QIBAI_MESSAGING_CMPP_PORT": str(port)}
    with platform_with_peers(tmp_path, **variables) as made:
        link = (
            '[[messaging.links]]\nname = "south"\nprotocol = "cmpp"\nrole = "server"\naccount = "902345"\n'
            f'password_file = "{password(tmp_path)}"\nprefixes = ["{A.national[:3]}"]\n'
        )
        file = made.config.file
        file.write_text(file.read_text() + link)
        made.start()
        yield made


@pytest.fixture
def key(cli: Cli) -> str:
    return tenant_key(cli)


@pytest.mark.parametrize("text", ["我到了", ""], ids=["text", "empty"])
async def test_a_text_an_answer_and_a_report(cli: Cli, key: str, tmp_path: Path, text: str) -> None:
    config = cli.config
    voice = config.voice
    with Client(f"http://127.0.0.1:{config.api.port}", key) as api:
        x = api.bind(BindRequest(mode="AXB", a=A.e164, b=B.e164, order_id="o1")).x
        at = (CALLEE_AT, voice.peers[0].port)
        with Capture(tmp_path / "cmpp.pcap", f"host {SOUTH_AT} or host {CALLEE_AT}") as capture:
            phone = run(
                Scenario(B.national).expect_request("MESSAGE", first=True).reply(200),
                tmp_path,
                "phone",
                local=at,
            )
            wait_for(lambda: listening(at), "the telephone")
            wait_for(lambda: listening(("127.0.0.1", config.messaging.cmpp_port), "tcp"), "the gateway")
            async with sp(config.messaging.cmpp_port, 2, account="902345", local=SOUTH_AT) as south:
                content = text.encode("gbk")
                fields = {"Src_Id": A.national, "Dest_terminal_Id": x, "Msg_Content": content, "Msg_Fmt": 15}
                answer = await south.ask(SUBMIT, write(SUBMIT, 2, fields | {"Registered_Delivery": 1}))
                assert answer[8:] == result(2, 0)
                await asyncio.to_thread(phone.wait)
                (seen,) = phone.received
                assert f"From: <sip:{x}@" in seen
                assert seen.partition("\n\n")[2].strip("\n") == text
                await until(lambda: reports(south))
                assert (reports(south)[0]["about"], reports(south)[0]["stat"]) == (answer[:8], "DELIVRD")

                writes = Scenario(B.national).message(x, "马上来").expect(202)
                here = (CALLER_AT, free_port(CALLER_AT))
                other = run(writes, tmp_path, "other", local=here, remote=(voice.host, voice.udp_port))
                await asyncio.to_thread(other.wait)
                await until(lambda: texts(south))
                (heard,) = texts(south)
                assert (heard["Src_terminal_Id"], heard["Dest_Id"]) == (x, A.national)
                assert heard["Msg_Content"].decode("utf-16-be").strip() == "马上来"
                assert SUBMIT | RESP in [command for command, _, _ in south.got]
        wait_for(lambda: [m.state for m in api.messages()] == ["delivered"] * 2, "both records")
    to_south = [packet for packet in capture.packets if packet.dst == SOUTH_AT]
    to_phone = [packet for packet in capture.packets if packet.dst == CALLEE_AT]
    assert to_south and to_phone
    known = [A.national.encode(), x.encode()]
    assert LeakChecker({"B": B}, {"the telephone": CALLEE_AT}, known).scan_packets(to_south, "south") == []
    assert LeakChecker({"A": A}, {"south": SOUTH_AT}).scan_packets(to_phone, "the telephone") == []
    folders = [config.log_dir, config.spool_dir, config.run_dir]
    assert LeakChecker({"A": A, "B": B}).scan_files(folders) == []
