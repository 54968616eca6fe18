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
/** Level by name ("error" … "debug"), or -EINVAL. */
int bp_log_level_from_text(const char *s);

/* At most one line per `interval`; what was held back is counted into the next one's field
 * "suppressed". Zero-initialise, static, shared by threads. */
struct bp_log_limit {
    int64_t next_mono; /* [atomic] */
    uint64_t held;     /* [atomic] */
};

/** True when a line may be written now; *ret_held = lines held back since the last one. */
bool bp_log_allowed(struct bp_log_limit *l, int64_t interval_ns, uint64_t *ret_held);
