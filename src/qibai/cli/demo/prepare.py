"""What the demo's call needs: a running platform with two peers, a tenant, a code, a key, a binding."""

import socket
from dataclasses import dataclass
from typing import Any, Final

from qibai import config as configuration
from qibai.cli import login
from qibai.cli.desk import perform_as
from qibai.cli.init import make_home
from qibai.cli.output import done, note
from qibai.cli.reference import sample
from qibai.cli.remote import remote
from qibai.cli.up import start
from qibai.config import Config, Peer, VoiceConfig
from qibai.core.errors import ConfigError, Conflict, SecondPersonRequired, TenantNotFound
from qibai.core.numbering import Code
from qibai.core.roles import Action, Role
from qibai.service import codes
from qibai.service import tenants as service
from qibai.service.desk import Desk
from qibai.settings.needed import MediaRange
from qibai.store import tenants
from qibai.store.actors import Actor
from qibai.store.dual_rule import needed
from qibai.supervise import portuse
from qibai.testing.ports import free_port, media_ports

CALLER: Final = "+8613800138000"
CALLEE: Final = "+8613900139000"
TENANT: Final = "demo"
CODE: Final = Code(12_345_678)
PEER: Final = "demo-callee"
_MEDIA_PORTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Ready:
    """The platform, ready for the call."""

    config: Config
    peer: Peer
    api_key: str
    binding: dict[str, Any]


def prepare(config: Config, actor: Actor, *, quiet: bool) -> Ready:
    """Raise ConfigError when this home is not for demos, or whatever kept the platform from starting."""
    if not config.file.exists():
        make_home(config, _toml())
        config = configuration.load(config.home)
    peer = next((one for one in config.voice.peers if one.name == PEER), None)
    if peer is None:
        raise ConfigError(
            f"{config.file} has no peer {PEER}; run the demo in a home of its own: qibai --home DIR demo"
        )
    if not quiet:
        note("starting PostgreSQL, rtpengine, Kamailio, recorder, gateway and API …")
    start(config)
    key = _tenant(config, actor)
    with remote(config, None, key) as api:
        binding = api.bind(
            {"mode": "AXYB", "a": CALLER, "b": CALLEE, "order_id": "demo-1", "scene": "parcel", "ttl": 3600}
        )
    if not quiet:
        done(f"bound: A dials X = {binding['x']}, B dials Y = {binding['y']}")
    return Ready(config, peer, key, binding)


def _tenant(config: Config, actor: Actor) -> str:
    """The demo tenant's API key: the saved one, else a new one, which is saved."""
    saved = login.load(config)

    async def act(desk: Desk) -> str:
        try:
            await tenants.find_tenant(desk.conn, TENANT)
        except TenantNotFound:
            _, key = await service.add(desk, TENANT)
            await codes.add(desk, [CODE], TENANT)
            return key.bearer
        if saved is not None:
            return saved.api_key
        if await needed(desk.conn, desk.keyring, Action.KEY_ADD):
            raise SecondPersonRequired(
                "another key of the demo's tenant takes two persons:"
                f" qibai tenant key add {TENANT}; then save it with `qibai login`"
            )
        return (await service.add_key_of_tenant(desk, TENANT, Role.TENANT, "the demo")).bearer

    key = perform_as(config, actor, act)
    if saved is None:
        login.save(config, login.Saved(key))
    return key


def _toml() -> str:
    """The sample, with ports that are free just now and the callee's side as the one peer."""
    defaults = Config()
    api = _free(defaults.api.port, socket.SOCK_STREAM)
    sip = _free(defaults.voice.udp_port, socket.SOCK_DGRAM)
    ng = _free(defaults.voice.media_ng_port, socket.SOCK_DGRAM)
    texts = _free(defaults.messaging.sip_port, socket.SOCK_DGRAM)
    callee = _free(5070, socket.SOCK_DGRAM)
    media = _media(defaults.voice)
    text = sample()
    for old, new in (
        (f"# port = {defaults.api.port}", f"port = {api}"),
        (f"# udp_port = {defaults.voice.udp_port}", f"udp_port = {sip}"),
        (f"# tcp_port = {defaults.voice.tcp_port}", "tcp_port = 0"),
        (f"# media_ng_port = {defaults.voice.media_ng_port}", f"media_ng_port = {ng}"),
        (f"# media_port_min = {defaults.voice.media_port_min}", f"media_port_min = {media[0]}"),
        (f"# media_port_max = {defaults.voice.media_port_max}", f"media_port_max = {media[-1]}"),
        (f"# sip_port = {defaults.messaging.sip_port}", f"sip_port = {texts}"),
        (
            f"# probe_interval_s = {defaults.voice.probe_interval_s}",
            "probe_interval_s = 0  # the demo's callee is there only during its call",
        ),
    ):
        if text.count(f"{old}\n") + text.count(f"{old} ") == 0:
            raise Conflict(f"the sample configuration has no {old!r}")
        text = text.replace(old, new, 1)
    return f'{text}\n[[voice.peers]]\nname = "{PEER}"\nhost = "127.0.0.1"\nport = {callee}\n'


def _media(voice: VoiceConfig) -> range:
    """The default ports for media, or others where an rtpengine that runs has some of them.

    Two rtpengines open the same port for media; then each hears the other's calls.
    """

    def is_free(ports: range) -> bool:
        return not portuse.media_refusal(MediaRange(voice.host, ports[0], ports[-1]))

    return voice.media_ports if is_free(voice.media_ports) else media_ports(_MEDIA_PORTS, is_free)


def _free(wanted: int, kind: socket.SocketKind) -> int:
    """``wanted`` if it is free on loopback, else another that is, and that the configuration allows."""
    with socket.socket(socket.AF_INET, kind) as sock:
        try:
            sock.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port("127.0.0.1", kind)
    return wanted
