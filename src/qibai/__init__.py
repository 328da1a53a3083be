"""Qibai: number protection for China's 700 range."""

__version__ = "0.1.0"
