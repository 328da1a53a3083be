"""What the store's functions work on."""

from typing import Any

import psycopg

Connection = psycopg.AsyncConnection[Any]
SyncConnection = psycopg.Connection[Any]
