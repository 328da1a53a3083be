"""Where the API of a home is."""

from qibai.config import Config


def api_url(config: Config) -> str:
    """The API's address: as clients see it (``api.public_url``), else where it listens."""
    return config.api.public_url.rstrip("/") or listen_url(config)


def listen_url(config: Config) -> str:
    """Where the API listens, as this machine reaches it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.api.host, config.api.host)  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if config.api.tls_cert else 'http'}://{shown}:{config.api.port}"
