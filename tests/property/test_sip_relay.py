"""Whatever comes in: it is refused as malformed, or what goes out is clean and readable."""

import random

import sip_samples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sip_checks import SECRETS, check, recheck, relay

from qibai.core.sip import BadMessage, clean_sdp, parse

_NAMES = st.sampled_from(
    [
        *(
            "Via",
            "Route",
            "Record-Route",
            "Contact",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Max-Forwards",
            "m",
            "k",
            "x",
        ),
        *(
            "Supported",
            "Require",
            "Allow",
            "Session-Expires",
            "Min-SE",
            "Expires",
            "RAck",
            "RSeq",
            "Retry-After",
        ),
        *("Reason", "Warning", "P-Early-Media", "Content-Type", "Content-Disposition", "Accept", "Subject"),
        *("P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Diversion", "History-Info"),
        *("User-Agent", "X-Number"),
    ]
)
_SECRET = st.sampled_from(SECRETS)
_VALUE = st.lists(
    st.one_of(
        _SECRET,
        _SECRET.map(lambda text: f"<sip:{text}@{text}>"),
        st.sampled_from(
            ["Q.850;cause=16", ";text=", '"', "<", ">", ",", ";", "=", "uac", "90", "100rel", "\r\n "]
        ),
        st.text(max_size=12),
    ),
    max_size=6,
).map("".join)
_HEADERS = st.lists(st.tuples(_NAMES, _VALUE), max_size=6)
_SDP_LINE = st.one_of(
    st.tuples(st.sampled_from("vosiuepcbtrzkam"), _VALUE).map(lambda pair: f"{pair[0]}={pair[1]}"),
    st.tuples(
        st.sampled_from(
            ["rtpmap:96 ", "fmtp:96 ", "rtcp:", "ptime:", "crypto:1 ", "curr:qos ", "X-a:", "ssrc:1 "]
        ),
        _VALUE,
    ).map(lambda pair: f"a={pair[0]}{pair[1]}"),
    st.sampled_from(sip_samples.SDP.split("\r\n")),
)


@settings(max_examples=300)
@given(st.sampled_from(sip_samples.ALL), _HEADERS, st.randoms(use_true_random=False))
def test_any_headers(sample: str, headers: list[tuple[str, str]], where: random.Random) -> None:
    head, blank, body = sample.partition("\r\n\r\n")
    lines = head.split("\r\n")
    for name, value in headers:
        if where.random() < 0.5:
            lines.insert(where.randrange(1, len(lines) + 1), f"{name}: {value}")
        else:
            place = where.randrange(1, len(lines))
            lines[place] = f"{lines[place].partition(':')[0]}: {value}"
    check("\r\n".join(lines) + blank + body)


@settings(max_examples=300)
@given(st.lists(_SDP_LINE, max_size=25))
def test_any_description(lines: list[str]) -> None:
    sdp = "\r\n".join(["v=0", "o=- 1 2 IN IP4 10.20.30.40", *lines, ""])
    head = sip_samples.INVITE.partition("\r\n\r\n")[0].rpartition("\r\n")[0]
    check(sip_samples.with_body(head, sdp))


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=400), st.binary(max_size=400)))
@example("INVITE sip:a SIP/2.0\r\n\r\n")
def test_any_text(text: str | bytes) -> None:
    check(text)


@settings(max_examples=200)
@given(st.sampled_from(sip_samples.ALL), st.data())
def test_any_cut_and_splice(sample: str, data: st.DataObject) -> None:
    other = data.draw(st.sampled_from(sip_samples.ALL))
    first = data.draw(st.integers(0, len(sample)))
    second = data.draw(st.integers(0, len(other)))
    check(sample[:first] + other[second:])


@given(st.sampled_from(sip_samples.ALL))
def test_relaying_is_repeatable_and_can_be_chained(sample: str) -> None:
    """The same input gives the same bytes, and a second relay takes what the first wrote."""
    first = relay(sample)
    assert first == relay(sample)
    for relayed in first:
        for again in relay(relayed.text):
            recheck(again)


@given(st.lists(_SDP_LINE, max_size=25))
def test_a_clean_description_stays_as_it_is(lines: list[str]) -> None:
    """But for the numbers in ``o=``, which are mapped again."""
    try:
        once = clean_sdp("\r\n".join(["v=0", "o=- 1 2 IN IP4 10.0.0.1", *lines]), "192.0.2.8", salt="s")
    except BadMessage:
        return
    twice = clean_sdp(once, "192.0.2.8", salt="s")
    assert once.split("\r\n")[2:] == twice.split("\r\n")[2:]


def test_samples_are_read() -> None:
    for sample in sip_samples.ALL:
        parse(sample)
