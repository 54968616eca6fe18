/* The API's part about the log: its last lines, and each new one as news. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "daemon/api.h"

/* A text that may hold anything as JSON: bytes that are not UTF-8 are replaced. */
static json_t *text_json(const char *text) {
    BP_AUTO_BUF quoted = { 0 };

    bp_json_put_text(&quoted, text, strlen(text));
    return quoted.failed ? NULL
                         : json_loadb((const char *) quoted.p, quoted.n, JSON_DECODE_ANY, NULL);
}

static json_t *line_json(uint64_t number, int64_t wall_ns, enum bp_log_level level,
                         const char *text, bool cut) {
    char time[32];

    (void) snprintf(time, sizeof time, "%lld", (long long) wall_ns);
    return json_pack("{s:I, s:s, s:s, s:o, s:b}", "number", (json_int_t) number, "time_ns", time,
                     "level", bp_log_level_text(level), "text", text_json(text), "cut", (int) cut);
}

/* ---- asked for ---- */

struct line {
    uint64_t number;
    int64_t wall_ns;
    enum bp_log_level level;
    bool cut;
    char text[BP_LOG_TEXT];
};

struct search {
    enum bp_log_level level; /* at most */
    const char *q;
    size_t n;           /* found; the last `cap` are kept */
    size_t cap;         /* at least 1 */
    struct line *lines; /* room for cap */
};

static int look_at(void *ctx, const struct bp_log_line *l) {
    struct search *s = ctx;
    struct line *to;

    if (l->level > s->level || (s->q && !strcasestr(l->text, s->q)))
        return 0;
    to = &s->lines[s->n++ % s->cap];
    *to = (struct line){ l->number, l->wall_ns, l->level, l->cut, "" };
    (void) snprintf(to->text, sizeof to->text, "%s", l->text);
    return 0;
}

int bp_api_get_logs(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *level = bp_http_query(req, "level");
    struct search s = { .level = BP_LOG_DEBUG, .q = bp_http_query(req, "q") };
    BP_AUTO_FREE struct line *lines = NULL;
    int64_t tail = 0, since = 0;
    json_t *list;
    uint64_t last;
    int r = bp_api_number(req, "tail", 200, 1, BP_LOG_LINES, &tail, err);

    if (r == 0)
        r = bp_api_number(req, "since", 0, 0, INT64_MAX, &since, err);
    if (r == 0 && level) {
        r = bp_log_level_from_text(level);
        if (r < 0)
            r = bp_fail(err, BP_EUSAGE, "level=%s: expected error, warning, notice, info or debug",
                        level);
        s.level = (enum bp_log_level) r;
    }
    if (r < 0)
        return r;
    s.cap = (size_t) tail;
    s.lines = lines = calloc(s.cap, sizeof *lines);
    if (!lines)
        return bp_fail(err, -ENOMEM, "out of memory");
    last = bp_log_recent((uint64_t) since, look_at, &s);
    list = json_array();
    for (size_t i = s.n > s.cap ? s.n - s.cap : 0; i < s.n; i++) {
        const struct line *l = &lines[i % s.cap];

        (void) json_array_append_new(list,
                                     line_json(l->number, l->wall_ns, l->level, l->text, l->cut));
    }
    bp_http_reply_json(reply, 200,
                       json_pack("{s:o, s:I}", "lines", list, "next", (json_int_t) last));
    return 0;
}

/* ---- as news ---- */

static void on_line(void *ctx, const struct bp_log_line *l) {
    bp_bus_publish(ctx, "log", line_json(l->number, l->wall_ns, l->level, l->text, l->cut));
}

void bp_api_log_start(struct bp_bus *bus) {
    bp_log_tap(on_line, bus);
}

void bp_api_log_stop(void) {
    bp_log_tap(NULL, NULL);
}
