"""Messages written anew: what the other side gets, byte for byte where it matters, and what it never gets."""

import pytest
import sip_samples
from sip_checks import HERE, LEG, OUR_CALL_ID, check, leaks, recheck, relay, token_to

from qibai.core.sip import (
    BadMessage,
    Endpoint,
    Leg,
    clean_sdp,
    leg_of_request,
    leg_of_response,
    mapped,
    parse,
    token_in,
    write_in_dialog,
    write_invite,
    write_response,
)

RINGING = sip_samples.with_body(
    f"""
SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKkamailio
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKplaceholder
From: <{LEG.local_uri}>;tag=ourtag
To: <{LEG.remote_uri}>;tag=theirtag
Call-ID: {OUR_CALL_ID}
CSeq: 1380013800 INVITE
Contact: <{LEG.contact}>
Record-Route: <sip:far;lr>, <sip:near;lr>
""",
    "",
)


@pytest.mark.parametrize("text", sip_samples.ALL)
def test_samples_pass_clean(text: str) -> None:
    out = relay(text)
    assert out
    for relayed in out:
        recheck(relayed)
        assert relayed.echo or not leaks(relayed.text)


@pytest.mark.parametrize(
    "hidden",
    [
        "x13800138000x",
        "%31%33%38%30%30%31%33%38%30%30%30",
        "138-0013-8000",
        "MTM4MDAxMzgwMDA=",
        "cMTM4MDAxMzgwMDA=",
        "3133383030313338303030",
        "00083100831",
        "ZhangSan",
    ],
)
def test_the_checker_sees_encodings(hidden: str) -> None:
    assert leaks(f"X: {hidden}\r\n")


def test_invite_byte_for_byte() -> None:
    request = parse(sip_samples.INVITE.replace("Content-Type: application/sdp;note=zhangsan\r\n", ""))
    text = write_invite(
        request,
        here=HERE,
        target="sip:13912345678@203.0.113.9:5060;user=phone",
        to="sip:13912345678@203.0.113.9;user=phone",
        shown="sip:700123456780001@192.0.2.7;user=phone",
        call_id=OUR_CALL_ID,
        token="TOKEN",
        sdp=None,
        session_expires=1200,
        min_se=120,
    )
    assert text.split("\r\n") == [
        "INVITE sip:13912345678@203.0.113.9:5060;user=phone SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{mapped(request.call_id, request.branch)}",
        "Max-Forwards: 68",
        f"From: <sip:700123456780001@192.0.2.7;user=phone>;tag={mapped(request.call_id, '13800138000')}",
        "To: <sip:13912345678@203.0.113.9;user=phone>",
        f"Call-ID: {OUR_CALL_ID}",
        "CSeq: 1380013800 INVITE",
        "Contact: <sip:192.0.2.7:5060;qb=TOKEN>",
        "P-Asserted-Identity: <sip:700123456780001@192.0.2.7;user=phone>",
        "Supported: 100rel, timer",
        "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO",
        "P-Early-Media: supported",
        "Expires: 180",
        "Session-Expires: 1200",
        "Min-SE: 120",
        "Content-Length: 0",
        "",
        "",
    ]


def test_a_whole_call_keeps_each_sides_names() -> None:
    invite = parse(sip_samples.INVITE)
    callers_leg = leg_of_request(invite)
    ringing = parse(RINGING)
    callees_leg = leg_of_response(ringing)
    assert callees_leg.routes == ("sip:near;lr", "sip:far;lr")

    text = write_response(ringing, invite, here=HERE, token="T1", source=("10.20.30.99", 5099))
    assert text == write_response(ringing, invite, here=HERE, token="T1", source=("10.20.30.99", 5099))
    answer = parse(text)
    assert answer.vias[0] == ringing.vias[0]
    assert answer.vias[1].endswith(";rport=5099;branch=z9hG4bK-13800138000;received=10.20.30.99")
    assert answer.fields["from"] == invite.fields["from"]
    assert answer.fields["record-route"] == invite.fields["record-route"]
    assert answer.call_id == invite.call_id
    assert answer.to_tag == mapped(OUR_CALL_ID, "theirtag")
    assert answer.contact is not None
    assert token_in(answer.contact) == "T1"

    # the caller's BYE
    bye = parse(sip_samples.IN_DIALOG["BYE"])
    out = parse(write_in_dialog(bye, callees_leg, here=HERE))
    assert (out.uri, out.call_id, out.from_tag, out.to_tag) == (
        LEG.contact,
        OUR_CALL_ID,
        "ourtag",
        "theirtag",
    )
    assert out.fields["route"] == ["<sip:near;lr>", "<sip:far;lr>"]
    assert out.first("reason") == "Q.850;cause=16"

    # the callee's BYE: our tag on the caller's side is the one of the responses
    theirs = parse(
        RINGING.replace("SIP/2.0 180 Ringing", "BYE sip:192.0.2.7:5060;qb=T2 SIP/2.0")
        .replace(f"From: <{LEG.local_uri}>;tag=ourtag", f"From: <{LEG.remote_uri}>;tag=theirtag")
        .replace(f"To: <{LEG.remote_uri}>;tag=theirtag", f"To: <{LEG.local_uri}>;tag=ourtag")
        .replace("CSeq: 1380013800 INVITE", "CSeq: 1 BYE")
    )
    back = parse(write_in_dialog(theirs, callers_leg, here=HERE))
    assert back.uri == invite.contact
    assert (back.call_id, back.from_tag, back.to_tag) == (invite.call_id, answer.to_tag, invite.from_tag)
    assert back.fields["route"] == ["<sip:10.20.30.40;lr;u=13800138000>", "<sip:caller.example.com;lr>"]


@pytest.mark.parametrize(
    ("came", "goes"), [("302 x", 480), ("401 x", 403), ("486 Busy 139", 486), ("499 z", 499)]
)
def test_statuses(came: str, goes: int) -> None:
    text = RINGING.replace("180 Ringing", came)
    out = write_response(parse(text), parse(sip_samples.INVITE), here=HERE, token="T")
    start = out.split("\r\n", 1)[0]
    assert start.startswith(f"SIP/2.0 {goes} ")
    assert "139" not in start
    assert "Contact:" not in out


def test_reason_keeps_only_the_q850_cause() -> None:
    text = RINGING.replace("180 Ringing", "486 x").replace(
        "Record-Route: <sip:far;lr>, <sip:near;lr>", 'Reason: SIP;cause=486, Q.850;text="1,2";cause=17'
    )
    out = write_response(parse(text), parse(sip_samples.INVITE), here=HERE)
    assert out.count("Reason") == 1
    assert "Reason: Q.850;cause=17\r\n" in out


@pytest.mark.parametrize("method", ["REFER", "MESSAGE", "NOTIFY", "SUBSCRIBE", "OPTIONS", "PUBLISH"])
def test_other_methods_do_not_pass(method: str) -> None:
    with pytest.raises(BadMessage):
        write_in_dialog(parse(sip_samples.in_dialog(method)), LEG, here=HERE, token="T")


def test_no_hop_left() -> None:
    text = sip_samples.IN_DIALOG["BYE"].replace("Max-Forwards: 70", "Max-Forwards: 0")
    with pytest.raises(BadMessage):
        write_in_dialog(parse(text), LEG, here=HERE)


def test_a_strict_router_finds_the_target_at_the_end() -> None:
    leg = Leg("sip:b@h", ("sip:old", "sip:new;lr"), "sip:x@a", "1", "sip:b@h", "2", "c")
    out = parse(write_in_dialog(parse(sip_samples.IN_DIALOG["BYE"]), leg, here=HERE))
    assert out.uri == "sip:old"
    assert out.fields["route"] == ["<sip:new;lr>", "<sip:b@h>"]


@pytest.mark.parametrize(
    ("kind", "body", "want"),
    [
        ("application/dtmf-relay", "Signal= 5\r\nDuration= 160\r\n", "Signal=5\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Signal=*\nDuration=250", "Signal=*\r\nDuration=250\r\n"),
        ("application/dtmf-relay", "Signal=#\r\n", "Signal=#\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Signal=13800138000\r\n", ""),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", "13800138000", ""),
        ("text/plain", "13800138000", ""),
    ],
)
def test_info_carries_one_key_press(kind: str, body: str, want: str) -> None:
    request = parse(sip_samples.in_dialog("INFO", f"Content-Type: {kind}", body))
    assert parse(write_in_dialog(request, LEG, here=HERE)).body == want


def test_a_response_to_something_else_is_refused() -> None:
    with pytest.raises(BadMessage):
        write_response(parse(RINGING), parse(sip_samples.IN_DIALOG["BYE"]), here=HERE)


def test_a_to_without_brackets_takes_a_tag() -> None:
    text = sip_samples.INVITE.replace('To: "13800138000" <sip:700123456780001@192.0.2.7>', "To: sip:7@h")
    assert parse(write_response(parse(RINGING), parse(text), here=HERE)).first("to") == (
        f"<sip:7@h>;tag={mapped(OUR_CALL_ID, 'theirtag')}"
    )


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_the_contact_gives_the_token_back(transport: str) -> None:
    endpoint = Endpoint("192.0.2.7", 5061, transport)  # type: ignore[arg-type]
    token = token_to(LEG)
    assert token_in(endpoint.contact_uri(token)) == token
    check(sip_samples.INVITE)


def test_descriptions_keep_their_version_steps() -> None:
    def origin(version: int, salt: str) -> list[str]:
        text = f"v=0\r\no=- 1 {version} IN IP4 10.0.0.1\r\ns=x\r\nt=0 0\r\n"
        return clean_sdp(text, "192.0.2.8", salt=salt).split("\r\n")[1].split(" ")

    first, second = origin(41, "a"), origin(42, "a")
    assert first[1] == second[1]
    assert int(second[2]) - int(first[2]) in (1, 1 - 2**31)
    assert origin(41, "b")[1:3] != first[1:3]
