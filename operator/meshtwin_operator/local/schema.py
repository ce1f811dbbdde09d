"""Tables of the embedded store."""

from typing import Final

__all__ = ["LOG_LIMIT", "SCHEMA"]

LOG_LIMIT: Final = 10_000  # changes and events kept; a watcher further behind lists again

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS objects(
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    generation INTEGER NOT NULL,
    resource_version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT,
    origin TEXT NOT NULL DEFAULT '',
    applied TEXT,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log(
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS events(
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_at TEXT NOT NULL,
    last_at TEXT NOT NULL,
    UNIQUE (kind, namespace, name, reason, message)
);
CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL);
-- Fields that are gone, and were stored as defaults: an API server drops them when it reads.
UPDATE objects SET body=json_remove(body, '$.spec.privacy')
    WHERE kind='DigitalTwin' AND json_extract(body, '$.spec.privacy') IS NOT NULL;
"""
