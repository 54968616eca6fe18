#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"

/* A log line is a sentence plus fields:
 *     bp_log(BP_LOG_WARNING, "segment is torn, tail dropped", BP_F_TEXT("path", p),
 * BP_F_UINT("bytes", n)); Text with colour on a terminal, one JSON object a line otherwise,
 * journald's native protocol when JOURNAL_STREAM says stderr goes there. Any thread; never under a
 * lock, never on the hot path.
 *
 * Only cli/ and the top of each daemon loop log errors; everything below returns them. */
enum bp_log_level { BP_LOG_ERROR, BP_LOG_WARNING, BP_LOG_NOTICE, BP_LOG_INFO, BP_LOG_DEBUG };

struct bp_field {
    const char *key;
    enum { BP_FIELD_TEXT, BP_FIELD_INT, BP_FIELD_UINT, BP_FIELD_REAL } type;
    union {
        const char *text;
        int64_t i;
        uint64_t u;
        double real;
    };
};

#define BP_F_TEXT(k, v) ((struct bp_field){ .key = (k), .type = BP_FIELD_TEXT, .text = (v) })
#define BP_F_INT(k, v)  ((struct bp_field){ .key = (k), .type = BP_FIELD_INT, .i = (v) })
#define BP_F_UINT(k, v) ((struct bp_field){ .key = (k), .type = BP_FIELD_UINT, .u = (v) })
#define BP_F_REAL(k, v) ((struct bp_field){ .key = (k), .type = BP_FIELD_REAL, .real = (v) })

void bp_log_fields(enum bp_log_level level, const char *sentence, const struct bp_field *f,
                   size_t n);

#define bp_log(level, sentence, ...)                                                \
    bp_log_fields(                                                                  \
        (level), (sentence), (const struct bp_field[]){ { 0 }, ##__VA_ARGS__ } + 1, \
        sizeof((const struct bp_field[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct bp_field) - 1)

enum bp_log_form { BP_LOG_AUTO, BP_LOG_PLAIN, BP_LOG_JSON, BP_LOG_JOURNAL };

/** Start-up, one thread: lines above `max` are dropped; default NOTICE, auto. */
void bp_log_setup(enum bp_log_level max, enum bp_log_form form);
/** Lines above it are dropped from now on. Any thread. */
void bp_log_set_level(enum bp_log_level max);
/** "error" … "debug". */
const char *bp_log_level_text(enum bp_log_level level);
/** Level by name ("error" … "debug"), or -EINVAL. */
int bp_log_level_from_text(const char *s);

/* A line that was written, as text: the sentence and then its fields, "  key=value". */
struct bp_log_line {
    uint64_t number; /* of the process's lines, from 1 */
    int64_t wall_ns;
    enum bp_log_level level;
    const char *text;
    bool cut; /* it was longer */
};

enum { BP_LOG_LINES = 2048, BP_LOG_TEXT = 500 };

/**
 * The newest lines that were written, oldest first; BP_LOG_LINES are kept. Any thread.
 *
 * @param after  only lines with a higher number
 * @param fn     borrowed for the call; under the log's lock: it must not log. Nonzero stops
 * @return number of the last line written so far
 */
uint64_t bp_log_recent(uint64_t after, int (*fn)(void *ctx, const struct bp_log_line *line),
                       void *ctx);

/**
 * Told of each line, on the thread that writes it, without a lock; must not wait. What it logs
 * itself is not told. One at a time per process.
 *
 * @param fn  NULL: nobody any more; when it returns the former one runs no more
 */
void bp_log_tap(void (*fn)(void *ctx, const struct bp_log_line *line), void *ctx);

/* At most one line per `interval`; what was held back is counted into the next one's field
 * "suppressed". Zero-initialise, static, shared by threads. */
struct bp_log_limit {
    int64_t next_mono; /* [atomic] */
    uint64_t held;     /* [atomic] */
};

/** True when a line may be written now; *ret_held = lines held back since the last one. */
bool bp_log_allowed(struct bp_log_limit *l, int64_t interval_ns, uint64_t *ret_held);
