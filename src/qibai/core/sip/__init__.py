"""SIP messages: read one, find out who calls whom, write a new message for the other side."""

from qibai.core.errors import BadMessage
from qibai.core.sip.address import uri_at, uri_host
from qibai.core.sip.allow import accepted_body, q850_cause, unsupported
from qibai.core.sip.cpim import Notice
from qibai.core.sip.dialog import Leg, leg_of_request, leg_of_response, mapped, new_call_id, next_hop
from qibai.core.sip.identity import (
    called_number,
    callee_uri,
    caller_identity,
    dialled_in,
    number_in,
    shown_uri,
)
from qibai.core.sip.message import Message, decode, encode, parse
from qibai.core.sip.page import Page, PageRefused, expires_in, read_page, write_page
from qibai.core.sip.phrase import phrase, relayed_status
from qibai.core.sip.sdp import CleanSdp, clean_sdp, sdp_of
from qibai.core.sip.write import (
    Endpoint,
    echoed,
    token_in,
    write_bare_response,
    write_in_dialog,
    write_invite,
    write_response,
)

__all__ = [
    "BadMessage",
    "CleanSdp",
    "Endpoint",
    "Leg",
    "Message",
    "Notice",
    "Page",
    "PageRefused",
    "accepted_body",
    "called_number",
    "callee_uri",
    "caller_identity",
    "clean_sdp",
    "decode",
    "dialled_in",
    "echoed",
    "encode",
    "expires_in",
    "leg_of_request",
    "leg_of_response",
    "mapped",
    "new_call_id",
    "next_hop",
    "number_in",
    "parse",
    "phrase",
    "q850_cause",
    "read_page",
    "relayed_status",
    "sdp_of",
    "shown_uri",
    "token_in",
    "unsupported",
    "uri_at",
    "uri_host",
    "write_bare_response",
    "write_in_dialog",
    "write_invite",
    "write_page",
    "write_response",
]
