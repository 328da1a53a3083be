"""CMPP's fields, ids, clocks and results as the gateway's types."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from qibai.config import Config, MessageLink, MessagingConfig
from qibai.core.errors import BadText, ConfigError
from qibai.core.messages import MessageReason, MessageState
from qibai.core.text import Concat, Encoding, Part, decode, encode, split
from qibai.messaging.cmpp import links
from qibai.messaging.cmpp.auth import MAX_SKEW, is_fresh, timestamp
from qibai.messaging.cmpp.coding import read_part, write_part
from qibai.messaging.cmpp.counts import Tally
from qibai.messaging.cmpp.msgid import compose, id_of, msg_ids, received_ref, sent_ref
from qibai.messaging.cmpp.status import Result, answer_for, failure, read_stat, write_stat
from qibai.messaging.link import NotNow, Rejected
from qibai.messaging.stream.outcomes import Outcome

NOW = datetime(2026, 12, 31, 15, 59, 30, tzinfo=UTC)  # half a minute before Beijing's new year


def test_an_id_says_when_and_by_whom_it_was_given() -> None:
    msg_id = compose(datetime(2026, 11, 24, 9, 8, 7, tzinfo=UTC), 901234, 0x1_ABCD)
    bits = f"{msg_id:064b}"
    fields = [int(bits[a:b], 2) for a, b in ((0, 4), (4, 9), (9, 14), (14, 20), (20, 26), (26, 48), (48, 64))]
    assert fields == [11, 24, 17, 8, 7, 901234, 0xABCD]


def test_ids_are_unique_even_within_one_second() -> None:
    ids = list(islice(msg_ids(1, lambda: NOW), 150_000))
    assert len(set(ids)) == len(ids)


def test_refs_lead_back_to_ids_and_differ_from_year_to_year() -> None:
    msg_id = compose(NOW, 1, 1)
    assert id_of(sent_ref(msg_id)) == id_of(received_ref(msg_id, NOW)) == msg_id
    assert received_ref(msg_id, NOW) == received_ref(msg_id, NOW + timedelta(minutes=5))  # after midnight
    assert received_ref(msg_id, NOW) != received_ref(msg_id, NOW + timedelta(days=365))
    assert received_ref(7, NOW) == received_ref(7, NOW + timedelta(days=365))  # it names no month


@pytest.mark.parametrize("apart", [timedelta(), MAX_SKEW, -MAX_SKEW])
def test_a_timestamp_is_fresh_across_midnight_and_new_year(apart: timedelta) -> None:
    assert is_fresh(timestamp(NOW + apart), NOW)
    assert not is_fresh(timestamp(NOW + apart * 1.2 + timedelta(days=not apart)), NOW)


@pytest.mark.parametrize("stamp", [0, 9_999_999_999, 4_294_967_295, 1_331_000_000, 229_000_000])
def test_what_is_no_time_is_not_fresh(stamp: int) -> None:
    assert not is_fresh(stamp, NOW)


@pytest.mark.parametrize("reason", list(MessageReason))
def test_every_reason_has_a_result_and_only_the_temporary_are_tried_again(reason: MessageReason) -> None:
    for delivered in (False, True):
        result = answer_for(reason, delivered=delivered)
        assert Result.OK < result <= (Result.OTHER if delivered else Result.DESTINATION)
        assert isinstance(failure(result), NotNow) == reason.is_temporary


@pytest.mark.parametrize("result", range(1, 256))
def test_every_result_of_a_peer_is_later_or_never(result: int) -> None:
    found = failure(result)
    assert isinstance(found, NotNow if result == 8 else Rejected)


@pytest.mark.parametrize("state", list(MessageState))
def test_every_state_can_be_told_and_is_understood(state: MessageState) -> None:
    told = write_stat(state, "")
    assert len(told) == 7
    assert read_stat(told) == Outcome(state if state.is_final else None)


def test_a_networks_own_error_is_passed_on() -> None:
    assert read_stat("MK:0012") == Outcome(MessageState.REJECTED, "MK0012")
    assert write_stat(MessageState.REJECTED, "MK0012") == "MK:0012"
    assert write_stat(MessageState.REJECTED, "far too long") == "REJECTD"
    assert read_stat("\xff\xfe:!!") is None  # counted as unread


@pytest.mark.parametrize(
    "text", ["Hello", "a@b_c$d {e} [f] ~ ^ | \\", "Größe: 5 €", "取件码 1234", "😀", "ΔΦΓ", "line\nline"]
)
def test_a_text_that_we_write_is_the_text_that_we_read(text: str) -> None:
    for encoding in Encoding:
        try:
            part = Part(encode(text, encoding), encoding)
        except BadText:
            continue
        assert decode(read_part(*write_part(part))) == text


@pytest.mark.parametrize("encoding", [Encoding.GSM7, Encoding.UCS2, Encoding.GBK, Encoding.BINARY])
@pytest.mark.parametrize("wide", [False, True])
def test_parts_of_every_encoding_fit(encoding: Encoding, wide: bool) -> None:
    text = "abc" * 200
    data = text.encode() if encoding is Encoding.BINARY else encode(text, encoding)
    for part in split(data, encoding, wide=wide, ref=0x1234):
        read = read_part(*write_part(part))
        assert read.concat == part.concat
        assert read.data == part.data


def test_a_long_part_in_letters_that_ascii_lacks_goes_as_it_is() -> None:
    part = Part(encode("é" * 153, Encoding.GSM7), Encoding.GSM7, Concat(7, 2, 1))
    assert write_part(part) == (0, 1, b"\x05\x00\x03\x07\x02\x01" + part.data)
    assert read_part(*write_part(part)) == part


@pytest.mark.parametrize("part", [Part(bytes(141), Encoding.UCS2), Part(b"x" * 161, Encoding.GSM7)])
def test_what_does_not_fit_is_not_written(part: Part) -> None:
    with pytest.raises(BadText):
        write_part(part)


def test_counts_are_kept_for_two_days() -> None:
    tally = Tally()
    tally.add("mt_sent")
    tally.add("mo_failed")
    assert tally.of(b"nonsense", 3).mt_messages == 0
    today = f"{datetime.now(UTC) + timedelta(hours=8):%Y%m%d}".encode()
    counts = tally.of(today, 3)
    assert (counts.mt_messages, counts.mt_sent, counts.mo_failed, counts.mo_waiting) == (1, 1, 1, 3)


def _config(*given: dict[str, object], port: int = 7890) -> Config:
    made = [
        MessageLink(**{"protocol": "cmpp", "name": str(at), "host": "h", "account": "901234"} | one)  # type: ignore[arg-type]
        for at, one in enumerate(given)
    ]
    return Config(messaging=MessagingConfig(cmpp_port=port, links=made))


def test_links_are_made_from_the_configuration() -> None:
    smpp: dict[str, object] = {"protocol": "smpp"}
    made = links(_config({}, {"role": "server"}, {"role": "server", "account": "902345"}, smpp))
    assert [(link.name, link.status().role) for link in made] == [
        ("0", "client"),
        ("1", "server"),
        ("2", "server"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        [{"account": "12345"}],
        [{"account": "中中中中中中"}],
        [{"host": ""}],
        [{"service": "ELEVENCHARS"}],
        [{"fee_type": "1"}],
        [{"fee_code": "1234567"}],
        [{"version": "3.4"}],
        [{"long": "sar"}],
        [{"role": "server"}, {"role": "server"}],
    ],
)
def test_a_configuration_that_cannot_work_is_refused(given: list[dict[str, object]]) -> None:
    with pytest.raises(ConfigError):
        links(_config(*given))


def test_peers_need_a_port() -> None:
    with pytest.raises(ConfigError, match="cmpp_port"):
        links(_config({"role": "server"}, port=0))
