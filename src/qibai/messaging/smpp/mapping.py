"""submit_sm and deliver_sm as the gateway's types, and back. What is not named here is not passed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import smpp34

from qibai.config import MessageLink
from qibai.core.text import BadText, Concat, Part, read_udh, room, write_udh
from qibai.messaging.link import Outgoing, Received, Report
from qibai.messaging.smpp.coding import encoding_of, write_text
from qibai.messaging.smpp.receipts import ESM_RECEIPT, write_report
from qibai.messaging.smpp.status import Status
from qibai.messaging.smpp.wire import Tag
from qibai.messaging.stream.session import BadPdu
from qibai.messaging.stream.times import read_time, write_validity

_ESM_TYPE: Final = 0x3C  #: what kind of message: 0 for one that somebody wrote
_ESM_UDHI: Final = 0x40

_SAR: Final = (Tag.SAR_MSG_REF_NUM, Tag.SAR_TOTAL_SEGMENTS, Tag.SAR_SEGMENT_SEQNUM)
#: The parameters that are read. All others stop here; one may carry a number (callback_num, subaddresses …).
_READ: Final = frozenset({*_SAR, Tag.MESSAGE_PAYLOAD})

_MAX_SHORT: Final = 254  #: octets in short_message
_RECEIPT: Final = 0x03
_INTERNATIONAL: Final = (1, 1)  #: type of number, numbering plan: E.164
_NATIONAL: Final = (2, 1)

Sm = smpp34.SubmitSm | smpp34.DeliverSm


def read_sm(frame: bytes) -> Sm:
    """A whole submit_sm or deliver_sm. Raise BadPdu."""
    try:
        sm = smpp34.decode(frame)
    except smpp34.SmppError:
        raise BadPdu(Status.RINVPARLEN) from None
    if not isinstance(sm, smpp34.SubmitSm | smpp34.DeliverSm):
        raise BadPdu(Status.RINVCMDID)
    # The library leaves out parameters that it cannot read. Up to three octets too many are tolerated.
    if len(frame) - len(sm.encode()) >= 4:
        raise BadPdu(Status.RINVOPTPARSTREAM)
    return sm


def read_message(sm: Sm, link: str, ref: str, now: datetime, alphabet: str = "gsm") -> Received:
    """Raise BadPdu with the answer to a message that we do not take; ``alphabet``: of data_coding 0."""
    if sm.esm_class & _ESM_TYPE:  # an acknowledgement by a handset, or worse
        raise BadPdu(Status.RINVESMCLASS)
    if sm.schedule_delivery_time:
        raise BadPdu(Status.RINVSCHED)
    if sm.replace_if_present_flag:
        raise BadPdu(Status.RINVREPFLAG)
    try:
        valid_until = read_time(sm.validity_period, now)
    except (ValueError, OverflowError):
        raise BadPdu(Status.RINVEXPIRY) from None
    registered = sm.registered_delivery & _RECEIPT
    return Received(
        link=link,
        ref=ref,
        source=_read_address(sm.source_addr_ton, sm.source_addr),
        destination=_read_address(sm.dest_addr_ton, sm.destination_addr),
        part=_read_part(sm, alphabet),
        wants_receipt=registered in (1, 3),
        wants_failures=registered == 2,
        valid_until=valid_until,
    )


def _read_part(sm: Sm, alphabet: str) -> Part:
    tlvs = {tlv.tag: tlv.value for tlv in sm.tlvs if tlv.tag in _READ}
    data = sm.short_message
    if Tag.MESSAGE_PAYLOAD in tlvs:
        if data:
            raise BadPdu(Status.RINVOPTPARAMVAL)
        data = tlvs[Tag.MESSAGE_PAYLOAD]
    concat = _read_sar(tlvs)
    if sm.esm_class & _ESM_UDHI:
        try:
            place, data = read_udh(data)
        except BadText:
            raise BadPdu(Status.RINVMSGLEN) from None
        concat = place or concat
    encoding = encoding_of(sm.data_coding, data, alphabet)
    if encoding is None:
        raise BadPdu(Status.RINVMSGLEN)
    return Part(data, encoding, concat)


def _read_sar(tlvs: Mapping[int, bytes]) -> Concat | None:
    if not set(_SAR) <= tlvs.keys():
        return None
    ref, total, seq = (int.from_bytes(tlvs[tag][:4], "big") for tag in _SAR)
    if total <= 1 and seq <= 1:
        return None  # 0 of 0, as some write it into every message
    if ref > 0xFFFF or not 1 <= seq <= total <= 255:
        raise BadPdu(Status.RINVOPTPARAMVAL)
    return Concat(ref, total, seq, wide=True)


def _read_address(ton: int, address: str) -> str:
    """As the peer wrote it. ``ton`` 1 makes a number international, but only 86 is a country here: many
    peers write 1 with whatever number they have."""
    address = address.strip()
    return f"+{address}" if ton == 1 and address.startswith("86") else address


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes for one link; ``pdu``: smpp34.SubmitSm as client, DeliverSm as server."""

    link: MessageLink
    pdu: type[Any]

    def message(self, outgoing: Outgoing, now: datetime) -> bytes:
        """The PDU for one part, without a sequence number."""
        part, concat = outgoing.part, outgoing.part.concat
        data_coding, data = write_text(part, self.link.alphabet)
        esm_class, tlvs = 0, []
        if concat and self.link.long == "sar":
            values = concat.ref.to_bytes(2, "big"), bytes((concat.total,)), bytes((concat.seq,))
            tlvs += [smpp34.Tlv(tag, value) for tag, value in zip(_SAR, values, strict=True)]
        elif concat:
            esm_class, data = _ESM_UDHI, write_udh(concat) + data
        whole = self.link.long == "payload" and len(part.data) > room(part.encoding)
        if whole or len(data) > _MAX_SHORT:
            tlvs.append(smpp34.Tlv(Tag.MESSAGE_PAYLOAD, data))
            data = b""
        submits = self.pdu is smpp34.SubmitSm
        return self._write(
            outgoing.source,
            outgoing.destination,
            data,
            esm_class=esm_class,
            data_coding=data_coding,
            validity_period=write_validity(outgoing.valid_until, now) if submits else "",
            registered_delivery=1 if submits else 0,
            tlvs=tlvs,
        )

    def report(self, report: Report) -> bytes:
        text, tlvs = write_report(report)
        return self._write(report.source, report.destination, text, esm_class=ESM_RECEIPT, tlvs=tlvs)

    def _write(self, source: str, destination: str, data: bytes, **fields: Any) -> bytes:
        source_type, source_digits = self._address(source)
        dest_type, dest_digits = self._address(destination)
        sm = self.pdu(
            source_addr=source_digits,
            destination_addr=dest_digits,
            short_message=data,
            service_type=self.link.service,
            source_addr_ton=source_type[0],
            source_addr_npi=source_type[1],
            dest_addr_ton=dest_type[0],
            dest_addr_npi=dest_type[1],
            **fields,
        )
        encoded: bytes = sm.encode()
        return encoded

    def _address(self, number: str) -> tuple[tuple[int, int], str]:
        """A 700 number is national everywhere; a real one as the link's ``number_format`` says."""
        if number.startswith("+86") and self.link.number_format == "national":
            return _NATIONAL, number[3:]
        if number.startswith("+"):
            return _INTERNATIONAL, number[1:]
        return _NATIONAL, number
