-- The first schema. Numbered files are append-only: what was released is never edited, a change is the next number.
-- Times are nanoseconds since 1970 UTC, so that they compare as numbers and lose nothing.

CREATE TABLE runs (
    item          INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    repository_id TEXT    NOT NULL,
    stage         TEXT    NOT NULL,
    closed        INTEGER NOT NULL CHECK (closed IN (0, 1)),
    opened_at     INTEGER NOT NULL,
    generation    INTEGER NOT NULL CHECK (generation > 0),
    run           TEXT    NOT NULL CHECK (json_valid(run)),
    PRIMARY KEY (item, revision)
) STRICT;

CREATE INDEX runs_in_flight ON runs (item, revision) WHERE closed = 0;
CREATE INDEX runs_opened_at ON runs (opened_at);

-- Two processes may intend the same claim: each nonce is kept, because either may turn out to be the one that won.
CREATE TABLE intents (
    item     INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    nonce    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (item, revision, nonce)
) STRICT;

CREATE TABLE notes (
    number   INTEGER PRIMARY KEY,
    item     INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    stage    TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    FOREIGN KEY (item, revision) REFERENCES runs (item, revision) ON DELETE CASCADE
) STRICT;

CREATE INDEX notes_of_run ON notes (item, revision, number);

-- The outbox. Delivered rings stay, because their keys keep the same ring from being rung again.
CREATE TABLE rings (
    key      TEXT    PRIMARY KEY,
    at       INTEGER NOT NULL,
    next_at  INTEGER,             -- none: delivered or dropped
    attempts INTEGER NOT NULL DEFAULT 0,
    ended    TEXT    CHECK (ended IN ('delivered', 'dropped')),
    ring     TEXT    NOT NULL CHECK (json_valid(ring)),
    CHECK ((next_at IS NULL) = (ended IS NOT NULL))
) STRICT;

CREATE INDEX rings_due ON rings (next_at) WHERE next_at IS NOT NULL;

CREATE TABLE beats (
    program TEXT    PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT;
