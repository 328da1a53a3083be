"""Who calls whom: numbers read from a message's addresses, and numbers written in a peer's format."""

import re

from qibai.core.errors import BadMessage, BadNumber
from qibai.core.existing import Dialled, ExistingNumber
from qibai.core.numbering import Msisdn, Number700
from qibai.core.peers import NumberFormat, Transport
from qibai.core.sip.address import read_address, read_uri, split_list, unescape
from qibai.core.sip.message import Message

#: The usual shapes at once; whatever is written otherwise is taken apart.
_USUAL_CALLED = re.compile(r"sip:(?:\+86|86)?(700[0-9]{12})@[^;?]+(?:;user=phone)?")
_USUAL_CALLER = re.compile(
    r"(?:\"[^\"\\]*+\" ?)?<(?:tel:|(?=[^>@]*@)sip:)(\+861[3-9][0-9]{9})"
    r"(?:@[A-Za-z0-9.\-]++(?::[0-9]{1,5})?(?:;[A-Za-z0-9=.\-_]++)*+)?>"
)
_VISUAL = re.compile(r"[\-.() ]")
_CALLED = re.compile(r"(?:\+86|0086|86)?(700[0-9]{12})")
_NUMBER = re.compile(r"\+?[0-9]{3,20}")


def number_in(uri: str) -> str | None:
    """The digits of a URI, with a + where they are international; None when it names no telephone number."""
    parts = read_uri(uri)
    if parts is None:
        return None
    text = unescape(parts.user)
    if text is None:
        return None
    text = text.partition(";")[0]
    if not text.isdigit() or not text.isascii():
        text = _VISUAL.sub("", text)
        if not _NUMBER.fullmatch(text):
            return None
    context = parts.params.get("phone-context", "")
    if context.startswith("+") and context[1:].isdigit() and text[0] != "+":
        return context + text
    return text


def caller_identity(request: Message, *, trust_asserted: bool) -> Msisdn | None:
    """The caller's number, or None.

    When the peer is trusted and asserts identities (P-Asserted-Identity), the first that is a mainland
    mobile number counts, and From is not asked, since the user writes it; without an assertion From counts.
    """
    asserted = request.fields.get("p-asserted-identity") if trust_asserted else None
    if not asserted:
        return _msisdn(request.from_uri)
    usual = _USUAL_CALLER.match(asserted[0])
    if usual is not None:
        return Msisdn(usual[1])
    for value in asserted:
        try:
            callers = (_msisdn(read_address(item)[0]) for item in split_list(value))
            caller = next((caller for caller in callers if caller is not None), None)
        except BadMessage:
            continue
        if caller is not None:
            return caller
    return None


def _msisdn(uri: str) -> Msisdn | None:
    text = number_in(uri)
    if text is None:
        return None
    if len(text) == 13 and text.startswith("861"):
        text = "+" + text
    elif len(text) == 11 and text[0] == "1":
        text = "+86" + text
    try:
        return Msisdn.parse(text)
    except BadNumber:
        return None


def called_number(request: Message) -> Dialled | None:
    """The 700 number in the request URI, or the number that could be an old middle number. Raise nothing."""
    return dialled_in(request.uri)


def dialled_in(uri: str) -> Dialled | None:
    """The same of any URI."""
    usual = _USUAL_CALLED.fullmatch(uri)
    if usual is not None:
        return Number700.parse(usual[1])
    text = number_in(uri)
    if text is None:
        return None
    found = _CALLED.fullmatch(text)
    return Number700.parse(found[1]) if found else ExistingNumber.find(text)


def callee_uri(
    callee: Msisdn, style: NumberFormat, host: str, port: int = 0, transport: Transport = "udp"
) -> str:
    """The callee at a peer, in the peer's number format; without ``port`` the form for To."""
    if style == "tel":
        return f"tel:{callee.e164}"
    user = callee.e164 if style == "e164" else callee.national
    if not port:
        return f"sip:{user}@{host};user=phone"
    via = "" if transport == "udp" else f";transport={transport}"
    return f"sip:{user}@{host}:{port}{via};user=phone"


def shown_uri(shown: Dialled, style: NumberFormat, host: str) -> str:
    """The middle number that the callee sees, at our own address; of a 700 number always all 15 digits."""
    if isinstance(shown, ExistingNumber):
        if style == "tel":
            return f"tel:{shown.e164}"
        return f"sip:{shown.e164 if style == 'e164' else shown.national}@{host};user=phone"
    return f"tel:{shown};phone-context=+86" if style == "tel" else f"sip:{shown}@{host};user=phone"
