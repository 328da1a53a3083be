"""SMPP links from the configuration: what cannot work is told at the start, by its key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from qibai.config import Config, MessageLink, MessagingConfig
from qibai.core.errors import ConfigError
from qibai.messaging.smpp import SmppAccount, SmppClient, links

CLIENT: dict[str, Any] = {"name": "north", "protocol": "smpp", "host": "smsc.example.net", "account": "qibai"}
SERVER: dict[str, Any] = {"name": "south", "protocol": "smpp", "role": "server", "account": "south"}


def _config(*given: dict[str, Any], smpp_port: int = 2775) -> Config:
    made = [MessageLink(**link) for link in given]
    return Config(home=Path("/nonexistent"), messaging=MessagingConfig(smpp_port=smpp_port, links=made))


async def test_clients_and_accounts_are_made_and_other_protocols_left_alone() -> None:
    other = {"name": "east", "protocol": "cmpp", "host": "ismg.example.net", "account": "123456"}
    made = links(_config(CLIENT, SERVER, other, SERVER | {"name": "west", "account": "west"}))
    assert [(link.name, type(link)) for link in made] == [
        ("north", SmppClient),
        ("south", SmppAccount),
        ("west", SmppAccount),
    ]
    assert links(_config(CLIENT, smpp_port=0))[0].status().peer == "smsc.example.net:2775"


@pytest.mark.parametrize(
    ("link", "told"),
    [
        (CLIENT | {"host": ""}, "north: host"),
        (CLIENT | {"account": ""}, "north: account"),
        (CLIENT | {"account": "sixteen-letters-"}, "north: account"),
        (CLIENT | {"account": "白"}, "north: account"),
        (CLIENT | {"service": "sixsix"}, "north: service"),
        (CLIENT | {"version": "3.0"}, "north: version"),
    ],
)
def test_what_cannot_work_is_told(link: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        links(_config(link))


async def test_a_server_needs_a_port_and_accounts_of_their_own() -> None:
    with pytest.raises(ConfigError, match="smpp_port"):
        links(_config(SERVER, smpp_port=0))
    with pytest.raises(ConfigError, match="same account"):
        links(_config(SERVER, SERVER | {"name": "again"}))


@pytest.mark.parametrize(
    "wrong",
    [{"window": 0}, {"rate": -1}, {"sessions": 0}, {"enquire_s": 0}, {"answer_s": 0}, {"sources": ["x"]}],
)
def test_numbers_and_addresses_are_checked_when_the_file_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(CLIENT | wrong, MessageLink)


def test_cmpp_has_the_patience_of_its_document_unless_a_link_says_otherwise() -> None:
    assert MessageLink(**CLIENT).patience_s == 10
    assert MessageLink(**CLIENT | {"protocol": "cmpp"}).patience_s == 60
    assert MessageLink(**CLIENT | {"protocol": "cmpp", "answer_s": 5}).patience_s == 5
