"""What one Kamailio process holds: configuration, keys, its database session, its spool file, the peers."""

import time
from functools import lru_cache
from pathlib import Path

import msgspec

from qibai.config import Config
from qibai.core.errors import StoreUnavailable
from qibai.core.events import CallEvent, CallEventKind
from qibai.core.ids import new_id
from qibai.core.numbering import Msisdn, Number700
from qibai.core.routing import Decision, Policy, Refusal, RefusalReason, Route, decide, no_policy
from qibai.core.sip import Endpoint
from qibai.core.sip.address import read_uri
from qibai.core.sip.identity import Transport
from qibai.store import dsn, read_dsn
from qibai.store.keys import Keyring, binding_aad
from qibai.store.routes import RouteReader
from qibai.store.spool import SpoolWriter
from qibai.voice.calls import Call
from qibai.voice.peers import Peers


def save_snapshot(config: Config, path: Path) -> None:
    """Write the configuration for the workers, so that they and kamailio.cfg are of one mind."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(config, enc_hook=str))


def load_snapshot(path: Path) -> Config:
    return msgspec.json.decode(path.read_bytes(), type=Config, dec_hook=lambda kind, value: kind(value))


class Worker:
    """Made after the fork, once a process; nothing in it blocks for longer than the store's deadlines."""

    def __init__(self, config: Config, policy: Policy = no_policy) -> None:
        self.voice = config.voice
        self.node = config.node
        self.keys = Keyring.load(config.key_file)
        self.peers = Peers(config)
        self.reader = RouteReader(
            read_dsn(config), self.keys, config.store.statement_timeout_ms, write_dsn=dsn(config)
        )
        self._spool = SpoolWriter(config.spool_dir, "voice")
        self._policy = policy
        host, voice = config.voice.host, config.voice
        ports: dict[Transport, int] = {"udp": voice.udp_port, "tcp": voice.tcp_port, "tls": voice.tls_port}
        self._endpoints = {kind: Endpoint(host, port, kind) for kind, port in ports.items() if port}
        self.local = frozenset({"127.0.0.1", "::1", host})

    def endpoint(self, transport: str) -> Endpoint:
        """Our own address on ``transport``."""
        found = self._endpoints.get(transport)  # type: ignore[call-overload]
        return found or next(iter(self._endpoints.values()))

    def endpoint_towards(self, uri: str) -> Endpoint:
        """Our own address as the next hop ``uri`` sees it."""
        return self.endpoint(_transport_of(uri))

    def owns(self, via: str) -> bool:
        """Whether a Via value is one of ours: then a message has come round."""
        return any(f" {here.host}:{here.port};" in via for here in self._endpoints.values())

    def decide(self, called: Number700 | None, caller: Msisdn | None, now: float) -> Decision:
        """Where a call goes. A store that does not answer is a refusal too, and never a delay."""
        if called is None:
            return Refusal(RefusalReason.NUMBER_MALFORMED)
        if caller is None:
            return Refusal(RefusalReason.CALLER_UNKNOWN)
        try:
            record = self.reader.find(called, caller)
            in_use = record is None and self.reader.number_in_use(called, now)
        except StoreUnavailable:
            return Refusal(RefusalReason.STORE_UNAVAILABLE)
        return decide(called, caller, record, now, number_in_use=in_use, policy=self._policy)

    def write(self, event: CallEvent) -> None:
        self._spool.append(event)

    def event(self, kind: CallEventKind, call: Call, **facts: object) -> None:
        """One event of a call that was connected, now."""
        self.write(
            CallEvent(
                kind=kind,
                code=call.code,
                call_id=call.call_id,
                at=time.time(),
                node=self.node,
                **facts,  # type: ignore[arg-type]
            )
        )

    def connected(self, route: Route, now: float) -> CallEvent:
        """The event of a decision that connects."""
        record = route.record
        return CallEvent(
            kind=CallEventKind.DECIDED,
            code=record.called.code.value,
            call_id=new_id(),
            at=now,
            node=self.node,
            tenant_id=record.tenant_id,
            binding_id=record.binding_id,
            called=record.called.serial,
            shown=record.shown.serial,
            caller=record.caller_sealed,
            callee=record.callee_sealed,
            max_call_s=route.max_call_s,
        )

    def refused(
        self, refusal: Refusal, called: Number700 | None, caller: Msisdn | None, now: float
    ) -> CallEvent:
        """The event of a decision that connects nobody."""
        code, call_id = (called.code.value if called else -1), new_id()
        return CallEvent(
            kind=CallEventKind.DECIDED,
            code=code,
            call_id=call_id,
            at=now,
            node=self.node,
            called=called.serial if called else None,
            caller=self.keys.seal(str(caller), binding_aad(code, call_id)) if caller else None,
            sip_status=refusal.sip.status,
            q850=refusal.sip.q850,
            reason=refusal.reason,
        )


@lru_cache(maxsize=1024)
def _transport_of(uri: str) -> str:
    parts = read_uri(uri)
    if parts is None:
        return "udp"
    return "tls" if parts.scheme == "sips" else parts.params.get("transport", "udp").lower()
