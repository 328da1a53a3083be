"""Logs: one event a line, with keys; real numbers are masked whatever key or text they are in."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from qibai.core.masking import mask_numbers

Event = MutableMapping[str, Any]


def mask_processor(logger: Any, method: str, event: Event) -> Event:
    """Mask numbers in every value, nested ones too."""
    return {key: _masked(value) for key, value in event.items()}


def configure(*, json: bool | None = None, level: int = logging.INFO) -> None:
    """Log to stderr: as JSON lines unless it is a terminal, or as ``json`` says."""
    as_json = not sys.stderr.isatty() if json is None else json
    render: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_processor,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_to_stderr,
    )


def _to_stderr(*_: Any) -> structlog.PrintLogger:
    """Not kept: stderr may be another file by the next line."""
    return structlog.PrintLogger(sys.stderr)


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask_numbers(value)
        case bool() | None | float():
            return value
        case int():
            text = str(value)
            masked = mask_numbers(text)
            return value if masked == text else masked
        case dict():
            return {key: _masked(item) for key, item in value.items()}
        case list() | tuple():
            return [_masked(item) for item in value]
        case _:
            return mask_numbers(repr(value))
