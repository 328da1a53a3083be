"""Who acts: whom an API key names, or whoever is at the machine."""

import os
import pwd
from dataclasses import dataclass
from datetime import datetime

from qibai.core import roles
from qibai.core.errors import BadRequest
from qibai.core.roles import Action, Role


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. ``via``: how that is known; `key:ID` is proven, `os:USER@NODE` is what the machine says."""

    name: str  #: a person, or `tenant:NAME`, `platform:NAME`
    role: Role
    via: str
    since: datetime | None = None  #: of a key: when it was made

    @property
    def proven(self) -> bool:
        """By an API key."""
        return self.via.startswith("key:")

    def require(self, action: Action) -> None:
        """Raise Forbidden unless the actor's role may do this."""
        roles.require(self.role, action)


def operator_here(node: str, name: str | None = None) -> Actor:
    """The operator at this machine: ``name`` if claimed, else who called sudo, else the system's user.

    The system's user stands beside a claimed name in any case. Raise BadRequest for an odd name.
    """
    user = _user()
    return Actor(person_name(name or user), Role.OPERATOR, f"os:{user}@{node}")


def person_name(text: str) -> str:
    """A person's name in the one way in which names are compared. Raise BadRequest for an odd one."""
    name = " ".join(text.casefold().split())
    if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
        raise BadRequest("a person's name has 1 to 64 visible characters and no colon", field="person")
    return name


def _user() -> str:
    uid = os.getuid()
    if uid == 0 and (caller := os.environ.get("SUDO_USER")):
        return caller
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
