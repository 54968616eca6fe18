#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* What people type to find sessions:
 *
 *   robot:7 topic:/lidar date:>2026-11-01 lost:>0 tag:lab -tag:test "front left" shelf
 *
 * Terms stand side by side and all must hold; `-` before a term turns it around; a comma in a value
 * means or (tag:a,b); quotes keep blanks and commas (mission:"north hall"). A word without a key
 * must begin a word in name, mission, operator, notes, tags, robots or marks; a quoted one is a
 * phrase.
 *
 *   robot: tag: device: type:   exactly, any case; with * as a pattern
 *   topic:    this topic and those below it; without a leading / anywhere in the name; * pattern
 *   mission: operator: name: notes: mark:   words, as free text, in that text only
 *   id:       exactly
 *   state:    receiving, complete, damaged, deleted
 *   signed:   good, bad, unsigned
 *   keep:     yes, no
 *   date: received:   2026, 2026-11, 2026-11-01, 2026-11-01T12:00[:00][Z], today, yesterday, how
 *             long ago (7d), or nanoseconds since 1970 (@1793491200000000000); UTC. Alone: within;
 * with > >= < <=; a..b from and to size: duration: messages: lost: segments: topics: marks: numbers
 * with units (1GiB, 10min) and > >= < <=; a..b
 *
 * Parsing is bounded and pure; values never become SQL text. */
enum {
    BP_QUERY_BYTES_MAX = 4096,
    BP_QUERY_TERMS_MAX = 32,
    BP_QUERY_VALUES_MAX = 64, /* of all terms together */
};

enum bp_query_key {
    BP_QUERY_TEXT, /* no key */
    BP_QUERY_ROBOT,
    BP_QUERY_TAG,
    BP_QUERY_DEVICE,
    BP_QUERY_TYPE,
    BP_QUERY_TOPIC,
    BP_QUERY_MISSION,
    BP_QUERY_OPERATOR,
    BP_QUERY_NAME,
    BP_QUERY_NOTES,
    BP_QUERY_MARK,
    BP_QUERY_ID,
    BP_QUERY_STATE,
    BP_QUERY_SIGNED,
    BP_QUERY_KEEP,
    BP_QUERY_DATE,
    BP_QUERY_RECEIVED,
    BP_QUERY_SIZE,
    BP_QUERY_DURATION,
    BP_QUERY_MESSAGES,
    BP_QUERY_LOST,
    BP_QUERY_SEGMENTS,
    BP_QUERY_TOPICS,
    BP_QUERY_MARKS,
    BP_QUERY_KEY_N_
};

struct bp_query_value {
    char *text; /* owned; unquoted, NUL-terminated, UTF-8, never empty; NULL for numbers */
    bool quoted;
    int64_t min, max; /* numbers and times: [min, max], both within */
};

struct bp_query_term {
    enum bp_query_key key;
    bool negated;
    uint32_t first, n; /* its values: any of them will do */
};

struct bp_query {
    struct bp_query_term terms[BP_QUERY_TERMS_MAX];
    struct bp_query_value values[BP_QUERY_VALUES_MAX];
    uint32_t nterms, nvalues;
};

/**
 * @param text     UTF-8, at most BP_QUERY_BYTES_MAX; NUL bytes and control characters are refused
 * @param wall_ns  now, for "today" and "7d"
 * @param ret      release with bp_query_done(); empty after a failure
 * @return 0; BP_EUSAGE: the text has the reason, the line and a caret below the place; -ENOMEM
 */
BP_MUST_CHECK int bp_query_parse(struct bp_str text, bp_ns_t wall_ns, struct bp_query *ret,
                                 struct bp_error *err);
void bp_query_done(struct bp_query *q);
#define BP_AUTO_QUERY BP_CLEANUP(bp_query_done) struct bp_query

/** "robot", …; "" for free text. */
const char *bp_query_key_name(enum bp_query_key k);
