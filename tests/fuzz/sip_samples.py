"""Messages full of the sender's number, name and address, in every place that has been seen to carry them."""

SDP = """v=0
o=zhangsan 13800138000 2890844527 IN IP4 10.20.30.40
s=Call of +8613800138000
i=zhangsan
u=http://caller.example.com/13800138000
e=zhangsan@caller.example.com
p=+86 138-0013-8000
c=IN IP4 10.20.30.40
b=AS:64
t=2873397496 2873404696
k=base64:MTM4MDAxMzgwMDA=
a=tool:zhangsan 13800138000
a=ice-ufrag:13800138000
m=audio 49170 RTP/AVP 8 96 97 98 101 13
a=rtpmap:8 PCMA/8000
a=rtpmap:96 AMR-WB/16000
a=fmtp:96 mode-set=0,1,2;octet-align=1;note=13800138000
a=rtpmap:97 zhangsan/8000
a=rtpmap:98 opus/48000/2
a=fmtp:98 useinbandfec=1; sprop=13800138000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtcp:49171 IN IP4 10.20.30.40
a=ssrc:1380013800 cname:sip:+8613800138000@10.20.30.40
a=candidate:1 1 UDP 2130706431 10.20.30.40 49170 typ host
a=label:13800138000
a=mid:13800138000
a=msid:zhangsan 13800138000
a=X-note:%31%33%38%30%30%31%33%38%30%30%30
a=curr:qos local none
a=des:qos mandatory local sendrecv
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4
a=ptime:20
a=sendrecv
m=application 5000 TCP/BFCP 13800138000
a=setup:active
""".replace("\n", "\r\n")


def with_body(head: str, body: str) -> str:
    lines = head.strip().replace("\n", "\r\n")
    return f"{lines}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"


INVITE = with_body(
    """
INVITE sip:700123456780001@192.0.2.7;user=phone SIP/2.0
Via: SIP/2.0/UDP 10.20.30.40:5060;rport;branch=z9hG4bK-13800138000
Via: SIP/2.0/TCP caller.example.com;branch=z9hG4bKzhangsan;received=10.20.30.40
Max-Forwards: 69
From: "zhangsan 13800138000" <sip:+8613800138000@caller.example.com;user=phone>;tag=13800138000
To: "13800138000" <sip:700123456780001@192.0.2.7>
Call-ID: 13800138000@10.20.30.40
CSeq: 1380013800 INVITE
Contact: <sip:+8613800138000@10.20.30.40:5060;transport=udp>;+sip.instance="<urn:uuid:13800138000>"
Record-Route: <sip:10.20.30.40;lr;u=13800138000>, <sip:caller.example.com;lr>
P-Asserted-Identity: "zhangsan" <sip:+8613800138000@caller.example.com>, <tel:+8613800138000>
P-Preferred-Identity: <tel:+8613800138000>
Remote-Party-ID: <sip:13800138000@caller.example.com>;party=calling
Privacy: none
Diversion: <sip:13800138000@caller.example.com>;reason=unconditional
History-Info: <sip:13800138000@caller.example.com>;index=1
Call-Info: <http://caller.example.com/zhangsan.jpg>;purpose=icon
Reply-To: <sip:13800138000@caller.example.com>
Referred-By: <sip:13800138000@caller.example.com>
P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=13800138000
P-Charging-Vector: icid-value=13800138000;orig-ioi=caller.example.com
Geolocation: <cid:zhangsan@caller.example.com>
Session-ID: 13800138000
Identity: MTM4MDAxMzgwMDA=
Warning: 399 caller.example.com "zhangsan 13800138000"
Reason: Q.850;cause=16;text="13800138000"
User-Agent: zhangsan/13800138000
Server: zhangsan
Subject: 13800138000
Organization: caller.example.com
X-Caller: MTM4MDAxMzgwMDA=
User-to-User: 3133383030313338303030;encoding=hex
Allow: INVITE, ACK, CANCEL, BYE, REFER, zhangsan, UPDATE, PRACK, INFO
Supported: 100rel, timer, replaces, gruu, zhangsan13800138000
Session-Expires: 1800;refresher=uac;note=13800138000
Min-SE: 90
Expires: 180
P-Early-Media: supported
Content-Disposition: session;handling=zhangsan
Content-Type: application/sdp;note=zhangsan
""",
    SDP,
)

RESPONSE = with_body(
    """
SIP/2.0 183 Busy with zhangsan 13800138000
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKkam;received=10.20.30.40
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK0123456789abcdef
From: <sip:700123456780001@192.0.2.7>;tag=ourtag
To: <sip:+8613800138000@caller.example.com>;tag=13800138000
Call-ID: Zk3uQm8wXr1vYt6pLs0a
CSeq: 7 INVITE
Contact: "zhangsan" <sip:+8613800138000@10.20.30.40>
Record-Route: <sip:10.20.30.40;lr>
Require: 100rel
RSeq: 1
Server: zhangsan
P-Asserted-Identity: <tel:+8613800138000>
Reason: SIP;cause=200;text="zhangsan", Q.850;cause=17;text="13800138000"
Warning: 399 caller.example.com "zhangsan"
Retry-After: 5 (call 13800138000)
Content-Type: application/sdp
""",
    SDP,
)


def in_dialog(method: str, extra: str = "", body: str = "") -> str:
    """A request within a call, from the side with the secrets."""
    return with_body(
        f"""
{method} sip:192.0.2.7:5060;qb=AAAA SIP/2.0
Via: SIP/2.0/UDP 10.20.30.40:5060;rport;branch=z9hG4bK-13800138000-2
Max-Forwards: 70
From: "zhangsan" <sip:+8613800138000@caller.example.com>;tag=13800138000
To: <sip:700123456780001@192.0.2.7>;tag=0123456789abcdef
Call-ID: 13800138000@10.20.30.40
CSeq: 2 {method}
Contact: <sip:+8613800138000@10.20.30.40:5062>
User-Agent: zhangsan
Reason: Q.850 ;cause=16 ;text="13800138000"
{extra}""",
        body,
    )


IN_DIALOG = {
    "ACK": in_dialog("ACK"),
    "BYE": in_dialog("BYE"),
    "INVITE": in_dialog("INVITE", "Content-Type: application/sdp", SDP),
    "UPDATE": in_dialog("UPDATE", "Content-Type: application/sdp", SDP),
    "PRACK": in_dialog("PRACK", "RAck: 1 7 INVITE"),
    "INFO": in_dialog(
        "INFO", "Content-Type: application/dtmf-relay\nRecv-Info: zhangsan", "Signal= 5\r\nDuration= 160\r\n"
    ),
}
CPIM = """From: "zhangsan" <im:13800138000@caller.example.com>
To: <im:700123456780001@192.0.2.7>
cc: zhangsan <sip:13800138000@caller.example.com>
DateTime: 2026-11-24T13:26:00-08:00
Subject: 13800138000
NS: imdn <urn:ietf:params:imdn>
NS: MyFeatures <mid:13800138000@caller.example.com>
imdn.Message-ID: 34jk324j
imdn.Disposition-Notification: positive-delivery, negative-delivery
imdn.Record-Route: <sip:caller.example.com>
MyFeatures.Owner: 13800138000

Content-Type: text/plain; charset=utf-8
Content-ID: <13800138000@caller.example.com>

我到了，在门口。""".replace("\n", "\r\n")

NOTICE = """From: <im:13800138000@caller.example.com>
To: <im:700123456780001@192.0.2.7>
NS: imdn <urn:ietf:params:imdn>
imdn.Message-ID: d834jied93rf

Content-Type: message/imdn+xml
Content-Disposition: notification

<?xml version="1.0" encoding="UTF-8"?>
<imdn xmlns="urn:ietf:params:xml:ns:imdn">
<message-id>34jk324j</message-id>
<datetime>2026-11-24T12:16:49-05:00</datetime>
<recipient-uri>im:13800138000@caller.example.com</recipient-uri>
<subject>13800138000</subject>
<delivery-notification><status><delivered/></status></delivery-notification>
</imdn>
""".replace("\n", "\r\n")

_MESSAGE = INVITE.partition("\r\n\r\n")[0].replace("INVITE", "MESSAGE").partition("\r\nContent-Type")[0]
_MESSAGE = _MESSAGE.replace("\r\n", "\n")
MESSAGES = {
    kind: with_body(f"{_MESSAGE}\nContent-Type: {kind.partition(' ')[0]}", body)
    for kind, body in {"text/plain": "你好", "message/cpim": CPIM, "message/cpim notice": NOTICE}.items()
}

ALL = (INVITE, RESPONSE, *IN_DIALOG.values(), *MESSAGES.values())
