"""The torture messages of RFC 4475, written from the RFC: good ones are relayed clean, bad ones refused.

Section numbers are the RFC's. Where a message is well-formed and its sense is for others to judge (an unknown
scheme, an unknown content type), reading it must work and relaying it must not break.
"""

import pytest
import sip_samples
from sip_checks import recheck, relay

from qibai.core.sip import BadMessage, called_number, parse, unsupported

SDP = "v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.3\r\ns=-\r\n"
SDP += "c=IN IP4 192.0.2.4\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0 12\r\n"

BASE = {
    "Via": "SIP/2.0/UDP t.example.org:5060;branch=z9hG4bK-39234-23523",
    "To": "<sip:user@example.com>",
    "From": "<sip:caller@example.org>;tag=33242",
    "Call-ID": "torture.0ha0isndaksdj",
    "CSeq": "8 INVITE",
    "Max-Forwards": "70",
    "Contact": "<sip:caller@example.net>",
}


def text(start: str = "INVITE sip:user@example.com SIP/2.0", body: str = "", **changed: str | None) -> str:
    """A message with the headers of BASE, changed by name (``_`` for ``-``); None takes one out."""
    fields: dict[str, str | None] = dict(BASE)
    for name, value in changed.items():
        fields[name.replace("_", "-")] = value
    head = [start, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    if body:
        head.append(f"Content-Type: {changed.get('Content_Type', 'application/sdp')}")
        head.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join(dict.fromkeys(head)) + "\r\n\r\n" + body


WSINV = (
    "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
    "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
    'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    "MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.ndaksdj@192.0.2.1\r\nContent-Length   : 150\r\n"
    "cseq: 0009\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
    "s :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
    "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Type: application/sdp\r\n"
    "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
    "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n'
    "      newvalue ;\r\n  secondparam ; q = 0.33\r\n"
    "\r\n"
)
WSINV = WSINV.replace("Content-Length   : 150", f"Content-Length   : {len(SDP)}") + SDP

UNREASON = (
    "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e "
    "\u0434\u0435\u0432\u044f\u043d\u043e\u0441\u0442\u043e\r\n"
    "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923\r\nCall-ID: unreason.1234ksdfak3j2erwedfsASdf\r\n"
    "CSeq: 35 INVITE\r\nFrom: sip:user@example.com;tag=11141343\r\nTo: sip:user@example.edu;tag=2229\r\n"
    "Content-Length: 0\r\nContact: <sip:user@host198.example.com>\r\n\r\n"
)

GOOD = {
    "3.1.1.1 wsinv": WSINV,
    "3.1.1.2 intmeth": text(
        "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:"
        "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
        To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" '
        "<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>",
        From="token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;"
        "fromParam''~+*_!.-%=\"\u0440\u0430\u0431\";tag=_t~1'+*%!-.",
        Call_ID="intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        CSeq="139122385 !interesting-Method0123456789_*+`.%indeed'~",
        Max_Forwards="255",
        extensionHeader="\ufeff\u5927\u505c\u96fb",
    ),
    "3.1.1.3 esc01": text(
        "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
        To="sip:%75se%72@example.com",
        From="<sip:I%20have%20spaces@example.net>;tag=938",
        Contact="<sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
    ),
    "3.1.1.4 escnull": text(
        "REGISTER sip:example.com SIP/2.0",
        To="sip:null-%00-null@example.com",
        From="sip:null-%00-null@example.com;tag=839923423",
        CSeq="14398234 REGISTER",
        Contact="<sip:%00@host5.example.com>",
    ),
    "3.1.1.5 esc02": text(
        "RE%47IST%45R sip:registrar.example.com SIP/2.0",
        To='"%Z%45" <sip:resource@example.com>',
        From='"%Z%45" <sip:resource@example.com>;tag=f232jadfj23',
        CSeq="29344 RE%47IST%45R",
    ),
    "3.1.1.6 lwsdisp": text(
        "OPTIONS sip:user@example.com SIP/2.0",
        From="caller<sip:caller@example.com>;tag=323",
        CSeq="60 OPTIONS",
    ),
    "3.1.1.7 longreq": text(
        To='"I have a user name of '
        + "extreme" * 20
        + '" <sip:user@example.com:6000;'
        + "unknownparam1="
        + "long" * 12
        + ">",
        From="sip:" + "amazinglylongcallername" * 8 + "@example.net;tag=12" + "982424" * 8,
        Call_ID="longreq.one" + "really" * 20 + "longcallid",
        Unknown_Long="x" * 4_000,
        Via=", ".join(f"SIP/2.0/TCP sip{n}.example.com" for n in range(33)),
    ),
    "3.1.1.8 dblreq": text("REGISTER sip:example.com SIP/2.0", CSeq="8 REGISTER", Content_Length="0")
    + text(),
    "3.1.1.9 semiuri": text(
        "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0", CSeq="8 OPTIONS", Accept="application/sdp"
    ),
    "3.1.1.10 transports": text(
        "OPTIONS sip:user@example.com SIP/2.0",
        CSeq="60 OPTIONS",
        Via="SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/SCTP b;branch=z9hG4bK2, SIP/2.0/UNKNOWN c",
    ),
    "3.1.1.11 mpart01": text(
        body="--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\n\u0007\u00ff\r\n--7a9cbec02ceef655\r\n"
        f"Content-Type: application/sdp\r\n\r\n{SDP}\r\n--7a9cbec02ceef655--\r\n",
        Content_Type="multipart/mixed;boundary=7a9cbec02ceef655",
    ),
    "3.1.1.12 unreason": UNREASON,
    "3.1.1.13 noreason": UNREASON.replace(UNREASON.partition("\r\n")[0], "SIP/2.0 100 "),
    "3.3.1 insufficient tag, RFC 2543 (3.4.1 inv2543)": text(
        From="<sip:+13035551111@ift.client.example.net;user=phone>",
        Via="SIP/2.0/UDP iftgw.example.com",
        Max_Forwards=None,
        To="sip:+16505552222@ss1.example.net;user=phone",
        Record_Route="<sip:UserB@example.com;maddr=ss1.example.com>",
        body=SDP,
    ),
    "3.3.2 unkscm": text("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", CSeq="8 OPTIONS"),
    "3.3.3 novelsc": text("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", CSeq="8 OPTIONS"),
    "3.3.4 unksm2": text(
        "REGISTER sip:example.com SIP/2.0",
        CSeq="8 REGISTER",
        To="isbn:2983792873",
        From="<http://x.example.com>;tag=3",
    ),
    "3.3.5 bext01": text(
        "OPTIONS sip:user@example.com SIP/2.0", CSeq="8 OPTIONS", Require="nothingSupportsThis"
    ),
    "3.3.6 invut": text(
        body="<audio>\r\n <pcmu port='443'/>\r\n</audio>\r\n", Content_Type="application/unknownformat"
    ),
    "3.3.7 regaut01": text(
        "REGISTER sip:example.com SIP/2.0",
        CSeq="8 REGISTER",
        Authorization="NoOneKnowsThisScheme opaque-data=here",
    ),
    "3.3.11 zeromf": text("OPTIONS sip:user@example.com SIP/2.0", CSeq="8 OPTIONS", Max_Forwards="0"),
    "3.3.12 cparam01": text(
        "REGISTER sip:example.com SIP/2.0",
        CSeq="8 REGISTER",
        Contact="sip:+19725552222@gw1.example.net;unknownparam",
    ),
    "3.3.14 regescrt": text(
        "REGISTER sip:example.com SIP/2.0",
        CSeq="8 REGISTER",
        Contact="<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
    ),
    "3.3.15 sdp01": text(body=SDP, Accept="text/nobodyKnowsThis"),
}

BAD = {
    "3.1.2.1 badinv01": text(Via="SIP/2.0/UDP 192.0.2.15;;,;,,"),
    "3.1.2.1 badinv01, Contact": text(Contact='"Joe" <sip:joe@example.org>;;;;'),
    "3.1.2.2 clerr": text(Content_Length="9999", body=""),
    "3.1.2.3 ncl": text(Content_Length="-999"),
    "3.1.2.4 scalar02": text(
        "REGISTER sip:example.com SIP/2.0", CSeq="36893488147419103232 REGISTER", Max_Forwards="300"
    ),
    "3.1.2.5 scalarlg": text("SIP/2.0 503 Service Unavailable", CSeq="9292394834772304023312 OPTIONS"),
    "3.1.2.6 quotbal": text(To='"Mr. J. User <sip:j.user@example.com>'),
    "3.1.2.7 ltgtruri": text("INVITE <sip:user@example.com> SIP/2.0"),
    "3.1.2.8 lwsruri": text("INVITE sip:user@example.com; lr SIP/2.0"),
    "3.1.2.9 lwsstart": text("INVITE  sip:user@example.com  SIP/2.0"),
    "3.1.2.10 trws": text("OPTIONS sip:remote-target@example.com SIP/2.0  ", CSeq="8 OPTIONS"),
    "3.1.2.11 escruri": text("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
    "3.1.2.13 regbadct": text(Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
    "3.1.2.14 badaspec": text(To='"Watson, Thomas" < sip:t.watson@example.org >'),
    "3.1.2.15 baddn": text(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43"),
    "3.1.2.16 badvers": text("OPTIONS sip:t.watson@example.org SIP/7.0", CSeq="8 OPTIONS"),
    "3.1.2.17 mismatch01": text("OPTIONS sip:user@example.com SIP/2.0", CSeq="8 INVITE"),
    "3.1.2.18 mismatch02": text("NEWMETHOD sip:user@example.com SIP/2.0", CSeq="8 INVITE"),
    "3.1.2.19 bigcode": text("SIP/2.0 4294967301 better not break the receiver", CSeq="8 INVITE"),
    "3.3.1 insuf": text(Call_ID=None, From=None, To=None),
    "3.3.8 multi01": text().replace(
        "CSeq: 8 INVITE", "CSeq: 5 INVITE\r\nCSeq: 59 INVITE\r\nTo: sip:other@example.com"
    ),
    "3.3.9 mcl01": text(Content_Length="13").replace(
        "Content-Length: 13", "Content-Length: 13\r\nContent-Length: 5"
    )
    + "There's no way to know how many octets are supposed to be here.\r\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_good_ones_are_read_and_relayed_clean(name: str) -> None:
    for form in (GOOD[name], GOOD[name].encode("utf-8", "surrogateescape")):
        message = parse(form)
        if message.is_request:
            assert called_number(message) is None
        try:
            out = relay(form)
        except BadMessage:
            assert message.status or message.max_forwards == 0
            continue
        for relayed in out:
            recheck(relayed)


@pytest.mark.parametrize("name", BAD)
def test_bad_ones_are_refused(name: str) -> None:
    with pytest.raises(BadMessage) as caught:
        relay(BAD[name])
    assert not any(word in caught.value.message for word in ("example", "user", "Joe"))


def test_white_space_is_read_as_meant() -> None:
    message = parse(WSINV)
    assert (message.to_uri, message.to_tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert (message.from_uri, message.from_tag) == ("sip:jdrosen@example.com", "98asjd8")
    assert (message.cseq, message.max_forwards, len(message.vias), message.branch) == (9, 68, 3, "390skdjuw")
    assert message.contact == "sip:jdrosen@example.com"
    assert message.body == SDP


def test_what_follows_content_length_is_no_part_of_the_message() -> None:
    assert parse(GOOD["3.1.1.8 dblreq"]).body == ""


def test_unknown_extensions_are_told() -> None:
    assert unsupported(parse(GOOD["3.3.5 bext01"])) == ["nothingsupportsthis"]


def test_samples_are_not_torture() -> None:
    assert all(relay(sample) for sample in sip_samples.ALL)
