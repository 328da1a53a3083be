"""``qibai init``."""

import typer

from qibai.cli.options import JsonOut, config_of
from qibai.cli.output import as_json, done, say
from qibai.cli.reference import sample
from qibai.config import Config
from qibai.core.errors import Unavailable
from qibai.store import keyfile
from qibai.store.keys import Keyring


def init(ctx: typer.Context, json: JsonOut = False) -> None:
    """Make the home: keys and a configuration with comments. What is there is left alone.

    Example: qibai --home /var/lib/qibai init
    """
    config = config_of(ctx)
    made = make_home(config, sample())
    if json:
        as_json({"home": config.home, "made": made})
        return
    done(f"{config.home} is ready" + (f" (made {', '.join(made)})" if made else ""))
    say("Next: put your carrier's SIP peers into qibai.toml, then `qibai up`.")


def make_home(config: Config, toml: str) -> list[str]:
    """Make the folder, the key file and the configuration; return the names of files that were new.

    Raise Unavailable when the folder cannot be written, KeyFileError when a database's key file is gone.
    """
    made = []
    keyfile.check_there(config)
    try:
        config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not config.file.exists():
            config.file.write_text(toml, "utf-8")
            config.file.chmod(0o640)
            made.append(config.file.name)
        if not config.key_file.exists():
            made.append(config.key_file.name)
        Keyring.load_or_create(config.key_file)
    except OSError as exc:
        raise Unavailable(f"{config.home} cannot be written: {exc.strerror}; give another --home") from None
    return made
