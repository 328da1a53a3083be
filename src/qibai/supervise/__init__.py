"""Start, watch, restart and stop the platform's parts."""
