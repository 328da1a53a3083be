"""What is counted since somebody may miss it: of text messages (the gateway), and of calls."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Loss(NamedTuple):
    """``says``: of the counter ``qibai_<name>_total``; ``mend``: what an operator does about it.

    ``mild``: nothing is lost that anybody was promised; ``doctor`` warns and does not fail. ``usual``: it
    happens without a fault as well; ``doctor`` says nothing.
    """

    says: str
    mend: str
    mild: bool = False
    usual: bool = False


LOSSES: Final[Mapping[str, Loss]] = {
    "receipts_unread": Loss(
        "Receipts that were acknowledged and could not be read.",
        "look for receipt_unread in the gateway's log; ask the peer how it writes receipts",
    ),
    "receipts_unmatched": Loss(
        "Receipts that fitted no message of ours within a day.",
        "set receipt_ids of the link, if the peer writes one id in two ways",
    ),
    "parts_in_doubt": Loss(
        "Parts of messages that went out and were not answered in time.",
        "see why the peer is slow; raise answer_s of its link if it has to be",
    ),
    "messages_unanswered": Loss(
        "Messages that went out twice without an answer and ended as unknown.",
        "see why the peer does not answer; its link may need another window or rate",
    ),
    "parts_missing": Loss(
        "Parts of long messages that ended without the rest of their message.",
        "raise messaging.parts_wait_s, if the rest comes later",
    ),
    "reports_undelivered": Loss(
        "Senders' peers that never took the receipt of a message that had ended.",
        "see that the peer binds, and takes deliver_sm or Deliver",
    ),
    "messages_unopened": Loss(
        "Messages that ended since their text or number could not be decrypted.",
        "give the gateway this database's key file",
    ),
    "messages_unstorable": Loss(
        "Messages that ended as unknown, since PostgreSQL did not take what a peer had said of them.",
        "see the gateway's log; the peer writes ids or errors that no text can hold",
    ),
    "journal_unwritten": Loss(
        "Answers of peers that the journal could not take; after a crash they are not known.",
        "free space on the disk of the spool",
    ),
    "journal_damaged": Loss(
        "Lines of the journal that could not be read after a crash.",
        "see the gateway's log; the messages concerned end as unknown or are sent again",
    ),
}

#: Counted by Kamailio's workers and by the recorder. A new name goes to the end: files count by place.
CALL_LOSSES: Final[Mapping[str, Loss]] = {
    "call_events_lost": Loss(
        "Events of calls that the spool could not take: records lack what they say.",
        "make room on the disk of the spool, or mend it",
    ),
    "calls_refused_full": Loss(
        "Calls that were refused with 503 and without a record, since the spool had no room or failed.",
        "make room on the disk of the spool, or mend it",
    ),
    "call_rows_refused": Loss(
        "Records of calls that the database would not take.",
        "see the recorder's log; the events stay in the spool for recorder.keep_spool_s",
    ),
    "spool_lines_damaged": Loss(
        "Lines of the spool that could not be read.",
        "see that the disk is sound; a line is torn when its writer is killed in mid-write",
    ),
    "refusals_unrecorded": Loss(
        "Refused calls without a record: too many of a source in a minute, or a spool without room.",
        "see Kamailio's log for the source; block it before Qibai, or raise voice.refused_records_per_minute",
        mild=True,
    ),
    "replies_of_strangers": Loss(
        "SIP replies that were dropped, since their sender is no peer.",
        "see Kamailio's log for the sender; if it is a peer's other address, add it to the peer's networks",
        mild=True,
    ),
    "replies_unmatched": Loss(
        "SIP replies that were dropped, since they belong to no transaction; late repetitions do.",
        "nothing, unless it grows with each call",
        usual=True,
    ),
    "requests_of_strangers": Loss(
        "SIP requests within calls that were refused, since their sender is no peer.",
        "see Kamailio's log for the sender; if it is a peer's other address, add it to the peer's networks",
        mild=True,
    ),
    "requests_unanswerable": Loss(
        "SIP messages that Kamailio dropped unread: no SIP/2.0, or without Via, From, To, Call-ID or CSeq.",
        "see which peer sends them: Kamailio's log has the time of each",
        mild=True,
    ),
    "routes_outlived": Loss(
        "Routes that led to somebody although their binding was over, until the sweep ended them.",
        "find out who else writes to the database (a restore, edits by hand); if nobody does, report it",
    ),
}
