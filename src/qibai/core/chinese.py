"""What each stable code says in Chinese; in English that is the docstring of its class."""

from typing import Final

from qibai.core.catalogue import chinese

#: By stable code.
SENTENCES: Final[dict[str, str]] = {
    "error": "平台内部出错，已记入日志。",
    "usage": "命令用法不对，见 --help。",
    "system": "本机的文件或系统调用出错。",
    # numbers
    "number_malformed": "这不是可以识别的号码。",
    "number_700_malformed": "700 号码应写成 700 加十二位数字。",
    "code_malformed": "码号应写成 700 加八位数字。",
    "number_foreign": "绑定方只能是中国大陆号码；这是境外号码。",
    "number_700_as_party": "700 号码不能作为绑定的一方。",
    "number_not_mobile": "绑定方只能是手机号码；这不是手机号码。",
    "number_foreign_digits": "号码请用 0 到 9 的数字书写。",
    "number_not_allowed": "这个名称中含有真实号码。名称和编号以明文保存，请换一个。",
    "name_invalid": "名称应为 1 到 64 个可见字符，首尾不能有空格。",
    "province_unknown": "不是试点省份；请写省份名称或行政区划代码。",
    # bindings
    "request_invalid": "请求的格式与文档不符。",
    "party_repeated": "同一个真实号码在一个绑定中出现了两次。",
    "group_size": "一个组有 1 到 200 个成员。",
    "mode_mismatch": "这与绑定的模式不符。",
    "lifetime_invalid": "有效期必须大于零，且不超过配置的上限。",
    "pool_exhausted": "这些号码已没有可用的 700 号码；请解绑或增加码号。",
    "no_codes": "该租户没有分配到码号；请运营方添加。",
    "no_code_for_province": "该租户在该省没有已开通的码号。",
    "policy_refused": "试点规则或运营方规则不允许：`rule` 指明规则，`document` 指明出处。",
    "quota_exceeded": "该租户的有效绑定已达配额；请解绑一些，或联系运营方。",
    "number_not_owned": "指定的号码不属于该租户的码号。",
    "number_taken": "指定的号码对这些绑定方不可用。",
    "binding_not_found": "该租户没有这个绑定。",
    "binding_ended": "绑定已到期或已解绑；请重新绑定。",
    "call_not_found": "该租户没有这个通话。",
    "message_not_found": "该租户没有这条短信。",
    "call_ended": "通话已经结束。",
    "order_mismatch": "该绑定不属于这个订单。",
    "not_a_party": "这个真实号码不是该绑定的一方。",
    "direction_forbidden": "该绑定不允许这一方发短信。",
    "content_blocked": "短信内容含有真实号码，短信策略不允许。",
    "idempotency_mismatch": "这个 Idempotency-Key 已用于另一个请求；请换一个。",
    # access
    "unauthenticated": "请提供有效的 API 密钥或签名。",
    "signature_invalid": "签名与请求不符。",
    "signature_expired": "签名时间与服务器时间相差超过五分钟。",
    "signature_replayed": "这个签名请求已经收到过；请用新的 nonce 重新签名。",
    "tenant_disabled": "该租户已停用；请联系运营方。",
    "tenant_not_found": "没有这个租户。",
    "forbidden": "这个 API 密钥的角色无权这样做。",
    "resource_not_found": "没有这个名称或编号的应用平台、批文、证书、码号或锁定。",
    "step_refused": "当前状态下不能进行这一步。",
    "sub_lease_refused": "一个应用平台的号码不能转给另一个应用平台。",
    "conflict": "已经存在。",
    # HTTP
    "not_found": "这个地址没有内容。",
    "method_not_allowed": "这个地址不接受该方法；见响应头 Allow。",
    "body_too_large": "请求体太大。",
    "https_required": "密钥只能通过 HTTPS 或在本机使用；请用 HTTPS，或对请求签名。",
    "overloaded": "等待的请求太多；请稍后再试。",
    "headers_too_large": "请求行和请求头过多或过长：最多 100 个请求头，共 32 KiB。",
    "request_timeout": "请求没有按时完整到达。",
    "media_type_unsupported": "请求体不是 UTF-8 的 JSON；请写 `Content-Type: application/json`。",
    "rate_limited": "这个密钥请求过于频繁；见响应头 `RateLimit-Limit` 和 `Retry-After`。",
    # acts that are answered for
    "audit_broken": "审计记录被改动过。",
    "audit_unanchored": "此操作未执行：审计记录无法锚定；故障排除后请重试。",
    "second_person_required": "需要另一个人先审批。",
    "trace_limited": "每人按一方的真实号码溯源，每小时最多 10 次，每天最多 30 次；见响应头 `Retry-After`。",
    "request_not_found": "没有这个待审批的请求。",
    "request_over": "这个请求已审批、已使用或已过期；请重新提出。",
    "same_person": "请求人不能审批自己的请求；须由另一人用早于该请求的密钥审批。",
    # messages
    "sip_malformed": "这条 SIP 消息无法读取。",
    "text_malformed": "短信文本不能按其编码读写。",
    "token_unread": "这个对话令牌需要本机还没有的密钥；请稍后再试。",
    "token_invalid": "这个对话令牌不是本平台签发的、被改动过，或其密钥已不在。",
    # parts of the platform
    "unavailable": "平台的某个部分没有应答；请稍后再试。",
    "store_unavailable": "数据库没有应答；请稍后再试。",
    "key_unknown": "这项内容需要本机还没有的密钥；请稍后再试。",
    "config_invalid": "配置有错误。",
    "backup_broken": "备份不完整，或被改动过。",
    "backup_failed": "备份或恢复没有成功。",
    "key_file": "密钥文件不在、无法读取，或其他用户可以读取。",
    "seal_broken": "保存的内容无法解密：密钥文件不对，或数据已损坏。",
    "schema": "数据库结构与本版本不符；请运行 `qibai migrate`。",
}

#: By HTTP status: the title of a problem.
TITLES: Final = {
    400: "请求有误",
    401: "未认证",
    403: "禁止",
    404: "不存在",
    405: "方法不允许",
    408: "请求超时",
    409: "冲突",
    413: "内容过大",
    415: "不支持的媒体类型",
    422: "内容无法处理",
    429: "请求过多",
    431: "请求头过大",
    500: "内部错误",
    503: "服务不可用",
}


def in_chinese(code: str, message: str, usual: str) -> str:
    """The message in Chinese; ``usual`` is the code's own sentence in English.

    A message that the catalogue does not know follows the code's sentence, so that nothing is lost.
    """
    sentence = SENTENCES.get(code)
    if sentence is not None and (not message or message == usual):
        return sentence
    translated = chinese(message)
    return translated if sentence is None or translated != message else f"{sentence}（{message}）"
