"""The page ``docs/sip-tables.md``, made of the tables of the code: ``python -m qibai.cli.sippage``."""

import sys
from collections.abc import Iterable
from typing import Final

from qibai.config import BindingConfig, VoiceConfig
from qibai.core.refusals import EARLY_STATUS
from qibai.core.routing import SIP_STATUS, SipStatus
from qibai.core.sip import (
    CleanSdp,
    Endpoint,
    Leg,
    Message,
    parse,
    write_in_dialog,
    write_invite,
    write_page,
    write_response,
)
from qibai.core.sip.address import MAX_URI
from qibai.core.sip.allow import IN_DIALOG, METHODS, OPTION_TAGS, REQUEST_FILTERS, RESPONSE_FILTERS
from qibai.core.sip.dialog import MAX_LEG, MAX_ROUTES
from qibai.core.sip.message import MAX_BYTES, MAX_HEADERS
from qibai.core.sip.page import MAX_TEXT, PLAIN
from qibai.core.sip.phrase import PHRASES, phrase, relayed_status
from qibai.core.sip.sdp import MAX_LINES, MAX_MEDIA, RTP_PROFILES
from qibai.core.sip.sdp_lines import ATTRIBUTES, CODECS, FMTP_PARAMETERS
from qibai.messaging.sip_status import RETRY_AFTER, STATUS
from qibai.records.ender import CAUSES
from qibai.records.hangup import AGAIN_S, ATTEMPTS
from qibai.records.keeper import SESSION_GRACE_S
from qibai.voice.engine import ANSWER_TIMEOUT_MS
from qibai.voice.ledger import failure_of
from qibai.voice.replies import PEER_FAILURES

_AWAY: Final = 503
#: Q.850's names of the causes that stand in the tables.
_CAUSE_NAMES: Final = {
    1: ("unallocated number", "空号"),
    16: ("normal call clearing", "正常释放"),
    17: ("user busy", "用户忙"),
    19: ("no answer from user", "用户无应答"),
    21: ("call rejected", "呼叫被拒绝"),
    22: ("number changed", "号码已改变"),
    23: ("redirection to new destination", "重定向到新目的地"),
    25: ("exchange routing error", "交换路由错误"),
    28: ("invalid number format", "号码格式无效"),
    38: ("network out of order", "网络故障"),
    41: ("temporary failure", "临时故障"),
    63: ("service or option not available", "业务或选项不可用"),
    79: ("service or option not implemented", "业务或选项未实现"),
    88: ("incompatible destination", "目的地不相容"),
    95: ("invalid message", "无效消息"),
    102: ("recovery on timer expiry", "定时器超时恢复"),
    127: ("interworking, unspecified", "互通，未指明"),
}
_HEAD: Final = """\
# SIP tables · SIP 对照表

Made by `python -m qibai.cli.sippage` from the tables that the code runs by; change them there. In words:
[SIP interconnection](sip-interconnection.md).

由 `python -m qibai.cli.sippage` 根据代码实际使用的表生成；请改代码，不要改本页。
文字说明见 [SIP 互联](zh-CN/sip-interconnection.md)。
"""


def heard(status: int) -> int:
    """The status that the caller gets when the callee's side has refused the call with ``status``.

    This holds if no other peer is left to try. A 503 stays a 503, but without Retry-After.
    """
    return status if status == _AWAY else relayed_status(status)


def finals() -> list[int]:
    """The failure statuses that have a row: those with a phrase or a cause of their own."""
    return [
        status
        for status in range(400, 700)
        if status in PHRASES
        or relayed_status(status) != status
        or failure_of(status) != failure_of(_other(status))
    ]


def _other(status: int) -> int:
    """A status of the same class that means nothing of its own."""
    return status // 100 * 100 + 99


def page() -> str:
    """The whole page."""
    parts = (
        _written(),
        _passes(),
        _timers(),
        _limits(),
        _refusals(),
        _failures(),
        _ends(),
        _messages(),
        _causes(),
    )
    return "\n".join([_HEAD, *(line for part in parts for line in part)])


def _written() -> Iterable[str]:
    yield "## Headers that Qibai writes · Qibai 书写的消息头\n"
    yield "Qibai writes these itself, whatever the other side wrote. Those with `*` stand in some messages.\n"
    yield "以下消息头由 Qibai 自己书写，与另一侧写了什么无关。带 `*` 的只在部分消息中出现。\n"
    yield from _table(
        ("message 消息", "headers 消息头"),
        [
            ("first INVITE 初始 INVITE", _names(_first_invite(offer=True), _first_invite(offer=False))),
            ("request within a call 对话内请求", _names(*map(_in_dialog, sorted(IN_DIALOG)))),
            ("response 应答", _names(_answer(180), _answer(200), _answer(486))),
            ("MESSAGE", _names(_text_message(None), _text_message(60))),
        ],
    )


_HERE: Final = Endpoint("198.51.100.7", 5060)
_NOTHING: Final = CleanSdp("")
_STATE: Final = "state"


def _asked(method: str, tag: str = "") -> Message:
    """A request with what every request has, and a route that a response repeats."""
    lines = (
        f"{method} sip:700123456780001@198.51.100.7 SIP/2.0",
        "Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK1",
        "Record-Route: <sip:203.0.113.9;lr>",
        "Max-Forwards: 70",
        "From: <sip:+8613800138000@203.0.113.10>;tag=a",
        f"To: <sip:700123456780001@198.51.100.7>{tag}",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        "Contact: <sip:203.0.113.10:5060>",
    )
    return parse("\r\n".join([*lines, "", ""]))


def _first_invite(*, offer: bool) -> str:
    return write_invite(
        _asked("INVITE"),
        here=_HERE,
        target="sip:+8613900139000@192.0.2.10",
        to="sip:+8613900139000@192.0.2.10",
        shown="sip:700123456780002@198.51.100.7",
        call_id="d",
        token=_STATE,
        sdp=_NOTHING if offer else None,
        session_expires=1800,
        min_se=90,
    )


def _in_dialog(method: str) -> str:
    leg = Leg("sip:192.0.2.10", ("sip:192.0.2.9;lr",), "sip:a@x", "l", "sip:b@x", "r", "d")
    offer = _NOTHING if method in ("INVITE", "UPDATE") else None
    return write_in_dialog(_asked(method, ";tag=b"), leg, here=_HERE, token=_STATE, sdp=offer)


def _answer(status: int) -> str:
    request = _asked("INVITE")
    text = request.text.replace(request.text.split("\r\n")[0], f"SIP/2.0 {status} OK")
    return write_response(
        parse(text), request, here=_HERE, token=_STATE, sdp=_NOTHING if status == 200 else None
    )


def _text_message(expires: int | None) -> str:
    return write_page(
        target="sip:+8613900139000@192.0.2.10",
        here=_HERE,
        branch="b",
        source="sip:700123456780002@198.51.100.7",
        tag="l",
        destination="sip:+8613900139000@192.0.2.10",
        call_id="d",
        content_type=PLAIN,
        body="text",
        expires=expires,
    )


def _names(*messages: str) -> str:
    """The names of the messages' headers, in their order."""
    each = [
        list(dict.fromkeys(line.partition(":")[0] for line in text.split("\r\n\r\n")[0].split("\r\n")[1:]))
        for text in messages
    ]
    everywhere = set.intersection(*map(set, each))
    return ", ".join(
        f"`{name}`" if name in everywhere else f"`{name}` *"
        for name in dict.fromkeys(name for found in each for name in found)
    )


def _passes() -> Iterable[str]:
    requests = {title for _, title, _ in REQUEST_FILTERS}
    responses = {title for _, title, _ in RESPONSE_FILTERS}
    yield "## Headers that pass · 可通过的消息头\n"
    yield from _table(
        ("header 消息头", "request 请求", "response 应答"),
        [
            (f"`{title}`", _mark(title in requests), _mark(title in responses))
            for title in sorted(requests | responses)
        ],
    )
    yield "`Reason` passes as `Q.850;cause=N`: in requests within a call, and in responses.\n"
    yield "`Reason` 以 `Q.850;cause=N` 的形式通过：在对话内的请求和应答中。\n"
    yield "## Words that pass · 可通过的词\n"
    yield from _table(
        ("where 位置", "words 词"),
        [
            ("`Supported`, `Require`", _words(OPTION_TAGS)),
            ("`Allow`", _words(METHODS)),
            ("methods within a call 对话内的方法", _words(IN_DIALOG)),
            ("`m=` protocols 协议", _words({*RTP_PROFILES, "udptl"})),
            ("codecs 编解码", _words(CODECS)),
            ("SDP attributes 属性", _words({*ATTRIBUTES, "crypto", "fmtp", "rtcp-fb", "rtpmap"})),
            ("`a=fmtp` parameters 参数", _words(FMTP_PARAMETERS)),
        ],
    )


def _timers() -> Iterable[str]:
    voice, binding = VoiceConfig(), BindingConfig()
    yield "## Timers · 定时器\n"
    yield "A value that a key of the configuration sets is shown with its default.\n"
    yield "由配置项决定的值，此处为默认值。\n"
    yield from _table(
        ("what 内容", "seconds 秒", "key 配置项"),
        [
            ("INVITE without any response 对 INVITE 毫无应答", f"{ANSWER_TIMEOUT_MS // 1000}", ""),
            (
                "other request without a final response 其他请求没有最终应答",
                f"{ANSWER_TIMEOUT_MS // 1000}",
                "",
            ),
            ("longest ringing 最长振铃", f"{voice.ring_timeout_s}", "`voice.ring_timeout_s`"),
            ("session interval 会话间隔", f"{voice.session_expires_s}", "`voice.session_expires_s`"),
            ("shortest session interval 最短会话间隔", f"{voice.min_se_s}", "`voice.min_se_s`"),
            ("extra time for a refresh 刷新宽限", f"{SESSION_GRACE_S}", ""),
            (
                "answered call without media 应答后没有媒体",
                f"{voice.media_timeout_s}",
                "`voice.media_timeout_s`",
            ),
            ("longest call 最长通话", f"{binding.max_call_s}", "`binding.max_call_s`"),
            (
                "between two OPTIONS 两次 OPTIONS 的间隔",
                f"{voice.probe_interval_s}",
                "`voice.probe_interval_s`",
            ),
            (
                f"between the {ATTEMPTS} attempts of a BYE 一个 BYE 的 {ATTEMPTS} 次尝试的间隔",
                f"{AGAIN_S:g}",
                "",
            ),
        ],
    )


def _limits() -> Iterable[str]:
    yield "## Limits · 上限\n"
    yield "A message beyond one of these is refused with the status.\n"
    yield "超过其中一项的消息，以该状态码拒绝。\n"
    yield from _table(
        ("what 内容", "at most 最多", "status 状态码"),
        [
            ("octets of a message 一条消息的字节数", f"{MAX_BYTES:,}", "513"),
            ("header lines 消息头行数", f"{MAX_HEADERS}", "513"),
            ("characters of an address 一个地址的字符数", f"{MAX_URI:,}", "400"),
            ("`Record-Route` entries 条目数", f"{MAX_ROUTES}", "513"),
            (
                "characters of Contact, routes, From, To, tags and Call-ID together 合计字符数",
                f"{MAX_LEG:,}",
                "513",
            ),
            ("lines of SDP 行数", f"{MAX_LINES}", "513"),
            ("media in SDP 中的媒体数", f"{MAX_MEDIA}", "513"),
            ("characters of a text message 一条短信的字符数", f"{MAX_TEXT:,}", "513"),
        ],
    )


def _refusals() -> Iterable[str]:
    yield "## Calls that the platform refuses · 本平台拒绝的呼叫\n"
    yield "What each reason means: [call records](records.md).\n"
    yield "各原因的含义见[话单](zh-CN/records.md)。\n"
    statuses: dict[str, SipStatus] = {
        reason.value: sip for table in (SIP_STATUS, EARLY_STATUS) for reason, sip in table.items()
    }
    rows = sorted(statuses.items(), key=lambda item: (item[1].status, item[0]))
    yield from _table(
        ("status 状态码", "phrase 短语", "Q.850", "reason on record 话单原因"),
        [(f"{sip.status}", sip.phrase, f"{sip.q850}", f"`{reason}`") for reason, sip in rows],
    )


def _failures() -> Iterable[str]:
    yield "## Calls that the callee's side ends before an answer · 被叫侧在应答前结束的呼叫\n"
    yield "`+`: if there is a next peer, it gets the call first. Q.850: the cause on record. If a response"
    yield "has a `Reason` of its own, that passes.\n"
    yield "`+`：如果还有下一个对端，先把呼叫交给它。Q.850：话单上的原因值。应答自带的 `Reason` 会通过。\n"
    rows = [_failure("3xx", 302), *(_failure(f"{status}", status) for status in finals())]
    rows += [_failure(f"other 其他 {status // 100}xx", _other(status)) for status in (400, 500, 600)]
    yield from _table(
        ("from the callee 被叫侧", "", "to the caller 主叫侧", "reason on record 话单原因", "Q.850"), rows
    )


def _failure(name: str, status: int) -> tuple[str, ...]:
    reason, cause = failure_of(status)
    passed_on = heard(status)
    said = (
        f"the same 相同, {phrase(passed_on)}"
        if status == _other(status)
        else f"{passed_on} {phrase(passed_on)}"
    )
    return name, "+" if status in PEER_FAILURES else "", said, f"`{reason}`", f"{cause}"


def _ends() -> Iterable[str]:
    yield "## Calls that the platform ends · 本平台结束的呼叫\n"
    yield from _table(
        ("reason on record 话单原因", "Q.850"),
        [(f"`{reason}`", f"{CAUSES[reason]}") for reason in sorted(CAUSES)],
    )


def _messages() -> Iterable[str]:
    yield "## Messages that the platform refuses · 本平台拒绝的短信\n"
    rows = sorted(STATUS.items(), key=lambda item: (item[1], item[0]))
    yield from _table(
        ("status 状态码", "`Retry-After`", "reason 原因"),
        [(f"{status}", _seconds(RETRY_AFTER.get(status)), f"`{reason.value}`") for reason, status in rows],
    )


def _causes() -> Iterable[str]:
    yield "## Causes of Q.850 · Q.850 原因值\n"
    used = {sip.q850 for table in (SIP_STATUS, EARLY_STATUS) for sip in table.values()}
    used |= {failure_of(status)[1] for status in range(300, 700)} | set(CAUSES.values()) | {16}
    yield from _table(
        ("Q.850", "English", "中文"), [(f"{cause}", *_CAUSE_NAMES[cause]) for cause in sorted(used)]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterable[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _mark(passes: bool) -> str:
    return "✓" if passes else "–"


def _seconds(seconds: int | None) -> str:
    return "" if seconds is None else f"{seconds} s"


if __name__ == "__main__":
    sys.stdout.write(page())
