#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mutex.h"
#include "base/time.h"

/* One line is built whole and written by one call, so that lines of several threads do not mix. */

static const struct {
    const char *name, *color;
    int priority; /* as in syslog(3) */
} levels[] = {
    [BP_LOG_ERROR] = { "error", "\033[1;31m", 3 }, [BP_LOG_WARNING] = { "warning", "\033[33m", 4 },
    [BP_LOG_NOTICE] = { "notice", "\033[36m", 5 }, [BP_LOG_INFO] = { "info", "\033[32m", 6 },
    [BP_LOG_DEBUG] = { "debug", "\033[2m", 7 },
};

/* Set at start-up, then constant but for the level. */
static struct {
    int max; /* [atomic] enum bp_log_level */
    enum bp_log_form form;
    int journal; /* socket, or -1 */
    bool color;
} setup = { .max = BP_LOG_NOTICE, .form = BP_LOG_AUTO, .journal = -1 };

/* systemd sets JOURNAL_STREAM to device:inode of the stream it gave us as stderr. */
static bool stderr_goes_to_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM"); /* NOLINT(concurrency-mt-unsafe): no setenv() */
    char ours[64];
    struct stat st;

    if (!stream || fstat(STDERR_FILENO, &st) < 0)
        return false;
    (void) snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
    return bp_streq(stream, ours);
}

static int open_journal(void) {
    static const struct sockaddr_un at = { .sun_family = AF_UNIX,
                                           .sun_path = "/run/systemd/journal/socket" };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *) &at, sizeof at) < 0) {
        (void) close(fd);
        fd = -1;
    }
    return fd;
}

static enum bp_log_form choose_form(void) {
    if (stderr_goes_to_journal())
        return BP_LOG_JOURNAL;
    return isatty(STDERR_FILENO) == 1 ? BP_LOG_PLAIN : BP_LOG_JSON;
}

void bp_log_setup(enum bp_log_level max, enum bp_log_form form) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    const char *no_color = getenv("NO_COLOR");

    bp_log_set_level(max);
    setup.form = form == BP_LOG_AUTO ? choose_form() : form;
    setup.color = isatty(STDERR_FILENO) == 1 && !(no_color && *no_color);
    if (setup.journal >= 0)
        (void) close(setup.journal);
    setup.journal = setup.form == BP_LOG_JOURNAL ? open_journal() : -1;
    if (setup.form == BP_LOG_JOURNAL && setup.journal < 0)
        setup.form = BP_LOG_PLAIN;
}

void bp_log_set_level(enum bp_log_level max) {
    __atomic_store_n(&setup.max, (int) max, __ATOMIC_RELAXED);
}

const char *bp_log_level_text(enum bp_log_level level) {
    return (unsigned) level < BP_COUNT(levels) ? levels[level].name : "";
}

int bp_log_level_from_text(const char *s) {
    for (size_t i = 0; i < BP_COUNT(levels); i++)
        if (bp_streq(levels[i].name, s))
            return (int) i;
    return -EINVAL;
}

static void put_number(struct bp_buf *b, const struct bp_field *f) {
    if (f->type == BP_FIELD_INT)
        bp_buf_printf(b, "%" PRId64, f->i);
    else if (f->type == BP_FIELD_UINT)
        bp_buf_printf(b, "%" PRIu64, f->u);
    else
        bp_buf_printf(b, "%.9g", f->real);
}

/* Control characters of a quoted text must not play with the reader's terminal. */
static void put_quoted(struct bp_buf *b, const char *s) {
    bp_buf_put_u8(b, '\'');
    for (; *s; s++) {
        if (iscntrl((unsigned char) *s))
            bp_buf_printf(b, "\\x%02x", (unsigned) (unsigned char) *s);
        else
            bp_buf_put_u8(b, (uint8_t) *s);
    }
    bp_buf_put_u8(b, '\'');
}

static void plain_line(struct bp_buf *b, enum bp_log_level level, const char *sentence,
                       const struct bp_field *f, size_t n) {
    char now[BP_TIME_TEXT];

    (void) bp_time_format(bp_wall_ns(), now);
    bp_buf_printf(b, "%.12s %s%s%s: %s", now + 11, setup.color ? levels[level].color : "",
                  levels[level].name, setup.color ? "\033[0m" : "", sentence);
    for (size_t i = 0; i < n; i++) {
        bp_buf_printf(b, "  %s=", f[i].key);
        if (f[i].type == BP_FIELD_TEXT)
            put_quoted(b, f[i].text ? f[i].text : "");
        else
            put_number(b, &f[i]);
    }
    bp_buf_put_u8(b, '\n');
}

static void json_line(struct bp_buf *b, enum bp_log_level level, const char *sentence,
                      const struct bp_field *f, size_t n) {
    char now[BP_TIME_TEXT];

    bp_buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":",
                  bp_time_format(bp_wall_ns(), now), levels[level].name);
    bp_json_put_text(b, sentence, strlen(sentence));
    for (size_t i = 0; i < n; i++) {
        bp_buf_put_u8(b, ',');
        bp_json_put_text(b, f[i].key, strlen(f[i].key));
        bp_buf_put_u8(b, ':');
        if (f[i].type == BP_FIELD_TEXT)
            bp_json_put_text(b, f[i].text ? f[i].text : "", f[i].text ? strlen(f[i].text) : 0);
        else if (f[i].type == BP_FIELD_REAL && !isfinite(f[i].real))
            bp_buf_put_str(b, "null");
        else
            put_number(b, &f[i]);
    }
    bp_buf_put_str(b, "}\n");
}

/* KEY=value, or for values with line breaks KEY, a 64-bit length and the bytes
 * (systemd.io/JOURNAL_NATIVE_PROTOCOL). */
static void journal_field(struct bp_buf *b, const char *key, const char *value) {
    for (; *key; key++)
        bp_buf_put_u8(b, isalnum((unsigned char) *key) ? (uint8_t) toupper((unsigned char) *key)
                                                       : '_');
    if (strchr(value, '\n')) {
        bp_buf_put_u8(b, '\n');
        bp_buf_put_le64(b, strlen(value));
    } else {
        bp_buf_put_u8(b, '=');
    }
    bp_buf_put_str(b, value);
    bp_buf_put_u8(b, '\n');
}

static void journal_entry(struct bp_buf *b, enum bp_log_level level, const char *sentence,
                          const struct bp_field *f, size_t n) {
    bp_buf_printf(b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=bagpipe\n", levels[level].priority);
    journal_field(b, "MESSAGE", sentence);
    for (size_t i = 0; i < n; i++) {
        BP_AUTO_BUF number = { 0 };
        BP_AUTO_BUF key = { 0 };

        bp_buf_printf(&key, "BAGPIPE_%s", f[i].key);
        if (f[i].type != BP_FIELD_TEXT)
            put_number(&number, &f[i]);
        if (!key.failed && !number.failed)
            journal_field(b, bp_buf_cstr(&key),
                          f[i].type == BP_FIELD_TEXT ? (f[i].text ? f[i].text : "")
                                                     : bp_buf_cstr(&number));
    }
}

static void write_stderr(const struct bp_buf *b) {
    ssize_t r;

    do
        r = write(STDERR_FILENO, b->p, b->n);
    while (r < 0 && errno == EINTR);
}

/* ---- the last lines ---- */

/* A ring of lines with room for their text: nothing is allocated when one is written. */
static struct {
    struct bp_mutex lock; /* leaf */
    uint64_t n;           /* [lock] written so far */
    struct kept {
        uint64_t number;
        int64_t wall_ns;
        enum bp_log_level level;
        bool cut;
        char text[BP_LOG_TEXT];
    } lines[BP_LOG_LINES]; /* [lock] */
} kept = { .lock = BP_MUTEX_INIT };

/* Taken for reading by whoever tells the tap, so that taking it away waits for them. */
static pthread_rwlock_t tap_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct {
    void (*fn)(void *ctx, const struct bp_log_line *line);
    void *ctx;
} tap;                            /* [tap_lock] */
static _Thread_local bool in_tap; /* what a tap logs is not told to it */

static void append(char *text, size_t *n, bool *cut, const char *word) {
    for (; *word; word++) {
        if (*n + 1 >= BP_LOG_TEXT) {
            *cut = true;
            break;
        }
        text[(*n)++] = iscntrl((unsigned char) *word) ? ' ' : *word;
    }
    text[*n] = 0;
}

static void line_text(struct kept *to, const char *sentence, const struct bp_field *f, size_t n) {
    char number[40] = "";
    size_t at = 0;

    append(to->text, &at, &to->cut, sentence);
    for (size_t i = 0; i < n; i++) {
        append(to->text, &at, &to->cut, "  ");
        append(to->text, &at, &to->cut, f[i].key);
        append(to->text, &at, &to->cut, "=");
        if (f[i].type == BP_FIELD_INT)
            (void) snprintf(number, sizeof number, "%" PRId64, f[i].i);
        else if (f[i].type == BP_FIELD_UINT)
            (void) snprintf(number, sizeof number, "%" PRIu64, f[i].u);
        else if (f[i].type == BP_FIELD_REAL)
            (void) snprintf(number, sizeof number, "%.9g", f[i].real);
        append(to->text, &at, &to->cut,
               f[i].type != BP_FIELD_TEXT ? number
               : f[i].text                ? f[i].text
                                          : "");
    }
}

static struct bp_log_line line_of(const struct kept *k) {
    return (struct bp_log_line){ .number = k->number,
                                 .wall_ns = k->wall_ns,
                                 .level = k->level,
                                 .text = k->text,
                                 .cut = k->cut };
}

static void remember(enum bp_log_level level, const char *sentence, const struct bp_field *f,
                     size_t n) {
    struct kept fresh = { .wall_ns = bp_wall_ns(), .level = level };
    struct bp_log_line line;

    line_text(&fresh, sentence, f, n);
    bp_mutex_lock(&kept.lock);
    fresh.number = ++kept.n;
    kept.lines[fresh.number % BP_LOG_LINES] = fresh;
    bp_mutex_unlock(&kept.lock);
    if (in_tap)
        return;
    in_tap = true;
    (void) pthread_rwlock_rdlock(&tap_lock);
    line = line_of(&fresh);
    if (tap.fn)
        tap.fn(tap.ctx, &line);
    (void) pthread_rwlock_unlock(&tap_lock);
    in_tap = false;
}

uint64_t bp_log_recent(uint64_t after, int (*fn)(void *ctx, const struct bp_log_line *line),
                       void *ctx) {
    uint64_t first, last;

    bp_mutex_lock(&kept.lock);
    last = kept.n;
    first = last > BP_LOG_LINES ? last - BP_LOG_LINES + 1 : 1;
    for (uint64_t i = BP_MAX(first, after + 1); i <= last && fn; i++) {
        struct bp_log_line line = line_of(&kept.lines[i % BP_LOG_LINES]);

        if (fn(ctx, &line) != 0)
            break;
    }
    bp_mutex_unlock(&kept.lock);
    return last;
}

void bp_log_tap(void (*fn)(void *ctx, const struct bp_log_line *line), void *ctx) {
    (void) pthread_rwlock_wrlock(&tap_lock);
    tap.fn = fn;
    tap.ctx = ctx;
    (void) pthread_rwlock_unlock(&tap_lock);
}

void bp_log_fields(enum bp_log_level level, const char *sentence, const struct bp_field *f,
                   size_t n) {
    BP_AUTO_BUF b = { 0 };
    int saved = errno;

    if ((int) level > __atomic_load_n(&setup.max, __ATOMIC_RELAXED))
        return;
    remember(level, sentence, f, n);
    if (setup.form == BP_LOG_JOURNAL) {
        journal_entry(&b, level, sentence, f, n);
        if (!b.failed && send(setup.journal, b.p, b.n, MSG_NOSIGNAL) >= 0) {
            errno = saved;
            return;
        }
        bp_buf_clear(&b); /* the journal is away: stderr still goes somewhere */
    }
    if (setup.form == BP_LOG_JSON || (setup.form == BP_LOG_AUTO && isatty(STDERR_FILENO) != 1))
        json_line(&b, level, sentence, f, n);
    else
        plain_line(&b, level, sentence, f, n);
    write_stderr(&b);
    errno = saved;
}

bool bp_log_allowed(struct bp_log_limit *l, int64_t interval_ns, uint64_t *ret_held) {
    int64_t now = bp_mono_ns();
    int64_t next = __atomic_load_n(&l->next_mono, __ATOMIC_RELAXED);

    /* of several threads that find the interval over, one wins */
    if (now < next || !__atomic_compare_exchange_n(&l->next_mono, &next, now + interval_ns, false,
                                                   __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&l->held, 1, __ATOMIC_RELAXED);
        return false;
    }

    *ret_held = __atomic_exchange_n(&l->held, 0, __ATOMIC_RELAXED);
    return true;
}
