"""SIP messages: read one, know who calls whom, write it anew for the other side."""

from qibai.core.errors import BadMessage
from qibai.core.sip.address import uri_host
from qibai.core.sip.allow import q850_cause, unsupported
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
from qibai.core.sip.message import Message, parse
from qibai.core.sip.page import Page, PageRefused, expires_in, read_page, write_page
from qibai.core.sip.sdp import CleanSdp, clean_sdp, sdp_of
from qibai.core.sip.write import (
    Endpoint,
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
    "called_number",
    "callee_uri",
    "caller_identity",
    "clean_sdp",
    "dialled_in",
    "expires_in",
    "leg_of_request",
    "leg_of_response",
    "mapped",
    "new_call_id",
    "next_hop",
    "number_in",
    "parse",
    "q850_cause",
    "read_page",
    "sdp_of",
    "shown_uri",
    "token_in",
    "unsupported",
    "uri_host",
    "write_bare_response",
    "write_in_dialog",
    "write_invite",
    "write_page",
    "write_response",
]
