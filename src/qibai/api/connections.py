"""The API's connections to the database."""

from qibai.store.connections import Connections

__all__ = ["Connections"]
