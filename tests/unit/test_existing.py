"""Old middle numbers: which digits are one, who may dial what, and what a call to one is decided by."""

from datetime import date

import pytest

from qibai.core.errors import BadNumber, PartyRepeated
from qibai.core.existing import ExistingNumber, OldMode, OldParties, read_dialled
from qibai.core.ids import format_id, new_id, parse_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.pilot import Calendar, Rule, Rules, Standing
from qibai.core.sip import shown_uri

X, Y = ExistingNumber("+8617012340001"), ExistingNumber("+8617112340002")
A, B = Msisdn("+8613800138000"), Msisdn("+8613900139000")


@pytest.mark.parametrize(
    ("written", "e164", "at_home"),
    [
        ("17012345678", "+8617012345678", "17012345678"),
        ("+8617012345678", "+8617012345678", "17012345678"),
        ("8617012345678", "+8617012345678", "17012345678"),
        ("008617012345678", "+8617012345678", "17012345678"),
        ("170 1234 5678", "+8617012345678", "17012345678"),
        ("01012345678", "+861012345678", "01012345678"),
        ("+861012345678", "+861012345678", "01012345678"),
        ("(021) 1234-5678", "+862112345678", "02112345678"),
        ("07551234567", "+867551234567", "07551234567"),
        ("075512345678", "+8675512345678", "075512345678"),
        ("9501312345678", "+869501312345678", "9501312345678"),
        ("95013", "+8695013", "95013"),
        ("4008001234", "+864008001234", "4008001234"),
    ],
)
def test_old_numbers_are_read_however_they_are_written(written: str, e164: str, at_home: str) -> None:
    found = ExistingNumber.parse(written)
    assert (found.e164, found.national) == (e164, at_home)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "110",
        "119",
        "12345",
        "700123456781234",
        "+8670012345",
        "+85212345678",
        "170123456789",
        "１７０１２３４５６７８",
    ],
)
def test_what_is_no_old_number(text: str) -> None:
    with pytest.raises(BadNumber) as refused:
        ExistingNumber.parse(text)
    assert not text or text not in str(refused.value)


def test_a_700_number_is_never_read_as_an_old_one() -> None:
    assert read_dialled("700123456781234") == Number700.parse("700123456781234")
    for text in ("70012345678123", "7001234567", "700"):
        with pytest.raises(BadNumber):
            read_dialled(text)


def test_who_dials_what() -> None:
    axb = OldParties(OldMode.AXB, X, None, A, B).pairs
    assert [(p.dialled, p.caller, p.callee, p.shown) for p in axb] == [(X, A, B, X), (X, B, A, X)]
    axyb = OldParties(OldMode.AXYB, X, Y, A, B).pairs
    assert [(p.dialled, p.caller, p.callee, p.shown) for p in axyb] == [(X, A, B, Y), (Y, B, A, X)]
    axn = OldParties(OldMode.AXN, X, None, A, B).pairs
    assert [(p.dialled, p.caller, p.callee, p.shown) for p in axn] == [(X, None, A, X), (X, A, B, X)]
    assert len(OldParties(OldMode.AXN, X, None, A, None).pairs) == 1


@pytest.mark.parametrize(
    ("mode", "y", "a", "b"),
    [
        (OldMode.AXB, None, A, A),
        (OldMode.AXB, None, Msisdn(X.e164), B),
        (OldMode.AXB, None, A, Msisdn(X.e164)),
        (OldMode.AXYB, X, A, B),
        (OldMode.AXYB, Y, A, Msisdn(Y.e164)),
    ],
)
def test_a_number_has_one_role(mode: OldMode, y: ExistingNumber | None, a: Msisdn, b: Msisdn) -> None:
    with pytest.raises(PartyRepeated):
        OldParties(mode, X, y, a, b)


def test_what_lives_under_an_old_number_has_an_id_of_its_own() -> None:
    assert X.code.value == -3 and ExistingNumber("+8617000009999").code.value == -10001
    for code in (-2, -10001):
        id = new_id()
        text = format_id("b", code, id)
        assert len(text) == 23 and parse_id("b", text) == (code, id)
    assert parse_id("b", "be00000e2-" + "0" * 13) is None


def test_old_numbers_are_shown_as_the_peer_writes_numbers() -> None:
    assert shown_uri(X, "e164", "h") == "sip:+8617012340001@h;user=phone"
    assert shown_uri(ExistingNumber("+861012345678"), "national", "h") == "sip:01012345678@h;user=phone"
    assert shown_uri(X, "tel", "h") == "tel:+8617012340001"
    assert "1234" not in repr(X)


def test_by_which_rule_an_old_number_is_refused() -> None:
    calendar = Calendar(date(2025, 7, 15))
    rules = Rules(calendar, existing_axn=False)
    (_, formal), (_, transition) = [(p, at) for at, p in calendar.starts][1:3]
    applied, nobody = Standing(applied_at=transition), Standing()
    ask = rules.may_serve_existing
    assert ask(nobody, transition - 1) is None
    assert ask(nobody, transition) is Rule.NOT_APPLIED
    assert ask(applied, transition) is None
    assert ask(applied, transition, anyone=True) is Rule.AXN_OFF
    assert Rules(calendar, existing_axn=True).may_serve_existing(applied, transition, anyone=True) is None
    assert ask(applied, transition, cut_over=True) is Rule.MOVED
    assert ask(applied, formal - 1) is None
    assert ask(applied, formal, cut_over=True) is Rule.ONLY_700
    assert Rules().may_serve_existing(nobody, formal) is None
    assert Rules().may_serve_existing(nobody, formal, cut_over=True) is Rule.MOVED
    assert Rule.MOVED.document == Rule.ONLY_700.document == "工信部信管函〔2025〕130号"
