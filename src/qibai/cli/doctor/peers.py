"""Whether the peers are there, as Kamailio's probes of them tell."""

from qibai.cli.doctor.finding import Finding, fail, ok, skip, warn
from qibai.config import Config
from qibai.engines import PeerState, peer_states


def check_peers(config: Config) -> Finding:
    """A peer that does not answer OPTIONS gets no calls."""
    peers = config.voice.peers
    if not peers:
        return warn("peers", "none: no call can come or go", f"add [[voice.peers]] to {config.file}")
    called = [peer for peer in peers if peer.priority >= 0]
    if not called:
        mend = "give one of voice.peers a priority that is not negative"
        return warn("peers", "no call can go anywhere: none takes calls", mend)
    names = f"{len(peers)} ({', '.join(peer.name for peer in peers)})"
    if not config.voice.probe_interval_s:
        return _learnt(config) or ok("peers", f"{names}, not probed")
    states = peer_states(config.run_dir, called, probed=True)
    if states is None:
        return skip("peers", f"{names}; Kamailio does not run")
    dead = [name for name, state in states.items() if state is PeerState.DOWN]
    unknown = [name for name, state in states.items() if state is PeerState.UNKNOWN]
    mend = "see that they run, and answer OPTIONS from this address"
    if len(dead) == len(called):
        return fail("peers", f"no answer from any that takes calls: {', '.join(dead)}", mend)
    if dead:
        return warn("peers", f"no answer from {', '.join(dead)}: calls go to the others", mend)
    if unknown:
        return warn("peers", f"not probed yet: {', '.join(unknown)}", "look again in a moment")
    return _learnt(config) or ok("peers", names)


def _learnt(config: Config) -> Finding | None:
    """A warning where media is taken from whoever sends first."""
    learnt = [peer.name for peer in config.voice.peers if peer.media_from == "first"]
    if not learnt or not config.voice.media:
        return None
    mend = 'where they are not behind NAT, set their media_from to "described"'
    return warn("peers", f"media of {', '.join(learnt)} is taken from the address that sends first", mend)
