-- Strategies by content: the text that ran, kept so that any run can be repeated.
CREATE TABLE strategies (
    hash    TEXT PRIMARY KEY,
    kind    TEXT NOT NULL,
    text    TEXT NOT NULL
) WITHOUT ROWID;

-- One job per command.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,
    started_ms  INTEGER NOT NULL,
    finished_ms INTEGER,
    command     TEXT NOT NULL,
    planned     INTEGER NOT NULL,
    outcome     TEXT
);

-- One row per run, keyed by what makes it this run: a repeat replaces it with equal numbers.
CREATE TABLE runs (
    id            TEXT PRIMARY KEY,
    job           INTEGER NOT NULL REFERENCES jobs (id),
    finished_ms   INTEGER NOT NULL,
    strategy      TEXT NOT NULL,
    source        TEXT NOT NULL,
    strategy_hash TEXT NOT NULL,
    data          TEXT NOT NULL,
    data_hash     TEXT NOT NULL,
    symbol        TEXT NOT NULL,
    timeframe     TEXT NOT NULL,
    setup         TEXT NOT NULL,
    rules         TEXT NOT NULL,
    params        TEXT NOT NULL,
    status        TEXT NOT NULL,
    error         TEXT,
    diagnostics   TEXT NOT NULL,
    bars          INTEGER NOT NULL,
    elapsed_us    INTEGER NOT NULL,
    metrics       TEXT,
    trades_hash   TEXT
) WITHOUT ROWID;

CREATE INDEX runs_by_job ON runs (job);
CREATE INDEX runs_by_strategy ON runs (strategy);
