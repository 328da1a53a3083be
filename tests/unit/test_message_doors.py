"""What the gateway makes of numbers and texts as networks write them."""

import pytest

from qibai.core.text import BadText, cleaned
from qibai.messaging.rules import number_of, party_of
from qibai.messaging.stream.ids import as_answered, as_receipted


@pytest.mark.parametrize("text", ["13800138000", "8613800138000", "+8613800138000", "008613800138000"])
def test_a_party_is_read_in_every_form(text: str) -> None:
    found = party_of(text)
    assert found is not None and found.e164 == "+8613800138000"


@pytest.mark.parametrize("text", ["", "+13800138000", "12345", "86138001380001", "BANK"])
def test_what_is_no_mainland_mobile_is_no_party(text: str) -> None:
    assert party_of(text) is None


@pytest.mark.parametrize("prefix", ["", "+", "86", "+86", "0086", "00"])
def test_a_700_number_is_read_in_every_form(prefix: str) -> None:
    assert str(number_of(f"{prefix}700000000010001")) == "700000000010001"


def test_controls_are_taken_out_and_half_a_character_is_refused() -> None:
    assert cleaned("a\0b\x1b\tc\r\nd\x7f\ufffe") == "ab\tc\r\nd"
    with pytest.raises(BadText):
        cleaned("a\ud800")


@pytest.mark.parametrize(("answered", "receipted"), [("00B8BE19", "b8be19"), ("39f99dd5", "0972660181")])
def test_an_id_is_found_however_it_is_written(answered: str, receipted: str) -> None:
    assert as_answered(answered, "auto") in as_receipted(receipted, "auto")
