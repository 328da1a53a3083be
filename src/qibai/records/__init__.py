"""Call records: spool, recorder, and the ends of calls."""
