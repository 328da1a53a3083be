"""Bindings, routes, records and keys in PostgreSQL: the one door to the data."""
