"""Existing business: old middle numbers outside 700 that still serve, and their move to 700."""
