/* The tables of the archive.
 *
 * A session's `num` is made of its id: the 48 bits of time, then 15 of its random bits (counted up
 * where that is taken). So numbers rise with time, every list that is ordered by number is ordered
 * by age, and the rows of labels and of full text, which are ordered by number, too, can be walked
 * newest first without sorting.
 *
 * What is looked at for many sessions at once (numbers) is apart from what is told of a few
 * (texts): passing over a hundred thousand rows costs milliseconds then.
 *
 * Labels are what sessions have in common: robots, topics, types, tags, devices, months, states.
 * Each knows how many sessions have it. */
#include "catalog/archive-priv.h"

static const char *const migrations[] = {
    "CREATE TABLE sessions ("
    " num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    " state INTEGER NOT NULL, signature INTEGER NOT NULL, manifest INTEGER NOT NULL,"
    " keep INTEGER NOT NULL,"
    " started_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, received_ns INTEGER NOT NULL,"
    " updated_ns INTEGER NOT NULL, deleted_ns INTEGER NOT NULL, duration_ns INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, bytes INTEGER NOT NULL, lost INTEGER NOT NULL,"
    " segments INTEGER NOT NULL, segments_here INTEGER NOT NULL, topics INTEGER NOT NULL,"
    " marks INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX sessions_by_started ON sessions (started_ns, num);"
    "CREATE INDEX sessions_by_received ON sessions (received_ns, num);"
    "CREATE INDEX sessions_by_name ON sessions (name, num);"
    "CREATE INDEX sessions_by_bytes ON sessions (bytes, num);"
    "CREATE INDEX sessions_by_messages ON sessions (messages, num);"
    "CREATE INDEX sessions_by_lost ON sessions (lost, num);"
    "CREATE INDEX sessions_by_duration ON sessions (duration_ns, num);"
    "CREATE INDEX sessions_kept ON sessions (num) WHERE keep = 1;"

    "CREATE TABLE texts ("
    " session INTEGER PRIMARY KEY REFERENCES sessions (num) ON DELETE CASCADE,"
    " device TEXT NOT NULL, mission TEXT NOT NULL, operator TEXT NOT NULL, notes TEXT NOT NULL,"
    " tags TEXT NOT NULL, robots TEXT NOT NULL, doc TEXT NOT NULL, error TEXT NOT NULL,"
    " deleted_why TEXT NOT NULL"
    ") STRICT;"

    "CREATE TABLE files ("
    " session INTEGER NOT NULL REFERENCES sessions (num) ON DELETE CASCADE, file TEXT NOT NULL,"
    " kind INTEGER NOT NULL, state INTEGER NOT NULL, sha256 BLOB NOT NULL,"
    " bytes INTEGER NOT NULL, messages INTEGER NOT NULL, repeated INTEGER NOT NULL,"
    " first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, stored_ns INTEGER NOT NULL,"
    " text TEXT NOT NULL, PRIMARY KEY (session, file)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX files_by_object ON files (sha256);"
    "CREATE INDEX files_unverified ON files (stored_ns) WHERE state = 1 AND kind = 0;"

    "CREATE TABLE labels ("
    " label INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL,"
    " sessions INTEGER NOT NULL, UNIQUE (kind, value)"
    ") STRICT;"
    "CREATE INDEX labels_by_fold ON labels (kind, value COLLATE NOCASE);"
    "CREATE INDEX labels_by_count ON labels (kind, sessions);"
    "CREATE TABLE session_labels ("
    " label INTEGER NOT NULL, session INTEGER NOT NULL, PRIMARY KEY (label, session)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX session_labels_by_session ON session_labels (session, label);"
    "CREATE TRIGGER session_label_in AFTER INSERT ON session_labels BEGIN"
    " UPDATE labels SET sessions = sessions + 1 WHERE label = new.label; END;"
    "CREATE TRIGGER session_label_out AFTER DELETE ON session_labels BEGIN"
    " UPDATE labels SET sessions = sessions - 1 WHERE label = old.label; END;"

    "CREATE TABLE topics ("
    " session INTEGER NOT NULL REFERENCES sessions (num) ON DELETE CASCADE,"
    " topic INTEGER NOT NULL, type INTEGER NOT NULL, robot TEXT NOT NULL,"
    " domain INTEGER NOT NULL, messages INTEGER NOT NULL, lost INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY (session, topic, type, robot, domain)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE marks ("
    " mark INTEGER PRIMARY KEY,"
    " session INTEGER NOT NULL REFERENCES sessions (num) ON DELETE CASCADE,"
    " wall_ns INTEGER NOT NULL, text TEXT NOT NULL, vals TEXT NOT NULL,"
    " UNIQUE (session, wall_ns, text)"
    ") STRICT;"

    "CREATE TABLE overviews ("
    " session INTEGER PRIMARY KEY REFERENCES sessions (num) ON DELETE CASCADE,"
    " json TEXT NOT NULL"
    ") STRICT;"

    "CREATE VIRTUAL TABLE words USING fts5 (name, mission, operator, notes, tags, robots, marks,"
    " tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');"

    "CREATE TABLE sums ("
    " one INTEGER PRIMARY KEY CHECK (one = 1), sessions INTEGER NOT NULL,"
    " segments INTEGER NOT NULL, bytes INTEGER NOT NULL, messages INTEGER NOT NULL,"
    " lost INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO sums VALUES (1, 0, 0, 0, 0, 0);"
    "CREATE TRIGGER sums_in AFTER INSERT ON sessions WHEN new.state <> 3 BEGIN"
    " UPDATE sums SET sessions = sessions + 1, segments = segments + new.segments,"
    " bytes = bytes + new.bytes, messages = messages + new.messages, lost = lost + new.lost; END;"
    "CREATE TRIGGER sums_out AFTER DELETE ON sessions WHEN old.state <> 3 BEGIN"
    " UPDATE sums SET sessions = sessions - 1, segments = segments - old.segments,"
    " bytes = bytes - old.bytes, messages = messages - old.messages, lost = lost - old.lost; END;"
    "CREATE TRIGGER sums_change AFTER UPDATE ON sessions BEGIN"
    " UPDATE sums SET sessions = sessions + (new.state <> 3) - (old.state <> 3),"
    " segments = segments + (new.state <> 3) * new.segments - (old.state <> 3) * old.segments,"
    " bytes = bytes + (new.state <> 3) * new.bytes - (old.state <> 3) * old.bytes,"
    " messages = messages + (new.state <> 3) * new.messages - (old.state <> 3) * old.messages,"
    " lost = lost + (new.state <> 3) * new.lost - (old.state <> 3) * old.lost; END;"

    "CREATE TABLE decisions ("
    " decision INTEGER PRIMARY KEY, session TEXT NOT NULL, policy TEXT NOT NULL,"
    " subject TEXT NOT NULL, ours TEXT NOT NULL, theirs TEXT NOT NULL, device TEXT NOT NULL,"
    " took_theirs INTEGER NOT NULL, wall_ns INTEGER NOT NULL, undone_ns INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX decisions_by_session ON decisions (session, decision);"

    "CREATE TABLE devices ("
    " id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL,"
    " public_key TEXT NOT NULL, groups TEXT NOT NULL, info TEXT NOT NULL,"
    " approved_by TEXT NOT NULL, state INTEGER NOT NULL, first_ns INTEGER NOT NULL,"
    " seen_ns INTEGER NOT NULL, approved_ns INTEGER NOT NULL"
    ") STRICT;",
};

const struct bp_db_kind bp_archive_kind = {
    .what = "archive",
    .migrations = migrations,
    .nmigrations = BP_COUNT(migrations),
    .check_below = 64 << 20, /* five million segments would take half a minute */
    .pragmas = "PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY",
};
