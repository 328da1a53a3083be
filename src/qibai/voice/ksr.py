"""The functions of Kamailio's Python interface (KEMI) that we use, with their types.

``Ksr`` describes the module ``KSR``, which exists only inside Kamailio. It adds nothing to a call.

Kamailio reports errors by return values: where a docstring says nothing else, a function returns a number
above 0 if it succeeded and one below 0 if it failed. To read a variable whose value is not UTF-8 raises
UnicodeDecodeError; nothing else raises.
"""

from typing import Literal, NewType, Protocol, overload

#: Names of variables, by what they hold. ``voice.variables`` has all of them.
TextVariable = NewType("TextVariable", str)
NumberVariable = NewType("NumberVariable", str)
#: What rtpengine is asked to do.
MediaCommand = Literal["offer", "answer", "delete"]


class _Variables(Protocol):
    """Module pv: variables of the message at hand, or of its transaction."""

    @overload
    def get(self, name: TextVariable, /) -> str | None: ...
    @overload
    def get(self, name: NumberVariable, /) -> int | None: ...
    def gete(self, name: TextVariable, /) -> str:
        """Return the value, "" if there is none."""

    def getvn(self, name: NumberVariable, default: int, /) -> int:
        """Return the value, ``default`` if there is none."""

    def sets(self, name: TextVariable, value: str, /) -> int:
        """Put ``value`` in the place of the one before; in an AVP, before the others of its name."""

    def seti(self, name: NumberVariable, value: int, /) -> int: ...


class _Transactions(Protocol):
    """Module tm."""

    def t_newtran(self) -> int:
        """Make a transaction of the request at hand. Returns 0 for a retransmission, which tm answers."""

    def t_check_trans(self) -> int:
        """Look for the transaction of the message at hand.

        Returns above 0 if there is one, 0 if tm has handled the message itself, and below 0 if there is none.
        """

    def t_relay(self) -> int:
        """Send the message at hand to ``$du``."""

    def t_reply(self, status: int, phrase: str, /) -> int:
        """Answer the request of the transaction."""

    def t_on_reply(self, callback: str, /) -> int:
        """Name the method of ``kemi.Router`` that gets the replies."""

    def t_on_failure(self, callback: str, /) -> int:
        """Name the method of ``kemi.Router`` that is called when all branches have failed."""

    def t_set_fr(self, until_final_ms: int, until_any_ms: int, /) -> int:
        """Set how long to wait for a final answer to an INVITE, and for any answer; 0: as configured."""

    def t_use_uac_headers(self) -> int:
        """Have requests that tm makes carry the headers as sent, and not as received."""

    def t_is_canceled(self) -> int: ...
    def t_branch_timeout(self) -> int: ...
    def t_branch_replied(self) -> int: ...


class _Replies(Protocol):
    """Module sl."""

    def send_reply(self, status: int, phrase: str, /) -> int:
        """Answer the request at hand, in its transaction if it has one."""


class _Headers(Protocol):
    """Module hdr: lines that end in CRLF."""

    def append(self, lines: str, /) -> int:
        """Add header lines to the message at hand."""

    def append_to_reply(self, lines: str, /) -> int:
        """Add header lines to the next reply that Kamailio makes."""


class _Texts(Protocol):
    """Module textopsx."""

    def msg_set_buffer(self, text: str, /) -> int:
        """Put ``text`` in the place of the message at hand."""


class _Core(Protocol):
    """Module corex."""

    def set_source_address(self, address: str, /) -> int:
        """Have the message at hand come from ``transport:host:port``."""


class _Dispatcher(Protocol):
    """Module dispatcher: the peers of ``peers.list``."""

    def ds_select_dst(self, group: int, algorithm: int, /) -> int:
        """Put the URI of a peer that answers into ``$du``; algorithm 8: of the highest priority."""

    def ds_is_active_uri(self, group: int, uri: str, /) -> int:
        """Returns above 0 if the peer with this URI answers."""


class _Tables(Protocol):
    """Module htable: tables in the memory that all workers of this Kamailio share."""

    def sht_get(self, table: str, key: str, /) -> str | int | None:
        """Return the value, None if there is none."""

    def sht_sets(self, table: str, key: str, value: str, /) -> int: ...
    def sht_setex(self, table: str, key: str, seconds: int, /) -> int:
        """Have the entry expire in ``seconds``."""

    def sht_inc(self, table: str, key: str, /) -> int:
        """Add 1 and return the sum."""

    def sht_rm(self, table: str, key: str, /) -> int: ...
    def sht_iterator_start(self, iterator: str, table: str, /) -> int: ...
    def sht_iterator_next(self, iterator: str, /) -> int:
        """Go to the next entry, for ``$shtitkey`` and ``$shtitval``. Returns below 0 after the last."""

    def sht_iterator_end(self, iterator: str, /) -> int: ...


class _Media(Protocol):
    """Module rtpengine; it is there if the configuration anchors media."""

    def rtpengine_offer(self, flags: str, /) -> int: ...
    def rtpengine_answer(self, flags: str, /) -> int: ...
    def rtpengine_delete(self, flags: str, /) -> int: ...


class _Connections(Protocol):
    """Module tcpops; it is there if the configuration has TCP or TLS."""

    def tcp_set_connection_lifetime(self, seconds: int, /) -> int:
        """Set how long the connection of the message at hand may be silent."""


class Ksr(Protocol):
    """Kamailio, as the message at hand sees it."""

    pv: _Variables
    tm: _Transactions
    sl: _Replies
    hdr: _Headers
    textopsx: _Texts
    corex: _Core
    dispatcher: _Dispatcher
    htable: _Tables
    rtpengine: _Media
    tcpops: _Connections

    def set_drop(self) -> None:
        """Have the message at hand go nowhere."""

    def err(self, text: str, /) -> None:
        """Write a line into the log; ``text`` ends in a newline."""

    def warn(self, text: str, /) -> None: ...
    def info(self, text: str, /) -> None: ...
