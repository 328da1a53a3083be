"""``/v1/message-policy``: what a tenant wants done with the text of its customers' messages."""

from typing import Annotated, Final

import msgspec
from litestar import get, put
from msgspec import Meta

from qibai.api.admin.common import perform
from qibai.api.decode import decode
from qibai.api.gate import asked
from qibai.api.request import Asking, services_of
from qibai.core.content import MAX_TIMEOUT_MS, MAX_URL, ContentPolicy, Hook, NumbersInText, OnTimeout
from qibai.core.roles import Action
from qibai.service import message_policy as service

TimeoutMs = Annotated[int, Meta(ge=100, le=MAX_TIMEOUT_MS, description="How long the hook may take.")]


class MessagePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with a text before it goes on."""

    numbers: Annotated[
        NumbersInText,
        Meta(description="When it holds a real number: star it, refuse the text, or let it pass."),
    ]
    hook: Annotated[Hook, Meta(description="Then: let it go on, refuse it, or ask `url`.")]
    url: Annotated[str, Meta(description="Your service that `ask` asks.")] | None
    timeout_ms: TimeoutMs
    on_timeout: Annotated[OnTimeout, Meta(description="When your service gives no answer in time.")]


class PolicyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole policy; what is left out gets its default."""

    numbers: NumbersInText = NumbersInText.MASK
    hook: Hook = Hook.FORWARD
    url: Annotated[str, Meta(max_length=MAX_URL, examples=["https://shop.example/check"])] | None = None
    timeout_ms: TimeoutMs = 2_000
    on_timeout: OnTimeout = OnTimeout.BLOCK
    new_secret: Annotated[bool, Meta(description="Make a new signing secret.")] = False


class PolicySet(MessagePolicy, frozen=True, kw_only=True):
    """The policy from now on, and the secret that your service verifies questions with."""

    secret: Annotated[str, Meta(description="By Standard Webhooks.", examples=["whsec_…"])]


_REQUEST: Final = msgspec.json.Decoder(PolicyRequest)


@get(
    "/v1/message-policy",
    operation_id="get_message_policy",
    summary="Get the message policy",
    tags=["messages"],
    opt={"action": Action.MESSAGE_POLICY},
)
async def get_message_policy(request: Asking) -> MessagePolicy:
    """The tenant's policy, or the default."""
    tenant_id = asked(request.scope).principal.tenant_id
    async with services_of(request).connections.get() as conn:
        found = (await service.get_policy(conn, tenant_id)).policy
    return MessagePolicy(
        numbers=found.numbers,
        hook=found.hook,
        url=found.url,
        timeout_ms=found.timeout_ms,
        on_timeout=found.on_timeout,
    )


@put(
    "/v1/message-policy",
    operation_id="set_message_policy",
    summary="Set the message policy",
    tags=["messages"],
    opt={"action": Action.MESSAGE_POLICY, "body": PolicyRequest},
)
async def set_message_policy(request: Asking) -> PolicySet:
    """For every message from now on."""
    who = asked(request.scope)
    wish = decode(_REQUEST, who.body)
    policy = ContentPolicy(wish.numbers, wish.hook, wish.url, wish.timeout_ms, wish.on_timeout)
    tenant_id, name = who.principal.tenant_id, who.principal.actor.name.removeprefix("tenant:")
    secret = await perform(
        request,
        lambda desk: service.set_policy(desk, tenant_id, name, policy, new_secret=wish.new_secret),
    )
    return PolicySet(
        numbers=policy.numbers,
        hook=policy.hook,
        url=policy.url,
        timeout_ms=policy.timeout_ms,
        on_timeout=policy.on_timeout,
        secret=secret,
    )


HANDLERS: Final = (get_message_policy, set_message_policy)
