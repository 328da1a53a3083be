"""API keys whose secrets an older release sealed: the upgrade ties their role and holder to them, once."""

from typing import Any, Final

import psycopg

from qibai.core.errors import KeyUnknown, SealBroken
from qibai.store.failures import own_errors
from qibai.store.keys import Keyring
from qibai.store.statements import load
from qibai.store.tenants import api_key_aad

_SQL: Final = load("key_ties")


def any_untied(conn: psycopg.Connection[Any]) -> bool:
    """Whether an upgrade has keys left to tie. Raise StoreUnavailable."""
    with own_errors():
        return conn.execute(_SQL["left"]).fetchone() == (True,)


def tie_keys(conn: psycopg.Connection[Any], keyring: Keyring) -> int:
    """As the schema's owner, seal each of those secrets for the role and holder that its row names now.

    Returns how many. A secret that no key of the key file opens is left: a later upgrade tries it again, and
    until then nobody gets in with it. Raise StoreUnavailable.
    """
    count = 0
    with own_errors():
        for id, kind, tenant_id, platform_id, person, sealed in conn.execute(_SQL["untied"]).fetchall():
            try:
                secret = keyring.open(sealed, b"api_key:" + id.encode())
            except (KeyUnknown, SealBroken):
                continue
            tied = keyring.seal(secret, api_key_aad(id, kind, tenant_id, platform_id, person))
            conn.execute(_SQL["tie"], {"id": id, "secret": tied})
            conn.execute(_SQL["tied"], {"id": id})
            count += 1
    return count
