"""``qibai stats``: what an operator asks at 3 a.m."""

from qibai.cli.stats.command import COMMANDS

__all__ = ["COMMANDS"]
