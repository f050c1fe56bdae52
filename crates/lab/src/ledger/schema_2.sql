-- What only runs of Python strategies have.
ALTER TABLE runs ADD COLUMN python TEXT;

-- What their scripts printed, up to a bound.
CREATE TABLE logs (
    run     TEXT PRIMARY KEY,
    stdout  TEXT NOT NULL,
    stderr  TEXT NOT NULL
) WITHOUT ROWID;
