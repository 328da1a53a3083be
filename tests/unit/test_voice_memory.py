"""What replies are written from, kept with the transaction, serves like the request itself."""

import msgspec
import pytest
import sip_samples
from sip_checks import HERE, LEG, state_for

from qibai.core.errors import BadMessage
from qibai.core.sip import Message, parse, sdp_of, write_response
from qibai.voice.request_memo import asked, recalled

STATE = state_for(LEG, from_caller=True)
SOURCE = ("192.0.2.99", 40_002)


def _request(text: str) -> Message | None:
    try:
        request = parse(text)
        sdp_of(request)
    except BadMessage:
        return None
    return request if request.is_request else None


REQUESTS = [text for text in sip_samples.ALL if _request(text) is not None]


def _reply(request: Message, line: str) -> Message:
    return parse(
        sip_samples.with_body(
            f"""
SIP/2.0 {line}
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKkamailio
From: <{LEG.local_uri}>;tag=ourtag
To: <{LEG.remote_uri}>;tag=theirtag
Call-ID: {LEG.call_id}
CSeq: {request.cseq} {request.method}
Contact: <{LEG.contact}>
""",
            "",
        )
    )


def test_there_are_requests_of_many_kinds() -> None:
    found = [_request(text) for text in REQUESTS]
    assert {"INVITE", "BYE"} <= {request.method for request in found if request is not None}
    assert any(request and len(request.vias) > 1 for request in found)
    assert any(request and "record-route" in request.fields for request in found)


@pytest.mark.parametrize("line", ["183 Session Progress", "200 OK", "302 Moved", "486 Busy Here"])
@pytest.mark.parametrize("source", [None, SOURCE])
@pytest.mark.parametrize("text", REQUESTS)
def test_a_reply_comes_out_the_same(text: str, source: tuple[str, int] | None, line: str) -> None:
    request = _request(text)
    assert request is not None
    known = recalled(asked(request, STATE, transport="tcp", source=source, retry=True))
    response = _reply(request, line)
    written = [
        write_response(response, one, here=HERE, token="token", source=known.source)
        for one in (request, known.request())
    ]
    assert written[0] == written[1]
    assert (known.transport, known.source, known.retry, known.state) == ("tcp", source, True, STATE)
    assert known.offer == (sdp_of(request) is not None)
    names = ("from_uri", "from_tag", "to_uri", "to_tag", "call_id")  # what a BYE of ours is made of
    assert [getattr(request, name) for name in names] == [getattr(known.request(), name) for name in names]


@pytest.mark.parametrize("text", ["", "null", "[]", "no JSON"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        recalled(text)
