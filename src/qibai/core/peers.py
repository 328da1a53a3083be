"""What a peer of ours speaks."""

from typing import Literal

Transport = Literal["udp", "tcp", "tls"]
NumberFormat = Literal["e164", "national", "tel"]  #: how it writes real numbers: +86138…, 138…, tel:+86138…
