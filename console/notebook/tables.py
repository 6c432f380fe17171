"""The tables of the notebook, and what age takes out of them."""

#: Raised with each change of the tables: a file of another version is written anew.
VERSION = 5

#: Days that the ledger, and so the notebook, tells of.
DAYS = 31

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE event (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL,          -- when it was received, ms since 1970
    source TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    book TEXT NOT NULL,
    why TEXT NOT NULL,
    same_id_as TEXT NOT NULL,
    looked INTEGER NOT NULL       -- while it is not settled: when it was looked at last, ms; else 0
);
CREATE INDEX event_at ON event (at, n);
CREATE INDEX event_source ON event (source, at, n);
CREATE INDEX event_type ON event (type, at, n);
CREATE INDEX event_state ON event (state, at, n);
CREATE INDEX event_open ON event (looked) WHERE looked > 0;
CREATE TABLE delivery (
    event INTEGER NOT NULL REFERENCES event (n) ON DELETE CASCADE,
    place INTEGER NOT NULL,       -- -1: the event itself, which is a dead letter
    id TEXT NOT NULL,
    at INTEGER NOT NULL,          -- when its event was received, as there
    destination TEXT NOT NULL,
    action TEXT NOT NULL,
    rule TEXT NOT NULL,
    state TEXT NOT NULL,
    code TEXT NOT NULL,
    why TEXT NOT NULL,
    tries INTEGER NOT NULL,
    ended INTEGER NOT NULL,       -- when it came to its state or was tried last, ms; 0: nobody knows
    PRIMARY KEY (event, place)
) WITHOUT ROWID;
CREATE INDEX delivery_destination ON delivery (destination, at, event);
CREATE INDEX delivery_rule ON delivery (rule, at, event);
CREATE INDEX delivery_code ON delivery (code, event) WHERE code != '';
CREATE INDEX delivery_state ON delivery (state, destination, code, rule, ended);
CREATE INDEX delivery_dead ON delivery (at, event, place) WHERE state = 'dead';
CREATE TABLE cause (               -- of all dead letters: how many there are; kept by the triggers
    destination TEXT NOT NULL,
    code TEXT NOT NULL,
    rule TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (destination, code, rule)
) WITHOUT ROWID;
CREATE TRIGGER letter_came AFTER INSERT ON delivery WHEN new.state = 'dead' BEGIN
    INSERT INTO cause VALUES (new.destination, new.code, new.rule, 1) ON CONFLICT DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER letter_went AFTER DELETE ON delivery WHEN old.state = 'dead' BEGIN
    UPDATE cause SET count = count - 1
        WHERE destination = old.destination AND code = old.code AND rule = old.rule;
    DELETE FROM cause
        WHERE destination = old.destination AND code = old.code AND rule = old.rule AND count = 0;
END;
CREATE TABLE who (
    hash TEXT NOT NULL,
    at INTEGER NOT NULL,
    event INTEGER NOT NULL REFERENCES event (n) ON DELETE CASCADE,
    PRIMARY KEY (hash, at, event)
) WITHOUT ROWID;
CREATE INDEX who_event ON who (event);
CREATE TABLE series (
    scale INTEGER NOT NULL,       -- seconds of a step; 0: one step, since the file was made
    at INTEGER NOT NULL,          -- when it begins, seconds since 1970
    what TEXT NOT NULL,           -- received, attempt, delivered; of `ms` and `lasted` how many took up to `word` ms
    name TEXT NOT NULL,           -- source or destination
    word TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (scale, at, what, name, word)
) WITHOUT ROWID;
"""

#: Seconds of a step of the series -> how many seconds of them are kept.
SCALES = {60: 3 * 3600, 600: 2 * 86_400, 3600: DAYS * 86_400}

#: Scale of what is counted since the file was made, for Prometheus: kept (by source), delivered (by source and
#: destination) and took (by destination), up to `word` ms; of `sum` it is their sum, ms.
TOTAL = 0
#: ms within which something must have happened to be counted there: a file that is written anew from the ledger counts
#: no month at once.
FRESH = 3_600_000

#: Upper bounds of the histograms, in ms; what took longer counts to the last one.
BOUNDS = (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 600_000, 3_600_000, 86_400_000)
