"""The text of short messages: encodings, parts, numbers written inside it. No I/O."""

from qibai.core.text.part import Concat, Encoding, Part

__all__ = ["Concat", "Encoding", "Part"]
