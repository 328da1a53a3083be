"""``qibai carrier``, ``platform``, ``application``, ``approval``, ``certificate``, ``number``, ``quota``."""

from typing import Final

import typer

from qibai.cli.resources import applications, carriers, locks, papers, providers, quotas

APPS: Final[dict[str, typer.Typer]] = {
    "carrier": carriers.app,
    "platform": providers.app,
    "application": applications.app,
    "approval": papers.approvals,
    "certificate": papers.certificates,
    "number": locks.app,
    "quota": quotas.app,
}

__all__ = ["APPS"]
