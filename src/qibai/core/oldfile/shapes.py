"""How each source writes a binding. The vendors' shapes are those of their query operations.

A vendor's envelope may stay on; a line may hold a page of bindings. Where a vendor's query does not give back
what the enterprise sent with the bind (OutId, OrderId), exports add it under that name.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from qibai.core.errors import BadRequest
from qibai.core.existing import OldMode
from qibai.core.masking import mask_name
from qibai.core.oldfile.line import MAX_CALL_S, Row, rfc3339, text_of, unix, whole
from qibai.core.pilot import BEIJING

Fields = Mapping[str, Any]
_SECONDS: Final = 10**10


class Shape(StrEnum):
    """Who wrote the file."""

    OWN = "own"
    ALIYUN = "aliyun"  #: QuerySubscriptionDetail: SecretBindDetailDTO
    HUAWEI = "huawei"  #: query of AXB bindings: relationNumList
    VOLCENGINE = "volcengine"  #: QuerySubscription, QuerySubscriptionForList
    TENCENT = "tencent"  #: has no query: GetVirtualNum's Request and Response


#: Our own shape; all but x, a and order_id may be empty.
COLUMNS: Final = (
    "mode",
    "x",
    "y",
    "a",
    "b",
    "order_id",
    "out_id",
    "binding_id",
    "expires_at",
    "scene",
    "province",
    "max_call_s",
)
_OWN: Final = frozenset(COLUMNS)


class _Ended(BadRequest):
    """The vendor says that this binding has ended."""

    code = "binding_ended"


def detect(row: Fields) -> Shape | None:
    """Whose shape it is, by the names that only one of them has."""
    inner = row.get("Result") if isinstance(row.get("Result"), dict) else row
    if "SecretBindDetailDTO" in row or ("PhoneNoX" in row and "SubsId" in row):
        return Shape.ALIYUN
    if "relationNumList" in row or "relationNum" in row:
        return Shape.HUAWEI
    if inner is not row or ("PhoneNoX" in row and "SubId" in row):
        return Shape.VOLCENGINE
    if "VirtualNum" in row or ("Request" in row and "Response" in row):
        return Shape.TENCENT
    return Shape.OWN if "x" in row and "a" in row else None


def unwrap(shape: Shape, row: Fields) -> Sequence[Any]:
    """The bindings of one line, out of their envelope. Raise BadRequest."""
    if shape is Shape.ALIYUN:
        return [row.get("SecretBindDetailDTO", row)]
    if shape is Shape.HUAWEI:
        return _list(row, "relationNumList") if "relationNumList" in row else [row]
    if shape is Shape.VOLCENGINE:
        result = row.get("Result", row)
        if isinstance(result, dict):
            for name in ("Records", "List", "Subscriptions"):
                if name in result:
                    return _list(result, name)
        return result if isinstance(result, list) else [result]
    if shape is Shape.TENCENT and "Request" in row and "Response" in row:
        both = (row["Request"], row["Response"])
        if not all(isinstance(part, dict) for part in both):
            raise BadRequest("Request and Response have to be objects")
        return [{**row, **both[0], **both[1]}]
    return [row]


def _list(row: Fields, name: str) -> Sequence[Any]:
    found = row[name]
    if not isinstance(found, list):
        raise BadRequest("this has to be a list", field=name)
    return found


def _own(row: Fields) -> Row:
    if not row.keys() <= _OWN:
        strange = sorted(mask_name(name, 20) for name in row if name not in _OWN)
        raise BadRequest(f"unknown columns: {', '.join(strange)}")
    said = {name: text_of(row, name) for name in row}.get  # most columns are not there, in most exports
    end, mode = said("expires_at"), said("mode")
    if mode is not None and mode not in OldMode.__members__:
        raise BadRequest(f"the mode is one of {', '.join(OldMode)}", field="mode")
    return Row(
        said("x"),
        said("a"),
        said("b"),
        said("y"),
        None if mode is None else OldMode(mode),
        said("order_id"),
        said("out_id"),
        said("binding_id"),
        None if end is None else rfc3339(end, "expires_at"),
        said("scene"),
        said("province"),
        whole(row, "max_call_s") if "max_call_s" in row else None,
    )


def _aliyun(row: Fields) -> Row:
    if text_of(row, "Status") == "0":
        raise _Ended
    if text_of(row, "Extension"):
        raise BadRequest(
            "bindings with an extension cannot be moved: 700 has no such mode", field="Extension"
        )
    if text_of(row, "GroupId") not in (None, "0"):
        raise BadRequest("this export does not have the members of the group; add them", field="GroupId")
    end = text_of(row, "ExpireDate")
    return Row(
        text_of(row, "PhoneNoX"),
        text_of(row, "PhoneNoA"),
        text_of(row, "PhoneNoB"),
        mode=OldMode.AXN if (text_of(row, "ProductType") or "").startswith("AXN") else None,
        order_id=text_of(row, "OrderId", "OutOrderId"),
        out_id=text_of(row, "OutId"),
        vendor_id=text_of(row, "SubsId"),
        expires_at=None if end is None else _beijing(end, "ExpireDate"),
    )


def _huawei(row: Fields) -> Row:
    if text_of(row, "extendNum"):
        raise BadRequest(
            "bindings with an extension cannot be moved: 700 has no such mode", field="extendNum"
        )
    if text_of(row, "callDirection") not in (None, "0"):
        raise BadRequest(
            "a one-way binding cannot be moved: with 700 numbers both parties could call",
            field="callDirection",
        )
    began, lasts = text_of(row, "subscribeTime"), whole(row, "duration", most=_SECONDS)
    end = None
    if began is not None and lasts:
        end = rfc3339(began, "subscribeTime") + timedelta(seconds=lasts)
    minutes = whole(row, "maxDuration", most=MAX_CALL_S // 60)
    return Row(
        text_of(row, "relationNum"),
        text_of(row, "callerNum"),
        text_of(row, "calleeNum"),
        order_id=text_of(row, "orderId"),
        out_id=text_of(row, "userData"),
        vendor_id=text_of(row, "subscriptionId"),
        expires_at=end,
        max_call_s=minutes * 60 if minutes else None,
    )


def _volcengine(row: Fields) -> Row:
    if text_of(row, "Status") not in (None, "1"):
        raise _Ended
    end = whole(row, "ExpireTime", most=_SECONDS)
    return Row(
        text_of(row, "PhoneNoX"),
        text_of(row, "PhoneNoA"),
        text_of(row, "PhoneNoB"),
        text_of(row, "PhoneNoY"),
        order_id=text_of(row, "OrderId"),
        out_id=text_of(row, "OutId", "UserData"),
        vendor_id=text_of(row, "SubId"),
        expires_at=unix(end, "ExpireTime") if end else None,
    )


def _tencent(row: Fields) -> Row:
    if (failed := text_of(row, "ErrorCode")) not in (None, "0"):
        raise BadRequest(f"it was never bound (ErrorCode {failed[:10] if failed else ''})", field="ErrorCode")
    began, lasts = text_of(row, "AssignTime"), whole(row, "MaxAssignTime", most=_SECONDS)
    end = None
    if began is not None:
        end = rfc3339(began, "AssignTime") + timedelta(seconds=lasts or 86_400)
    return Row(
        text_of(row, "VirtualNum"),
        text_of(row, "Src"),
        text_of(row, "Dst"),
        order_id=text_of(row, "OrderId"),
        out_id=text_of(row, "BizId"),
        vendor_id=text_of(row, "BindId"),
        expires_at=end,
    )


def _beijing(text: str, field: str) -> datetime:
    """``2026-12-31 12:00:00`` without an offset is Beijing time there."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest("a time as 2026-12-31 12:00:00 is needed", field=field) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=BEIJING)


READERS: Final[dict[Shape, Callable[[Fields], Row]]] = {
    Shape.OWN: _own,
    Shape.ALIYUN: _aliyun,
    Shape.HUAWEI: _huawei,
    Shape.VOLCENGINE: _volcengine,
    Shape.TENCENT: _tencent,
}
