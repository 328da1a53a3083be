"""Why a call was refused before it was decided: the INVITE's sender or form was not what it has to be.

Together with ``core.routing.RefusalReason`` and the ids of the pilot's rules these words are the closed list
of reasons for which the platform itself connects nobody.
"""

from enum import StrEnum
from typing import Final

from qibai.core.routing import SipStatus


class EarlyRefusal(StrEnum):
    """The value is the stable word that records and the API use."""

    SOURCE_UNKNOWN = "source_unknown"  #: the INVITE came from an address that is no peer's
    SIP_MALFORMED = "sip_malformed"  #: the INVITE cannot be read (RFC 3261 21.4.1)
    EXTENSION_UNSUPPORTED = "extension_unsupported"  #: Require names what is not supported (RFC 3261 8.2.2.3)
    INTERVAL_TOO_SMALL = "session_interval_too_small"  #: RFC 4028 section 6
    SCHEME_UNSUPPORTED = "scheme_unsupported"  #: neither sip, sips nor tel (RFC 3261 8.2.2.1)
    LOOP = "loop"  #: the INVITE has passed this platform before (RFC 3261 16.3)
    TOO_MANY_HOPS = "too_many_hops"  #: Max-Forwards is 0 (RFC 3261 16.3)
    INTERNAL_ERROR = "internal_error"  #: a fault of the platform's own


EARLY_STATUS: Final[dict[EarlyRefusal, SipStatus]] = {
    EarlyRefusal.SOURCE_UNKNOWN: SipStatus(403, "Forbidden", 21),
    EarlyRefusal.SIP_MALFORMED: SipStatus(400, "Bad Request", 95),
    EarlyRefusal.EXTENSION_UNSUPPORTED: SipStatus(420, "Bad Extension", 127),
    EarlyRefusal.INTERVAL_TOO_SMALL: SipStatus(422, "Session Interval Too Small", 127),
    EarlyRefusal.SCHEME_UNSUPPORTED: SipStatus(416, "Unsupported URI Scheme", 28),
    EarlyRefusal.LOOP: SipStatus(482, "Loop Detected", 25),
    EarlyRefusal.TOO_MANY_HOPS: SipStatus(483, "Too Many Hops", 25),
    EarlyRefusal.INTERNAL_ERROR: SipStatus(500, "Server Internal Error", 41),
}
