"""What is looked at before anything starts: all that would keep a part from starting, at once."""

from collections.abc import Iterator

from qibai.config import Config
from qibai.core.errors import ConfigError
from qibai.settings.files import file_mistakes
from qibai.settings.mistakes import Mistake, refuse
from qibai.settings.needed import media_range, needed_ports
from qibai.store.dsncheck import dsn_fault
from qibai.store.embedded import EmbeddedPostgres
from qibai.supervise import portuse
from qibai.supervise.claims import Claims
from qibai.voice import engine


def machine_mistakes(config: Config) -> list[Mistake]:
    """What this machine lacks for ``config``, apart from ports."""
    return [*file_mistakes(config), *_programs(config), *_database(config)]


def _programs(config: Config) -> Iterator[Mistake]:
    if not config.voice.enabled:
        return
    for name in ("kamailio", "kamcmd", *(("rtpengine",) if config.voice.media else ())):
        try:
            engine.program(name)
        except ConfigError as exc:
            yield Mistake("this machine", "", exc.message)


def _database(config: Config) -> Iterator[Mistake]:
    for key in ("dsn", "owner_dsn", "read_dsn"):
        given = getattr(config.store, key)
        if given and (fault := dsn_fault(given)):
            yield Mistake(str(config.file), f"store.{key}", fault)
    if config.store.dsn:
        return
    try:
        EmbeddedPostgres(config).check_data()
    except ConfigError as exc:
        yield Mistake(str(config.pg_dir), "", exc.message)


def port_mistakes(config: Config, part: str = "") -> list[Mistake]:
    """Ports that somebody has, or that this machine cannot open; those of ``part`` alone, if it is given."""
    found = []
    for port in needed_ports(config):
        if part not in ("", port.part):
            continue  # to try it would be in the way of the part that opens it
        says = portuse.refusal(port)
        if says:
            mend = "stop that, or choose another port" if " used " in says else ""
            found.append(Mistake(str(config.file), port.key, says, mend))
    media = media_range(config)
    if part in ("", "rtpengine") and media is not None and (says := portuse.media_refusal(media)):
        mend = "stop that, or choose ports that do not overlap"
        found.append(Mistake(str(config.file), "voice.media_port_min", says, mend))
    return found


def check_part(config: Config, part: str) -> None:
    """Raise ConfigMistakes when this part cannot have its ports."""
    refuse(port_mistakes(config, part))


def claim(config: Config, claims: Claims) -> None:
    """Claim all ports, after a look at each. Raise ConfigMistakes, naming who has one."""
    refused = claims.take(needed_ports(config), media_range(config))
    mistakes = [
        Mistake(str(config.file), key, says, "stop that platform, or choose other ports")
        for key, says in refused.items()
    ]
    keys = set(refused)
    refuse([*mistakes, *(one for one in port_mistakes(config) if one.key not in keys)])
