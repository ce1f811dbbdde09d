"""The embedded object store: our kinds and ConfigMaps in one SQLite file, safe between processes.

It keeps what an API server keeps and the decisions rely on: uid, generation (moved by spec changes only),
resourceVersion with optimistic concurrency, status apart from spec, admission on every write, and a log of
changes to watch. Objects go in and come out as plain manifests (JSON names).
"""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from meshtwin.errors import Unavailable
from meshtwin_operator.local.admitting import admit_by_schema, check_config_map, check_namespace, plain_copy
from meshtwin_operator.local.objects import (
    Conflict,
    NotFound,
    body_of,
    key_of,
    merge_applied,
    stamp,
    to_manifest,
    user_metadata,
)
from meshtwin_operator.local.policy import check_writer
from meshtwin_operator.local.schema import LOG_LIMIT, SCHEMA
from meshtwin_operator.reconcile.world import ObjectKey

__all__ = ["Change", "Store", "StoredEvent"]

BUSY_TIMEOUT_S: Final = 10.0  # another process writes; each write takes milliseconds
Admit = Callable[[dict[str, Any], dict[str, Any] | None], dict[str, Any]]


class Change(NamedTuple):
    """One entry of the log: what happened to which object."""

    revision: int
    key: ObjectKey
    deleted: bool


class StoredEvent(NamedTuple):
    """A transition that was told to the user; ``times`` times, last at ``last_at``."""

    type: str
    reason: str
    message: str
    times: int
    first_at: str
    last_at: str


class Store:
    """One connection to the store; use it from one thread."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        admit: Admit | None = None,
    ) -> None:
        self._clock = clock
        self._admit = admit or admit_by_schema
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # status must be durable before a command is sent
            self._db.executescript(SCHEMA)
            path.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"store {path} cannot be opened: {error}") from error

    def close(self) -> None:
        """End the connection."""
        self._db.close()

    # Reading

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """One object, None if absent."""
        row = self._db.execute(SELECT + WHERE_KEY, key).fetchone()
        return None if row is None else to_manifest(row)

    def list_objects(self, kind: str | None = None, namespace: str | None = None) -> list[dict[str, Any]]:
        """Objects of a kind (None: all) in a namespace (None: all), by kind, namespace and name."""
        query = f"{SELECT} WHERE (?1 IS NULL OR kind=?1) AND (?2 IS NULL OR namespace=?2)"
        rows = self._db.execute(query + " ORDER BY kind, namespace, name", (kind, namespace))
        return [to_manifest(row) for row in rows]

    def from_folder(self) -> set[ObjectKey]:
        """Keys of the objects that came from the folder."""
        rows = self._db.execute("SELECT kind, namespace, name FROM objects WHERE origin='folder'")
        return {ObjectKey(*row) for row in rows}

    def data_version(self) -> int:
        """A number that changes when *another* connection wrote; cheap enough to poll."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def revision(self) -> int:
        """Revision of the newest change; 0 for an empty store."""
        return int(self._db.execute("SELECT COALESCE(MAX(revision), 0) FROM log").fetchone()[0])

    def changes_since(self, revision: int) -> list[Change] | None:
        """Changes after ``revision`` in order; None when the log was cut meanwhile: list again."""
        oldest = self._db.execute("SELECT COALESCE(MIN(revision), 0) FROM log").fetchone()[0]
        if oldest > revision + 1:
            return None
        rows = self._db.execute(
            "SELECT revision, kind, namespace, name, deleted FROM log WHERE revision>? ORDER BY revision",
            (revision,),
        )
        return [Change(r, ObjectKey(k, ns, n), bool(deleted)) for r, k, ns, n, deleted in rows]

    # Writing

    def create(self, manifest: Mapping[str, Any], *, user: str, origin: str = "") -> dict[str, Any]:
        """Store a new object; raises `Conflict` (reason ``AlreadyExists``) or what admission says."""
        with self._transaction():
            return self._create(manifest, user, origin)

    def apply(self, manifest: Mapping[str, Any], *, user: str, origin: str = "") -> tuple[dict[str, Any], bool]:
        """Create or change an object as ``kubectl apply`` does; returns it and whether anything was written.

        Fields that this applier never set stay (an emergency stop survives a folder that does not speak
        of it); those it set before and does not set now go. Status is left alone.
        """
        with self._transaction():
            key = key_of(manifest)
            current = self.get(key)
            if current is None:
                result, changed = self._create(manifest, user, origin), True
            else:
                row = self._db.execute(
                    "SELECT applied FROM objects WHERE kind=? AND namespace=? AND name=?", key
                ).fetchone()
                before = json.loads(row[0]) if row[0] else {}
                wanted = {**current, **manifest}
                if "spec" in wanted:
                    wanted["spec"] = merge_applied(current.get("spec"), before, manifest.get("spec") or {})
                result, changed = self._replace(current, wanted, user, origin)
            spec_text = json.dumps(manifest.get("spec") or {}, default=str, sort_keys=True)
            self._db.execute("UPDATE objects SET applied=? WHERE kind=? AND namespace=? AND name=?", (spec_text, *key))
            return result, changed

    def patch_spec(self, key: ObjectKey, changes: Mapping[str, Any], *, user: str) -> dict[str, Any]:
        """Merge ``changes`` into the spec (None removes a field) and return the object."""
        with self._transaction():
            current = self.get(key)
            if current is None:
                raise NotFound(f"{key.kind} {key.namespace}/{key.name} does not exist")
            spec = {**(current.get("spec") or {}), **changes}
            wanted = {**current, "spec": {name: value for name, value in spec.items() if value is not None}}
            return self._replace(current, wanted, user, None)[0]

    def write_status(
        self, key: ObjectKey, status: Mapping[str, Any], *, uid: str, expected_version: str | None = None
    ) -> bool:
        """Replace the status if it differs; returns whether it was written.

        Raises `Conflict` if the object is another one now (uid), is gone, or is not of
        ``expected_version`` any more.
        """
        with self._transaction():
            current = self.get(key)
            if current is None or current["metadata"]["uid"] != uid:
                raise Conflict(f"{key.kind} {key.namespace}/{key.name} was deleted meanwhile")
            found = current["metadata"]["resourceVersion"]
            if expected_version is not None and found != expected_version:
                raise Conflict(f"{key.kind} {key.namespace}/{key.name} is {found}, not {expected_version}")
            if current.get("status") == status:
                return False
            revision = self._log(key, deleted=False)
            self._db.execute(
                "UPDATE objects SET status=?, resource_version=? WHERE kind=? AND namespace=? AND name=?",
                (json.dumps(status), revision, *key),
            )
            return True

    def delete(self, key: ObjectKey) -> bool:
        """Remove an object; returns whether there was one."""
        with self._transaction():
            current = self.get(key)
            if current is None:
                return False
            self._db.execute("DELETE FROM objects WHERE kind=? AND namespace=? AND name=?", key)
            self._log(key, deleted=True)
            return True

    # Events and counters

    def post_event(self, key: ObjectKey, type_: str, reason: str, message: str) -> None:
        """Record an event; the same one again only counts."""
        now = stamp(self._clock())
        with self._transaction():
            self._db.execute(
                "INSERT INTO events(kind, namespace, name, type, reason, message, count, first_at, last_at)"
                " VALUES(?,?,?,?,?,?,1,?,?) ON CONFLICT(kind, namespace, name, reason, message)"
                " DO UPDATE SET count=count+1, last_at=excluded.last_at",
                (*key, type_, reason, message, now, now),
            )
            newest = "SELECT rowid FROM events ORDER BY last_at DESC, rowid DESC LIMIT ?"
            self._db.execute(f"DELETE FROM events WHERE rowid NOT IN ({newest})", (LOG_LIMIT,))  # noqa: S608  # constant

    def events(self, key: ObjectKey) -> list[StoredEvent]:
        """Events of an object, oldest first."""
        rows = self._db.execute(
            "SELECT type, reason, message, count, first_at, last_at FROM events"
            " WHERE kind=? AND namespace=? AND name=? ORDER BY first_at, rowid",
            key,
        )
        return [StoredEvent(*row) for row in rows]

    def next_epoch(self) -> int:
        """A number higher than any returned before: the epoch of this operator process."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO counters(name, value) VALUES('epoch', 1) ON CONFLICT(name) DO UPDATE SET value=value+1"
            )
            return int(self._db.execute("SELECT value FROM counters WHERE name='epoch'").fetchone()[0])

    # Private

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise Unavailable(f"store is busy: {error}") from error
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _create(self, manifest: Mapping[str, Any], user: str, origin: str) -> dict[str, Any]:
        key = key_of(manifest)
        if self.get(key) is not None:
            message = f"{key.kind} {key.namespace}/{key.name} exists already"
            raise Conflict(message, reason="AlreadyExists")
        admitted = self._admitted(manifest, None, user)
        metadata = {
            **user_metadata(admitted),
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": stamp(self._clock()),
        }
        return self._write(key, {**admitted, "metadata": metadata, "status": None}, 1, origin)

    def _replace(
        self, current: dict[str, Any], manifest: Mapping[str, Any], user: str, origin: str | None
    ) -> tuple[dict[str, Any], bool]:
        admitted = self._admitted(manifest, current, user)
        kept = {f: current["metadata"][f] for f in ("uid", "generation", "creationTimestamp")}
        wanted = {**admitted, "metadata": {**user_metadata(admitted), **kept}}
        if body_of(wanted) == body_of(current) and user_metadata(wanted) == user_metadata(current):
            return current, False
        generation = kept["generation"] + (body_of(wanted) != body_of(current))
        return self._write(key_of(manifest), {**wanted, "status": current.get("status")}, generation, origin), True

    def _admitted(self, manifest: Mapping[str, Any], old: dict[str, Any] | None, user: str) -> dict[str, Any]:
        plain = plain_copy(manifest)
        check_namespace(key_of(plain).namespace)
        if plain["kind"] == "ConfigMap":
            check_config_map(plain)
            return plain
        check_writer(plain, user)
        plain.pop("status", None)
        return self._admit(plain, old)

    def _write(
        self, key: ObjectKey, manifest: Mapping[str, Any], generation: int, origin: str | None = None
    ) -> dict[str, Any]:
        revision = self._log(key, deleted=False)
        metadata = manifest["metadata"]
        body = {"metadata": user_metadata(manifest), **body_of(manifest)}
        status = manifest.get("status")
        self._db.execute(
            "INSERT INTO objects(kind, namespace, name, uid, generation, resource_version, created_at, body,"
            " status, origin) VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(kind, namespace, name) DO UPDATE SET"
            " generation=excluded.generation, resource_version=excluded.resource_version, body=excluded.body,"
            " origin=CASE WHEN ?11 THEN origin ELSE excluded.origin END",
            (
                *key,
                metadata["uid"],
                generation,
                revision,
                metadata["creationTimestamp"],
                json.dumps(body),
                None if status is None else json.dumps(status),
                origin or "",
                origin is None,  # None: leave the origin as it is
            ),
        )
        stored = self.get(key)
        if stored is None:
            raise AssertionError("an object just written is there")
        return stored

    def _log(self, key: ObjectKey, *, deleted: bool) -> int:
        cursor = self._db.execute("INSERT INTO log(kind, namespace, name, deleted) VALUES(?,?,?,?)", (*key, deleted))
        revision = int(cursor.lastrowid or 0)
        self._db.execute("DELETE FROM log WHERE revision<=?", (revision - LOG_LIMIT,))
        return revision


WHERE_KEY: Final = " WHERE kind=? AND namespace=? AND name=?"
SELECT: Final = "SELECT kind, namespace, name, uid, generation, resource_version, created_at, body, status FROM objects"
