"""``qibai stats``: what an operator asks at 3 a.m."""
