"""A key's type in words: what to give, for whoever gave something else."""

import types
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

_WORDS: Final = {bool: "true or false", int: "a whole number", str: "text", float: "a number"}


def wanted(kind: Any) -> str:
    """As ``a whole number from 0 to 65535``, ``one of udp, tcp, tls``."""
    origin = get_origin(kind)
    if origin is Annotated:
        base, *marks = get_args(kind)
        return wanted(base) + "".join(_range(mark) for mark in marks if isinstance(mark, msgspec.Meta))
    if origin is Literal:
        return "one of " + ", ".join(f'"{value}"' if value == "" else str(value) for value in get_args(kind))
    if origin is list:
        inner = get_args(kind)[0]
        tables = isinstance(inner, type) and issubclass(inner, msgspec.Struct)
        return "blocks of their own, [[…]]" if tables else f"a list, each {wanted(inner)}"
    if origin in (Union, types.UnionType):
        given = [one for one in get_args(kind) if one is not types.NoneType]
        unset = ", or leave it out" if len(given) < len(get_args(kind)) else ""
        return " or ".join(wanted(one) for one in given) + unset
    return _WORDS.get(kind, "text")


def _range(mark: msgspec.Meta) -> str:
    return f" {words}" if (words := limits(mark)) else ""


def limits(mark: msgspec.Meta) -> str:
    """As ``from 0 to 65535``, ``at least 1``, ``above 0, at most 10``."""
    most = mark.le if mark.le is not None else None if mark.lt is None else mark.lt - 1
    if mark.gt is not None:
        return f"above {mark.gt}" + (f", at most {most}" if most is not None else "")
    if mark.ge is not None and most is not None:
        return f"from {mark.ge} to {most}"
    if mark.ge is not None:
        return f"at least {mark.ge}"
    return f"at most {most}" if most is not None else ""
