"""Reading the audit trail."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from litestar import get
from litestar.params import Parameter

from qibai.api.admin import models
from qibai.api.admin.common import read
from qibai.api.decode import instant, no_nulls
from qibai.api.request import Asking
from qibai.core.roles import Action
from qibai.core.trail import Entry
from qibai.service import trail

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUL: Final = r"^[^\x00]+$"


@get(
    "/v1/admin/audit",
    operation_id="list_audit",
    summary="Read the audit trail",
    tags=["admin"],
    opt={"action": Action.AUDIT_READ},
)
async def list_audit(  # noqa: PLR0917  # Litestar calls it by name
    request: Asking,
    actor: Annotated[
        str | None,
        Parameter(description="Only by this person, or `tenant:NAME`.", max_length=100, pattern=_NUL),
    ] = None,
    action: Annotated[Action | None, Parameter(description="Only this action.")] = None,
    subject: Annotated[
        str | None,
        Parameter(description="Only on this, such as `tenant:acme`.", max_length=100, pattern=_NUL),
    ] = None,
    since: Annotated[
        str | None, Parameter(description="Only from then on.", schema_extra={"format": "date-time"})
    ] = None,
    until: Annotated[
        str | None, Parameter(description="Only before.", schema_extra={"format": "date-time"})
    ] = None,
    cursor: Annotated[int | None, Parameter(description="`next_cursor` of the page before.", ge=1)] = None,
    limit: Annotated[int, Parameter(description="How many at most.", ge=1, le=1000)] = 100,
) -> models.AuditPage:
    """Who did what, the latest first, with the digests that chain the entries."""
    no_nulls(request.scope["query_string"], "actor", "action", "subject", "cursor")

    first = None if since is None else instant(since, "since")
    end = None if until is None else instant(until, "until")
    found, head = await read(
        request,
        lambda conn: trail.read(
            conn,
            before=None if cursor is None else min(cursor, 2**62),
            actor=actor,
            action=action,
            subject=subject,
            since=first,
            until=end,
            limit=limit + 1,
        ),
    )
    items = [_model(entry) for entry in found[:limit]]
    return models.AuditPage(
        items=items, head=str(head), next_cursor=items[-1].seq if len(found) > limit else None
    )


def _model(entry: Entry) -> models.AuditEntry:
    return models.AuditEntry(
        seq=entry.seq,
        at=_EPOCH + timedelta(microseconds=entry.at_us),
        at_us=entry.at_us,
        actor=entry.actor,
        role=entry.role,
        via=entry.via,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
        prev=entry.prev.hex(),
        hash=entry.hash.hex(),
    )


HANDLERS: Final = (list_audit,)
