"""The call path: Kamailio, its routing script, rtpengine."""
