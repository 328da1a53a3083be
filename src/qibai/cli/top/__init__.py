"""``qibai top``: what this node does just now, from its ``/metrics``."""
