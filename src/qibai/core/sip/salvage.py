"""What it takes to hang up on somebody whose answer is of no other use.

A callee whose 2xx cannot be passed on has an open line all the same: an ACK and a BYE are due (RFC 3261
§13.2.2.4). So these few names are looked for in a message that the strict reader refuses, and nothing else.
"""

import re
from typing import Final

from qibai.core.sip.dialog import MAX_LEG, MAX_ROUTES, Leg

_STATUS = re.compile(r"SIP/2\.0[ \t]+([1-6][0-9]{2})(?![0-9])", re.IGNORECASE)
_FOLD = re.compile(r"\r?\n[ \t]+")
_NAMES: Final = {"t": "to", "f": "from", "i": "call-id", "m": "contact"}
_IN_BRACKETS = re.compile(r"<[ \t]*((?:sips?|tel):[!#-;=?-~]+)[ \t]*>", re.IGNORECASE)
_BARE = re.compile(r"(?:\A|[ \t,])((?:sips?|tel):[!#-+\--:=?-~]+)", re.IGNORECASE)
_TAG = re.compile(r";[ \t]*tag[ \t]*=[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)", re.IGNORECASE)
_CALL_ID = re.compile(r"[!-~]{1,256}")


def status_of(text: str) -> int:
    """The status of a response, however the rest of it looks; 0 when even that cannot be read."""
    found = _STATUS.match(text.lstrip("\r\n"))
    return int(found[1]) if found else 0


def salvaged_leg(text: str, contact: str) -> Leg | None:
    """How to reach the sender of a response to our INVITE; None when it does not name its dialog.

    ``contact`` is where requests go to when it names no SIP URI of its own. Nothing here may pass
    to the other side.
    """
    values: dict[str, list[str]] = {}
    for line in _FOLD.sub(" ", _head(text)).splitlines()[1:]:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        values.setdefault(_NAMES.get(name, name), []).append(value.strip())
    try:
        remote, local, call_id = values["to"][0], values["from"][0], values["call-id"][0]
    except KeyError:
        return None
    remote_uri, local_uri, local_tag = _uri(remote), _uri(local), _TAG.search(local)
    if remote_uri is None or local_uri is None or local_tag is None or not _CALL_ID.fullmatch(call_id):
        return None
    target = next(
        (uri for value in values.get("contact", ()) if (uri := _sip_uri(value)) is not None), contact
    )
    routes = tuple(uri for value in values.get("record-route", ()) for uri in _IN_BRACKETS.findall(value))[
        ::-1
    ]
    tag = _TAG.search(remote)
    leg = Leg(
        contact=target,
        routes=routes if len(routes) <= MAX_ROUTES else (),
        local_uri=local_uri,
        local_tag=local_tag[1],
        remote_uri=remote_uri,
        remote_tag=tag[1] if tag else "",
        call_id=call_id,
    )
    if sum(map(len, (leg.contact, *leg.routes, leg.local_uri, leg.remote_uri, leg.remote_tag))) > MAX_LEG:
        return None
    return leg


def _head(text: str) -> str:
    return re.split(r"\r?\n\r?\n", text.lstrip("\r\n"), maxsplit=1)[0]


def _uri(value: str) -> str | None:
    found = _IN_BRACKETS.search(value) or _BARE.search(value)
    return found[1] if found else None


def _sip_uri(value: str) -> str | None:
    uri = _uri(value)
    if uri is None or not uri.lower().startswith("sip:") or "?" in uri:
        return None
    return uri
