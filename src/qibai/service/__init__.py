"""What Qibai does, in its own terms: a function for each act, for every way in.

An operator's act is permitted, seconded where it takes two persons, done, and entered in the audit trail,
all in one transaction and all in its function here: so no way in can forget one of these. The HTTP API, the
command line and whatever comes beside them decode what they are given, call an act, and encode what it
returns.

What tenants do (bind, release, send) is not entered in the trail: its rows are its record.
"""
