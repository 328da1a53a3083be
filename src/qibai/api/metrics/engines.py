"""Kamailio's peers and rtpengine's sessions, for ``/metrics``."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from qibai.api.metrics.spec import MetricSpec
from qibai.config import Config, load
from qibai.core.errors import ConfigError
from qibai.engines import PeerState, media_sessions, peer_states

AGE_S: Final = 4.0  #: scrapes within it are answered from memory

VOICE_UP: Final = MetricSpec("qibai_voice_up", "gauge", "1 if Kamailio answers.")
PEER_UP: Final = MetricSpec(
    "qibai_peer_up", "gauge", "1 if a peer that calls go to answers Kamailio's OPTIONS.", ("peer",)
)
MEDIA_UP: Final = MetricSpec("qibai_media_up", "gauge", "1 if rtpengine answers.")
MEDIA_SESSIONS: Final = MetricSpec("qibai_media_sessions", "gauge", "Calls whose media rtpengine relays now.")
SPECS: Final = (VOICE_UP, PEER_UP, MEDIA_UP, MEDIA_SESSIONS)


class EngineWatch:
    """Asks the engines for scrapes, in a thread, as each may take a second to answer."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._found = EngineMetrics()
        self._asked_at = float("-inf")

    async def collector(self) -> Collector:
        """What a registry takes."""
        if self._config.voice.enabled and time.monotonic() - self._asked_at > AGE_S:
            self._asked_at = time.monotonic()
            self._found = await asyncio.to_thread(_ask, self._config)
        return self._found


class EngineMetrics(Collector):
    """What the engines said; what they did not say has no sample."""

    def __init__(
        self,
        *,
        voice: bool = False,
        peers: dict[str, PeerState] | None = None,
        media: bool = False,
        sessions: int | None = None,
    ) -> None:
        """``voice``, ``media``: this node has Kamailio, has rtpengine."""
        self._voice, self._peers, self._media, self._sessions = voice, peers, media, sessions

    def collect(self) -> Iterable[Metric]:
        voice_up, peer_up, media_up, sessions = (spec.family() for spec in SPECS)
        if self._voice:
            voice_up.add_metric([], float(self._peers is not None))
            for peer, state in (self._peers or {}).items():
                if state is not PeerState.UNKNOWN:
                    peer_up.add_metric([peer], float(state is PeerState.UP))
            yield from (voice_up, peer_up)
        if self._media:
            media_up.add_metric([], float(self._sessions is not None))
            if self._sessions is not None:
                sessions.add_metric([], float(self._sessions))
            yield from (media_up, sessions)


def _ask(config: Config) -> EngineMetrics:
    voice = config.voice
    try:
        peers = load(config.home).voice.peers  # Kamailio takes over changed peers while it runs
    except ConfigError:
        peers = voice.peers
    return EngineMetrics(
        voice=True,
        peers=peer_states(config.run_dir, peers, probed=bool(voice.probe_interval_s)),
        media=voice.media,
        sessions=media_sessions(voice.media_ng_port) if voice.media else None,
    )
