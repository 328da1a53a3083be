"""Protocol peers and checkers for tests, ours and our users'."""
