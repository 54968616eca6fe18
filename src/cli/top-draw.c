#include "cli/top-draw.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <wchar.h>

/* The screen from top to bottom: a title, a few lines about the whole, sessions, topics (they get
 * what is left), alerts, the log, keys. On a low screen the log goes first, then robots, then the
 * host's line; alerts and losses stay. */

/* Where text goes next; what does not fit is cut. */
struct pen {
    struct bp_top_screen *s;
    bool utf8;
    int row, col, end; /* end: first column that is not ours */
    uint8_t look;
};

void bp_top_screen_done(struct bp_top_screen *s) {
    if (!s)
        return;
    free(BP_TAKE_PTR(s->cells));
    s->width = s->height = 0;
}

/* ---- writing ---- */

static void put_rune(struct pen *p, uint32_t v) {
    int width = v < 0x80 ? 1 : wcwidth((wchar_t) v);
    struct bp_top_cell *c;

    if (width == 0) /* a combining mark: it would need a cell of several characters */
        return;
    if (width < 0 || (v >= 0x80 && !p->utf8)) {
        v = '?';
        width = 1;
    }
    if (p->row >= p->s->height || p->col + width > p->end) {
        p->end = p->col;
        return;
    }
    c = &p->s->cells[p->row * p->s->width + p->col];
    c[0] = (struct bp_top_cell){ v, p->look };
    if (width == 2)
        c[1] = (struct bp_top_cell){ 0, p->look };
    p->col += width;
}

static void put(struct pen *p, const char *text) {
    size_t len;

    for (; text && *text; text += len) {
        uint32_t v = bp_top_rune(text, &len);

        put_rune(p, v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0xfffd ? '?' : v);
    }
}

BP_PRINTF(2, 3) static void putf(struct pen *p, const char *fmt, ...) {
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    (void) vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put(p, text);
}

static void put_look(struct pen *p, unsigned look, const char *text) {
    uint8_t before = p->look;

    p->look |= (uint8_t) look;
    put(p, text);
    p->look = before;
}

/* A pen for `width` columns of a row; a negative width goes to the screen's edge. */
static struct pen at(const struct pen *p, int row, int col, int width) {
    int end = width < 0 ? p->s->width : BP_MIN(p->s->width, col + width);

    return (struct pen){ p->s, p->utf8, row, BP_MIN(col, end), end, p->look };
}

static void right(const struct pen *p, int row, int col, int width, const char *text) {
    int n = (int) strlen(text); /* numbers: ASCII */
    struct pen q = at(p, row, n < width ? col + width - n : col, n < width ? n : width);

    put(&q, text);
}

static void fill(const struct pen *p, int row, unsigned look) {
    for (int i = 0; row < p->s->height && i < p->s->width; i++)
        p->s->cells[row * p->s->width + i] = (struct bp_top_cell){ ' ', (uint8_t) look };
}

/* ---- values as text ---- */

static const char *bytes_text(double n, char *ret, size_t cap) {
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    size_t u = 0;

    while (n >= 999.95 && u + 1 < BP_COUNT(units)) {
        n /= 1000;
        u++;
    }
    (void) snprintf(ret, cap, u ? "%.1f %s" : "%.0f %s", n, units[u]);
    return ret;
}

static const char *rate_text(double hz, char *ret, size_t cap) {
    (void) snprintf(ret, cap, hz >= 1e7 ? "%.2e" : hz >= 999.95 ? "%.0f" : "%.1f", hz);
    return ret;
}

static const char *span_text(double s, char *ret, size_t cap) {
    int64_t n = s > 0 && s < 1e12 ? (int64_t) s : 0;

    if (n < 60)
        (void) snprintf(ret, cap, "%llds", (long long) n);
    else if (n < 3600)
        (void) snprintf(ret, cap, "%lldm%02llds", (long long) (n / 60), (long long) (n % 60));
    else if (n < 86400)
        (void) snprintf(ret, cap, "%lldh%02lldm", (long long) (n / 3600),
                        (long long) (n / 60 % 60));
    else
        (void) snprintf(ret, cap, "%lldd%02lldh", (long long) (n / 86400),
                        (long long) (n / 3600 % 24));
    return ret;
}

static void put_spark(struct pen *p, const struct bp_top_history *h, int width) {
    static const char ascii[] = "_.:-=+*#";
    size_t n = BP_MIN(h->n, (size_t) BP_MAX(width, 0));
    float most = 0;

    for (size_t i = h->n - n; i < h->n; i++)
        most = BP_MAX(most, h->v[i]);
    for (int i = (int) n; i < width; i++)
        put_rune(p, ' ');
    for (size_t i = h->n - n; i < h->n; i++) {
        double part = most > 0 && h->v[i] > 0 ? (double) h->v[i] / (double) most : 0;
        unsigned level = (unsigned) lround(part * 7);

        put_rune(p, p->utf8 ? 0x2581 + level : (uint32_t) ascii[level]);
    }
}

static void put_bar(struct pen *p, double part, int width) {
    int n = (int) lround(BP_MAX(0, BP_MIN(part, 1)) * width);

    put(p, "[");
    for (int i = 0; i < width; i++)
        put_rune(p, i < n ? '#' : ' ');
    put(p, "]");
}

/* ---- the parts ---- */

static unsigned look_of_state(const struct bp_top_model *m) {
    return !m->there                            ? BP_TOP_YELLOW
           : strcmp(m->state, "recording") == 0 ? BP_TOP_GREEN
           : strcmp(m->state, "disk_full") == 0 ? BP_TOP_RED
           : strcmp(m->state, "paused") == 0    ? BP_TOP_YELLOW
                                                : BP_TOP_PLAIN;
}

static void draw_title(const struct pen *p, const struct bp_top_model *m,
                       const struct bp_top_view *v) {
    struct pen q = at(p, 0, 1, -1);
    char up[24], state[40];
    int n;

    fill(p, 0, BP_TOP_TURNED);
    q.look = BP_TOP_TURNED;
    for (n = 0; n < (int) sizeof state - 1 && m->state[n]; n++)
        state[n] = m->state[n] == '_' ? ' ' : (char) (m->state[n] & ~(m->state[n] >= 'a' ? 32 : 0));
    state[n] = 0;
    put_look(&q, BP_TOP_BOLD | look_of_state(m),
             !m->ever    ? "CONNECTING"
             : !m->there ? "NO ANSWER"
                         : state);
    if (m->ever)
        putf(&q, "  up %s", span_text(m->uptime_s, up, sizeof up));
    if (*m->degraded)
        putf(&q, "  DEGRADED: %s", m->degraded);
    n = (int) strlen(v->url) + 9;
    q = at(p, 0, BP_MAX(q.col + 2, p->s->width - n), -1);
    q.look = BP_TOP_TURNED;
    putf(&q, "bagpipe %s", v->url);
}

static void draw_in(const struct pen *p, int row, const struct bp_top_model *m) {
    int spark = p->s->width >= 100 ? 24 : p->s->width >= 70 ? 12 : 0;
    struct pen q = at(p, row, 0, -1);
    char a[24], b[24];

    putf(&q, "in    %8s msg/s ", rate_text(m->hz, a, sizeof a));
    put_spark(&q, &m->rates, spark);
    putf(&q, "  %9s/s ", bytes_text(m->bytes_per_s, b, sizeof b));
    put_spark(&q, &m->bytes, spark);
    if (p->s->width >= 60)
        putf(&q, "  %lld topics", (long long) m->topics);
}

static void draw_ring(const struct pen *p, int row, const struct bp_top_model *m) {
    struct pen q = at(p, row, 0, -1);
    char size[24], lost[64];

    put(&q, "ring  ");
    q.look = m->fullest_ring > 0.8 ? BP_TOP_RED : m->fullest_ring > 0.5 ? BP_TOP_YELLOW : 0;
    if (p->s->width >= 60)
        put_bar(&q, m->fullest_ring, 20);
    putf(&q, " %3.0f %%", m->fullest_ring * 100);
    q.look = BP_TOP_PLAIN;
    if (m->ring_size > 0)
        putf(&q, " of %s", bytes_text((double) m->ring_size, size, sizeof size));
    if (*m->takes && strcmp(m->takes, "all") != 0)
        put_look(&q, BP_TOP_RED, " (not all is taken)");
    (void) snprintf(lost, sizeof lost, "   lost %lld", (long long) m->lost);
    put_look(&q, m->lost > 0 ? BP_TOP_RED | BP_TOP_BOLD : BP_TOP_PLAIN, lost);
    if (m->udp_drops > 0)
        putf(&q, "   packets dropped %lld", (long long) m->udp_drops);
}

static void draw_disk(const struct pen *p, int row, const struct bp_top_model *m) {
    double used = m->disk_size > 0 ? 1 - (double) m->disk_free / (double) m->disk_size : 0;
    struct pen q = at(p, row, 0, -1);
    char a[24], b[24];

    put(&q, "disk  ");
    q.look = used > 0.95 ? BP_TOP_RED : used > 0.85 ? BP_TOP_YELLOW : BP_TOP_PLAIN;
    if (p->s->width >= 60)
        put_bar(&q, used, 20);
    putf(&q, " %3.0f %%", used * 100);
    q.look = BP_TOP_PLAIN;
    putf(&q, " of %s   %s free", bytes_text((double) m->disk_size, b, sizeof b),
         bytes_text((double) m->disk_free, a, sizeof a));
    if (p->s->width >= 90)
        putf(&q, "   %s", m->dir);
}

/* "online, 12 MB to go, 1.2 MB/s, 10 s", or why not. */
static void put_sync(struct bp_buf *out, const struct bp_top_model *m) {
    char a[24], b[24];

    if (!*m->sync) {
        bp_buf_put_str(out, "no upstream");
        return;
    }
    bp_buf_printf(out, "%s", m->sync);
    if (m->sync_bytes > 0)
        bp_buf_printf(out, ", %s to go", bytes_text((double) m->sync_bytes, a, sizeof a));
    if (m->sync_rate >= 1)
        bp_buf_printf(out, ", %s/s", bytes_text(m->sync_rate, b, sizeof b));
    if (m->sync_bytes > 0 && m->sync_left_s > 0)
        bp_buf_printf(out, ", %s", span_text(m->sync_left_s, a, sizeof a));
    if (*m->sync_text)
        bp_buf_printf(out, ": %s", m->sync_text);
}

static void draw_host(const struct pen *p, int row, const struct bp_top_model *m) {
    struct pen q = at(p, row, 0, -1);
    BP_AUTO_BUF sync = { 0 };

    put(&q, "host  ");
    if (m->cpu >= 0)
        putf(&q, "cpu %.0f %%  load %.1f", m->cpu * 100, m->load);
    if (m->memory >= 0)
        putf(&q, "  memory %.0f %%", m->memory * 100);
    if (m->temperature > -273)
        putf(&q, "  %.0f C", m->temperature);
    put(&q, "   sync  ");
    put_sync(&sync, m);
    if (bp_buf_cstr(&sync))
        put(&q, bp_buf_cstr(&sync));
}

static void draw_robots(const struct pen *p, int row, const struct bp_top_model *m) {
    struct pen q = at(p, row, 0, -1);
    char a[24], b[24];

    put(&q, "robots ");
    if (m->nrobots == 0)
        put(&q, "none seen");
    for (size_t i = 0; i < m->nrobots; i++)
        putf(&q, "%s%s %s/s %s/s", i ? "  | " : "", m->robot[i].name,
             rate_text(m->robot[i].hz, a, sizeof a),
             bytes_text(m->robot[i].bytes_per_s, b, sizeof b));
}

static void draw_session(const struct pen *p, int row, const struct bp_top_model *m,
                         const struct bp_top_view *v, const struct bp_top_session *s) {
    bool paused = strcmp(s->status, "paused") == 0, several = m->nsessions > 1;
    double ran = (double) (v->wall_ns - s->started_ns) / 1e9;
    bool wide = p->s->width >= 80;
    int name = BP_MAX(6, p->s->width - (wide ? 54 : 36));
    struct pen q = at(p, row, 0, -1);
    char a[24], b[24], tail[160];

    put_look(&q, paused ? BP_TOP_YELLOW : BP_TOP_GREEN | BP_TOP_BOLD,
             several && s == bp_top_chosen(m) ? ">" : " ");
    put_look(&q, paused ? BP_TOP_YELLOW : BP_TOP_GREEN, paused ? "paused " : "record ");
    q = at(p, row, 8, name);
    put(&q, s->name);
    (void) span_text(ran, a, sizeof a);
    (void) bytes_text((double) s->bytes, b, sizeof b);
    if (wide)
        (void) snprintf(tail, sizeof tail, "%7s %11lld msg %9s", a, (long long) s->messages, b);
    else
        (void) snprintf(tail, sizeof tail, "%6s %8s", a, b);
    q = at(p, row, 8 + name + 1, -1);
    put(&q, tail);
    (void) snprintf(tail, sizeof tail, " lost %lld", (long long) s->lost);
    put_look(&q, s->lost > 0 ? BP_TOP_RED : BP_TOP_PLAIN, tail);
}

static void draw_sessions(const struct pen *p, int row, int n, const struct bp_top_model *m,
                          const struct bp_top_view *v) {
    struct pen q = at(p, row, 0, -1);
    size_t chosen = m->nsessions ? (size_t) (bp_top_chosen(m) - m->session) : 0;
    size_t first = chosen >= (size_t) n ? chosen - (size_t) n + 1 : 0;

    if (m->nsessions == 0)
        put(&q, " nothing is recorded; s starts");
    for (int i = 0; i < n && first + (size_t) i < m->nsessions; i++)
        draw_session(p, row + i, m, v, &m->session[first + (size_t) i]);
}

/* Columns of the topic table; the name gets what is left. 0 wide: not shown. */
struct columns {
    int name, type, rate, spark, bytes, age, lost;
};

static struct columns columns_of(int width) {
    struct columns c = { .rate = 8, .bytes = 9, .lost = 7 };

    c.age = width >= 60 ? 6 : 0;
    c.spark = width >= 100 ? 20 : width >= 70 ? 10 : 0;
    c.type = width >= 110 ? 28 : 0;
    c.name = width - c.rate - c.bytes - c.lost - 3;
    c.name -= c.age ? c.age + 1 : 0;
    c.name -= c.spark ? c.spark + 1 : 0;
    c.name -= c.type ? c.type + 1 : 0;
    return c;
}

static void draw_heading(const struct pen *p, int row, const struct bp_top_model *m) {
    static const char *const titles[] = { "topic", "msg/s", "B/s", "lost" };
    struct columns c = columns_of(p->s->width);
    struct pen turned = *p, q;
    char t[BP_COUNT(titles)][16];
    char name[96];
    int col = 0;

    static_assert(BP_COUNT(titles) == BP_TOP_SORTS, "one each");
    for (size_t i = 0; i < BP_COUNT(titles); i++)
        (void) snprintf(t[i], sizeof t[i], "%s%s", titles[i],
                        m->sort != i ? ""
                        : m->reverse ? " ^"
                                     : " v");
    fill(p, row, BP_TOP_TURNED);
    turned.look = BP_TOP_TURNED;
    (void) snprintf(name, sizeof name, "%s  %zu", t[0], m->nshown);
    q = at(&turned, row, col, c.name);
    put(&q, name);
    if (*m->filter)
        putf(&q, " with '%s'", m->filter);
    if (m->hidden > 0)
        putf(&q, " (%lld more)", (long long) m->hidden);
    col += c.name + 1;
    q = at(&turned, row, col, c.type);
    put(&q, "type");
    col += c.type ? c.type + 1 : 0;
    right(&turned, row, col, c.rate, t[1]);
    col += c.rate + 1 + (c.spark ? c.spark + 1 : 0);
    right(&turned, row, col, c.bytes, t[2]);
    col += c.bytes + 1;
    right(&turned, row, col, c.age, "age");
    col += c.age ? c.age + 1 : 0;
    right(&turned, row, col, c.lost, t[3]);
}

static const char *age_text(const struct bp_top_topic *t, char *ret, size_t cap) {
    if (t->age_s < 0)
        return "-";
    if (t->age_s >= 10)
        return span_text(t->age_s, ret, cap);
    (void) snprintf(ret, cap, "%.1fs", t->age_s);
    return ret;
}

static void draw_topic(const struct pen *p, int row, const struct bp_top_topic *t) {
    struct columns c = columns_of(p->s->width);
    struct pen q = at(p, row, 0, c.name), line = *p;
    int col = c.name + 1;
    char text[32];

    q.look = line.look = t->subscribed ? BP_TOP_PLAIN : t->deaf ? BP_TOP_RED : BP_TOP_DIM;
    put(&q, t->name);
    q = at(&line, row, col, c.type);
    put(&q, t->type);
    col += c.type ? c.type + 1 : 0;
    right(&line, row, col, c.rate, t->subscribed ? rate_text(t->hz, text, sizeof text) : "-");
    col += c.rate + 1;
    q = at(&line, row, col, c.spark);
    put_spark(&q, &t->rates, t->subscribed ? c.spark : 0);
    col += c.spark ? c.spark + 1 : 0;
    right(&line, row, col, c.bytes,
          t->subscribed ? bytes_text(t->bytes_per_s, text, sizeof text) : "-");
    col += c.bytes + 1;
    if (c.age)
        right(&line, row, col, c.age, age_text(t, text, sizeof text));
    col += c.age ? c.age + 1 : 0;
    line.look |= t->lost > 0 ? BP_TOP_RED : 0;
    (void) snprintf(text, sizeof text, "%lld", (long long) t->lost);
    right(&line, row, col, c.lost, text);
}

static void draw_topics(const struct pen *p, int row, int n, struct bp_top_model *m) {
    size_t page = (size_t) BP_MAX(n - 1, 0);

    if (m->top + page > m->nshown)
        m->top = m->nshown > page ? m->nshown - page : 0;
    draw_heading(p, row, m);
    for (size_t i = 0; i < page && m->top + i < m->nshown; i++)
        draw_topic(p, row + 1 + (int) i, &m->topic[m->shown[m->top + i]]);
}

static unsigned look_of_level(const char *level) {
    return strcmp(level, "critical") == 0 || strcmp(level, "error") == 0 ? BP_TOP_RED
           : strcmp(level, "warning") == 0                               ? BP_TOP_YELLOW
                                                                         : BP_TOP_PLAIN;
}

static void draw_alerts(const struct pen *p, int row, int n, const struct bp_top_model *m) {
    for (int i = 0; i < n && (size_t) i < m->nalerts; i++) {
        const struct bp_top_alert *a = &m->alert[i];
        struct pen q = at(p, row + i, 0, -1);

        if (i == n - 1 && m->nalerts > (size_t) n) {
            putf(&q, "! %zu more alerts", m->nalerts - (size_t) i);
            return;
        }
        q.look = (uint8_t) look_of_level(a->severity);
        putf(&q, "! %s: %s", a->key, a->text);
    }
}

static void draw_log(const struct pen *p, int row, int n, const struct bp_top_model *m) {
    size_t shown = BP_MIN((size_t) BP_MAX(n - 1, 0), m->nlines), first = m->nlines - shown;
    struct pen q = at(p, row, 0, -1);

    if (n <= 0)
        return;
    fill(p, row, BP_TOP_TURNED);
    q.look = BP_TOP_TURNED;
    put(&q, "log");
    for (size_t i = 0; i < shown; i++) {
        const struct bp_top_line *l = &m->line[first + i];

        q = at(p, row + 1 + (int) i, 0, -1);
        q.look = (uint8_t) look_of_level(l->level);
        putf(&q, "%s %s", l->time, l->text);
    }
}

static void draw_bottom(const struct pen *p, int row, const struct bp_top_model *m,
                        const struct bp_top_view *v) {
    struct pen q = at(p, row, 0, -1);

    if (v->prompt) {
        int keep = p->s->width - (int) strlen(v->prompt) - 3;
        size_t n = v->typed ? strlen(v->typed) : 0;
        /* The end of a long text is what is being typed. */
        const char *tail = n > (size_t) BP_MAX(keep, 1) ? v->typed + n - BP_MAX(keep, 1) : v->typed;

        while (tail && (*tail & 0xc0) == 0x80) /* not in the middle of a character */
            tail++;
        put_look(&q, BP_TOP_BOLD, v->prompt);
        put(&q, " ");
        put(&q, tail);
        put_look(&q, BP_TOP_TURNED, " ");
    } else if (v->note) {
        put_look(&q, v->bad ? BP_TOP_RED | BP_TOP_BOLD : BP_TOP_BOLD, v->note);
    } else if (m->ever && !m->there) {
        q.look = BP_TOP_YELLOW | BP_TOP_BOLD;
        putf(&q, "agent is gone, trying again: %s", m->trouble);
    } else if (!m->ever && *m->trouble) {
        q.look = BP_TOP_YELLOW | BP_TOP_BOLD;
        putf(&q, "no agent yet, trying again: %s", m->trouble);
    } else {
        put_look(
            &q, BP_TOP_DIM,
            p->s->width >= 80
                ? "s start  x stop  p pause  m mark  S snapshot  / filter  nrbl sort  h help  q"
                : "s x p m S  / filter  h help  q quit");
    }
}

static void draw_help(const struct pen *p) {
    static const char *const lines[] = {
        "s  start a session         S  snapshot",  "x  stop      p  pause, resume",
        "m  mark      Tab  choose a session",      "n r b l  sort by name, rate, bytes, loss",
        "left, right  too; again turns it round",  "/  filter topics: name, type or robot",
        "up, down, PgUp, PgDn, Home, End  scroll", "q  quit      h  back      Ctrl-L  redraw",
    };

    for (int i = 0; i < (int) BP_COUNT(lines); i++) {
        struct pen q = at(p, 1 + i, 0, -1);

        put(&q, lines[i]);
    }
}

static void draw_all(const struct pen *p, struct bp_top_model *m, const struct bp_top_view *v,
                     int *ret_page) {
    int h = p->s->height, row = 1, bottom = h - 1;
    int nsessions = BP_MAX(1, BP_MIN((int) m->nsessions, h / 8));
    int nalerts = BP_MIN((int) m->nalerts, BP_MAX(1, h / 8));
    int nlog = h >= 20 ? h / 5 + 1 : 0;

    draw_title(p, m, v);
    draw_in(p, row++, m);
    draw_ring(p, row++, m);
    if (h >= 12)
        draw_disk(p, row++, m);
    if (h >= 16) {
        draw_host(p, row++, m);
        draw_robots(p, row++, m);
    }
    draw_sessions(p, row, nsessions, m, v);
    row += nsessions;
    draw_log(p, bottom - nlog, nlog, m);
    draw_alerts(p, bottom - nlog - nalerts, nalerts, m);
    draw_topics(p, row, bottom - nlog - nalerts - row, m);
    *ret_page = BP_MAX(1, bottom - nlog - nalerts - row - 1);
    draw_bottom(p, bottom, m, v);
}

static int resize(struct bp_top_screen *s, int width, int height) {
    struct bp_top_cell *cells;

    if (s->cells && s->width == width && s->height == height)
        return 0;
    cells = reallocarray(s->cells, (size_t) width * (size_t) height, sizeof *cells);
    if (!cells)
        return -ENOMEM;
    *s = (struct bp_top_screen){ width, height, cells };
    return 0;
}

int bp_top_draw(struct bp_top_model *m, const struct bp_top_view *v, int width, int height,
                struct bp_top_screen *s, int *ret_page) {
    int page = 1, r;
    struct pen p;

    width = BP_MAX(1, BP_MIN(width, BP_TOP_MAX_SIDE));
    height = BP_MAX(1, BP_MIN(height, BP_TOP_MAX_SIDE));
    r = resize(s, width, height);
    if (r < 0)
        return r;
    p = (struct pen){ .s = s, .utf8 = v->utf8, .end = width };
    for (int i = 0; i < height; i++)
        fill(&p, i, BP_TOP_PLAIN);
    if (width < BP_TOP_MIN_WIDTH || height < BP_TOP_MIN_HEIGHT) {
        struct pen q = at(&p, 0, 0, -1);

        put(&q, "too small");
        q = at(&p, 1, 0, -1);
        putf(&q, "need %dx%d", BP_TOP_MIN_WIDTH, BP_TOP_MIN_HEIGHT);
    } else if (v->help) {
        draw_title(&p, m, v);
        draw_help(&p);
        draw_bottom(&p, height - 1, m, v);
    } else {
        draw_all(&p, m, v, &page);
    }
    if (ret_page)
        *ret_page = page;
    return 0;
}

/* ---- as text ---- */

void bp_top_put_rune(struct bp_buf *b, uint32_t v) {
    if (v < 0x80) {
        bp_buf_put_u8(b, (uint8_t) v);
    } else if (v < 0x800) {
        bp_buf_put_u8(b, (uint8_t) (0xc0 | v >> 6));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (v & 0x3f)));
    } else {
        if (v < 0x10000) {
            bp_buf_put_u8(b, (uint8_t) (0xe0 | v >> 12));
        } else {
            bp_buf_put_u8(b, (uint8_t) (0xf0 | v >> 18));
            bp_buf_put_u8(b, (uint8_t) (0x80 | (v >> 12 & 0x3f)));
        }
        bp_buf_put_u8(b, (uint8_t) (0x80 | (v >> 6 & 0x3f)));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (v & 0x3f)));
    }
}

void bp_top_row(const struct bp_top_screen *s, int row, struct bp_buf *ret) {
    const struct bp_top_cell *c = &s->cells[(ptrdiff_t) row * s->width];
    int n = s->width;

    while (n > 0 && c[n - 1].rune == ' ')
        n--;
    for (int i = 0; i < n; i++)
        if (c[i].rune)
            bp_top_put_rune(ret, c[i].rune);
}

static void report_topics(const struct bp_top_model *m, struct bp_buf *b) {
    char rate[24], bytes[24];

    bp_buf_printf(b, "\n%-48s  %9s  %10s  %8s  %s\n", "topic", "msg/s", "B/s", "lost", "type");
    for (size_t i = 0; i < m->nshown; i++) {
        const struct bp_top_topic *t = &m->topic[m->shown[i]];

        bp_buf_printf(b, "%-48s  %9s  %10s  %8lld  %s\n", t->name,
                      t->subscribed ? rate_text(t->hz, rate, sizeof rate) : "-",
                      t->subscribed ? bytes_text(t->bytes_per_s, bytes, sizeof bytes) : "-",
                      (long long) t->lost, t->type);
    }
}

static void report_sessions(const struct bp_top_model *m, const struct bp_top_view *v,
                            struct bp_buf *b) {
    char span[24], size[24];

    bp_buf_printf(b, "sessions %zu\n", m->nsessions);
    for (size_t i = 0; i < m->nsessions; i++) {
        const struct bp_top_session *s = &m->session[i];

        bp_buf_printf(b, "  %s  %s, for %s, %lld messages, %s, lost %lld%s%s\n", s->name, s->status,
                      span_text((double) (v->wall_ns - s->started_ns) / 1e9, span, sizeof span),
                      (long long) s->messages, bytes_text((double) s->bytes, size, sizeof size),
                      (long long) s->lost, *s->error ? ": " : "", s->error);
    }
}

void bp_top_report(const struct bp_top_model *m, const struct bp_top_view *v, struct bp_buf *ret) {
    char x[24], y[24];

    bp_buf_printf(ret, "agent    %s, bagpipe %s, up %s\n", v->url, m->version,
                  span_text(m->uptime_s, x, sizeof x));
    bp_buf_printf(ret, "state    %s%s%s\n", m->state, *m->degraded ? ", degraded: " : "",
                  m->degraded);
    bp_buf_printf(ret, "in       %s msg/s, %s/s, %lld topics, %lld writers\n",
                  rate_text(m->hz, x, sizeof x), bytes_text(m->bytes_per_s, y, sizeof y),
                  (long long) m->topics, (long long) m->writers);
    bp_buf_printf(ret, "ring     %.0f %% of %s\n", m->fullest_ring * 100,
                  bytes_text((double) m->ring_size, x, sizeof x));
    bp_buf_printf(ret, "lost     %lld\n", (long long) m->lost);
    bp_buf_printf(ret, "disk     %s free of %s in %s\n",
                  bytes_text((double) m->disk_free, x, sizeof x),
                  bytes_text((double) m->disk_size, y, sizeof y), m->dir);
    bp_buf_put_str(ret, "sync     ");
    put_sync(ret, m);
    bp_buf_put_u8(ret, '\n');
    for (size_t i = 0; i < m->nrobots; i++)
        bp_buf_printf(ret, "robot    %s, %d topics, %s msg/s, %s/s, lost %lld\n", m->robot[i].name,
                      m->robot[i].topics, rate_text(m->robot[i].hz, x, sizeof x),
                      bytes_text(m->robot[i].bytes_per_s, y, sizeof y),
                      (long long) m->robot[i].lost);
    for (size_t i = 0; i < m->nalerts; i++)
        bp_buf_printf(ret, "alert    %s, %s: %s\n", m->alert[i].severity, m->alert[i].key,
                      m->alert[i].text);
    report_sessions(m, v, ret);
    report_topics(m, ret);
}
