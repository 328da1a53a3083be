"""What SMPP and CMPP share: connections that carry numbered PDUs, their windows, both roles' ways of life."""
