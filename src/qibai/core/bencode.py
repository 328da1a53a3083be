"""Bencoding, in which rtpengine is asked and answers."""

Bencoded = int | bytes | list["Bencoded"] | dict[bytes, "Bencoded"]


def encode(value: Bencoded) -> bytes:
    """Bencode; dictionary keys are sorted, as the format wants."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%b" % (len(value), value)
        case list():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def decode(data: bytes) -> Bencoded:
    """The value that ``data`` is. Raise ValueError when it is none."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Bencoded, int]:
    first = data[at : at + 1]
    if depth > 20:
        raise ValueError("too deep")
    if first == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if first == b"l":
        items: list[Bencoded] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at + 1
    if first == b"d":
        found: dict[bytes, Bencoded] = {}
        at += 1
        while data[at : at + 1] != b"e":
            key, at = _decode(data, at, depth + 1)
            if not isinstance(key, bytes):
                raise ValueError("a key must be text")
            found[key], at = _decode(data, at, depth + 1)
        return found, at + 1
    colon = data.index(b":", at)
    length = int(data[at:colon])
    end = colon + 1 + length
    if length < 0 or end > len(data):
        raise ValueError("cut short")
    return data[colon + 1 : end], end
