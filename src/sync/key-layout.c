#include "sync/key-layout.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum word { DATE, YEAR, MONTH, DAY, ROBOT, DEVICE, NAME, ID, SESSION, WORDS_N_ };

static const char *const words[] = {
    [DATE] = "date", [YEAR] = "year",   [MONTH] = "month",
    [DAY] = "day",   [ROBOT] = "robot", [DEVICE] = "device",
    [NAME] = "name", [ID] = "id",       [SESSION] = "session",
};
_Static_assert(BP_COUNT(words) == WORDS_N_, "every word has a name");

/* The word that stands between braces at `p`, or -1. @param ret_end  behind it */
static int word_at(const char *p, const char **ret_end) {
    const char *end = strchr(p, '}');

    if (!end)
        return -1;
    *ret_end = end + 1;
    for (int i = 0; i < WORDS_N_; i++)
        if (strlen(words[i]) == (size_t) (end - p - 1) &&
            memcmp(words[i], p + 1, (size_t) (end - p - 1)) == 0)
            return i;
    return -1;
}

int bp_sync_key_check(const char *layout, struct bp_error *err) {
    bool unique = false;

    if (!*layout || *layout == '/')
        return bp_fail(err, BP_EUSAGE, "template '%s': begin with a name", layout);
    for (const char *p = layout, *end; *p; p = end) {
        int w;

        end = p + 1;
        if (*p != '{')
            continue;
        w = word_at(p, &end);
        if (w < 0)
            return bp_fail(err, BP_EUSAGE,
                           "template '%s': there are {date}, {year}, {month}, {day}, {robot}, "
                           "{device}, {name}, {id} and {session}",
                           layout);
        unique |= w == ID || w == SESSION;
    }
    return unique ? 0
                  : bp_fail(err, BP_EUSAGE,
                            "template '%s': without {session} or {id} sessions would overwrite "
                            "each other",
                            layout);
}

static void put_safe(struct bp_buf *out, const char *text) {
    bool begin = true;

    for (; *text; text++) {
        unsigned char c = (unsigned char) *text;
        bool bad =
            c <= ' ' || c == 0x7f || strchr("/\\?#%*\"'`<>|&;:{}^~[]", c) || (begin && c == '.');

        bp_buf_put_u8(out, bad ? '_' : c);
        begin = false;
    }
}

static void put_word(struct bp_buf *out, enum word w, const struct bp_sync_session_ref *s) {
    time_t sec = (time_t) (s->started_ns / BP_SEC);
    struct tm tm = { 0 };

    (void) gmtime_r(&sec, &tm);
    switch (w) {
    case DATE:
        bp_buf_printf(out, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        break;
    case YEAR:
        bp_buf_printf(out, "%04d", tm.tm_year + 1900);
        break;
    case MONTH:
        bp_buf_printf(out, "%02d", tm.tm_mon + 1);
        break;
    case DAY:
        bp_buf_printf(out, "%02d", tm.tm_mday);
        break;
    case ROBOT:
        put_safe(out, *s->robot ? s->robot : *s->device ? s->device : "unknown");
        break;
    case DEVICE:
        put_safe(out, *s->device ? s->device : "unknown");
        break;
    case NAME:
        put_safe(out, s->name);
        break;
    case ID:
        put_safe(out, s->id);
        break;
    default:
        put_safe(out, s->name);
        bp_buf_put_u8(out, '-');
        put_safe(out, s->id);
        break;
    }
}

void bp_sync_key_put(struct bp_buf *out, const char *layout, const struct bp_sync_session_ref *s,
                     const char *name) {
    size_t before = out->n;

    for (const char *p = layout, *end; *p; p = end) {
        int w;

        end = p + 1;
        w = *p == '{' ? word_at(p, &end) : -1;
        if (w >= 0)
            put_word(out, (enum word) w, s);
        else
            bp_buf_put_u8(out, (uint8_t) *p);
    }
    if (out->n > before && out->p[out->n - 1] != '/')
        bp_buf_put_u8(out, '/');
    bp_buf_put_str(out, name);
}
