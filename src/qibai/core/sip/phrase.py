"""Reason phrases: always our own, since one chosen elsewhere could carry a number."""

from typing import Final

PHRASES: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
_OF_CLASS: Final = ("", "Progress", "OK", "Moved", "Failure", "Server Failure", "Global Failure")


def phrase(status: int) -> str:
    """What we call ``status``."""
    return PHRASES.get(status) or _OF_CLASS[status // 100]


def relayed_status(status: int) -> int:
    """The status that the other side gets for ``status``.

    A redirection would give away where to, and a challenge is between us and the peer: the caller could
    answer neither. That a peer is unavailable is no reason for the caller's side to hold back other calls, as
    a 503 would be (RFC 3261 §21.5.4): 503 is what we say of ourselves alone.
    """
    if 300 <= status < 400 or status == 503:
        return 480
    return 403 if status in (401, 407, 494) else status
