"""``/v1/translations``: the routing decision for networks that ask, by the same rule as in a call."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from litestar import post

from qibai.api import models
from qibai.api.decode import decode
from qibai.api.gate import asked
from qibai.api.request import Asking, services_of
from qibai.core.errors import BadNumber
from qibai.core.existing import read_dialled
from qibai.core.numbering import Msisdn
from qibai.core.pilot import document_of
from qibai.core.roles import Action
from qibai.core.routing import Refusal
from qibai.service.translation import Translated

_REQUEST: Final = msgspec.json.Decoder(models.TranslationRequest)
_Number = TypeVar("_Number")


@post(
    "/v1/translations",
    operation_id="translate",
    summary="Where would a call go?",
    tags=["translations"],
    status_code=200,
    opt={"action": Action.TRANSLATE, "body": models.TranslationRequest},
)
async def translate(request: Asking) -> models.Translation:
    """The decision as a network would get it by SIP, real number included: for network keys only."""
    who, services = asked(request.scope), services_of(request)
    wanted = decode(_REQUEST, who.body)
    called, caller = _read(read_dialled, wanted.called), _read(Msisdn.parse, wanted.caller)
    found = await services.translator.translate(called, caller)
    services.key_reads.add(who.principal, int(isinstance(found, Translated)))
    return _model(found)


def _read(parse: Callable[[str], _Number], text: str) -> _Number | None:
    try:
        return parse(text)
    except BadNumber:
        return None


def _model(found: Translated | Refusal) -> models.Translation:
    if isinstance(found, Translated):
        return models.Translation(
            decision="connect",
            callee=found.callee.e164,
            shown=str(found.shown),
            max_call_s=found.max_call_s,
        )
    sip = found.sip
    return models.Translation(
        decision="refuse",
        reason=found.reason.value,
        rule=found.rule,
        document=document_of(found.rule),
        sip_status=sip.status,
        phrase=sip.phrase,
        q850=sip.q850,
    )


HANDLERS: Final = (translate,)
