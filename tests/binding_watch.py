"""What must hold of bindings and their pairs at every moment, looked at while others work."""

import threading
from datetime import timedelta
from typing import Any, Final

import psycopg

#: Pairs that connect although their binding is over or is not there, in one snapshot.
ORPHANS: Final = """
WITH t AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT count(*) FROM t, route r LEFT JOIN binding b ON b.code = r.code AND b.id = r.binding_id
WHERE r.ends_at > t.now AND (b.id IS NULL OR b.released_at IS NOT NULL OR b.expires_at <= t.now)"""

#: Notes each pair that changes hands or is forgotten in its quarantine, or whose quarantine is cut short.
_GUARD: Final = """
CREATE TABLE breach (what text, code integer, serial smallint, binding_id bigint, at timestamptz);
CREATE FUNCTION note_breach() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    what text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.free_at > moment
           AND EXISTS (SELECT FROM binding b WHERE b.code = OLD.code AND b.id = OLD.binding_id) THEN
            what := 'forgotten';
        END IF;
    ELSIF NEW.binding_id <> OLD.binding_id THEN
        IF OLD.free_at > moment THEN
            what := 'given away';
        END IF;
    ELSIF (NEW.ends_at, NEW.free_at) IS DISTINCT FROM (OLD.ends_at, OLD.free_at)
          AND (NEW.ends_at <> 'epoch' AND NEW.ends_at < transaction_timestamp()
               OR NEW.free_at < greatest(NEW.ends_at, transaction_timestamp()) + interval '{quarantine}') THEN
        what := 'cut short';
    END IF;
    IF what IS NOT NULL THEN
        INSERT INTO breach VALUES (what, OLD.code, OLD.serial, OLD.binding_id, moment);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER breach AFTER UPDATE OR DELETE ON route FOR EACH ROW EXECUTE FUNCTION note_breach();
"""


def guard(dsn: str, quarantine: timedelta) -> None:
    """From now on ``breaches`` are noted in that database."""
    text = _GUARD.replace("{quarantine}", f"{quarantine.total_seconds():.0f} seconds")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(text.encode())


def breaches(conn: psycopg.Connection[Any]) -> list[Any]:
    return conn.execute("SELECT * FROM breach").fetchall()


class Watch(threading.Thread):
    """Looks for pairs that outlive their binding, again and again; a context that ends it."""

    def __init__(self, dsn: str) -> None:
        super().__init__(name="watch", daemon=True)
        self._dsn = dsn
        self._over = threading.Event()
        self.looks = 0
        self.most = 0  #: pairs of that kind seen at once
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as conn:
                while not self._over.wait(0.02):
                    row = conn.execute(ORPHANS).fetchone()
                    assert row is not None
                    self.looks += 1
                    self.most = max(self.most, row[0])
        except BaseException as exc:
            self.failed = exc

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()
