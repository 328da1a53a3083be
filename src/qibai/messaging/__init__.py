"""Text messages through 700 numbers: the gateway, and its links by SIP, SMPP and CMPP."""
