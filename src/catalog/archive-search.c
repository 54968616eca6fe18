/* Searching: pages with cursors, and what the sessions that match have in common. */
#include "catalog/archive-query.h"

#include <errno.h>
#include <stdio.h>

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

/* ---- cursors: "SORT.a|d.KEY.NUMBER", the key of a name in hex ---- */

static int bad_cursor(struct bp_error *err) {
    return bp_fail(
        err, BP_EUSAGE,
        "the cursor cannot be read: take the one of the page before, with the same sort");
}

static bool hex_name(const char *hex, size_t n, char *ret) {
    static const char digits[] = "0123456789abcdef";

    if (n % 2 != 0 || n / 2 > BP_ARCHIVE_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i += 2) {
        const char *high = strchr(digits, hex[i]), *low = strchr(digits, hex[i + 1]);

        if (!high || !low || !*high || !*low)
            return false;
        ret[i / 2] = (char) ((high - digits) << 4 | (low - digits));
    }
    ret[n / 2] = '\0';
    return true;
}

static bool number(const char *text, size_t n, int64_t *ret) {
    uint64_t v = 0;

    if (n == 0 || n > 19)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (uint64_t) (text[i] - '0');
    }
    *ret = (int64_t) v;
    return v <= INT64_MAX;
}

static int read_cursor(const struct bp_archive_search *s, struct bp_archive_from *ret,
                       struct bp_error *err) {
    char head[32];
    const char *p = s->cursor, *dot;
    size_t n = (size_t) snprintf(head, sizeof head, "%s.%c.", bp_archive_sort_name(s->sort),
                                 s->ascending ? 'a' : 'd');

    if (!p || !*p)
        return 0;
    if (strnlen(p, BP_ARCHIVE_CURSOR) == BP_ARCHIVE_CURSOR || strncmp(p, head, n) != 0)
        return bad_cursor(err);
    p += n;
    dot = strchr(p, '.');
    if (!dot || !number(dot + 1, strlen(dot + 1), &ret->num))
        return bad_cursor(err);
    ret->given = s->sort == BP_ARCHIVE_BY_NAME ? hex_name(p, (size_t) (dot - p), ret->name)
                                               : number(p, (size_t) (dot - p), &ret->key);
    return ret->given ? 0 : bad_cursor(err);
}

static void write_cursor(const struct bp_archive_search *s, const char *name, int64_t key,
                         int64_t num, char ret[static BP_ARCHIVE_CURSOR]) {
    int n = snprintf(ret, BP_ARCHIVE_CURSOR, "%s.%c.", bp_archive_sort_name(s->sort),
                     s->ascending ? 'a' : 'd');

    if (s->sort == BP_ARCHIVE_BY_NAME)
        for (; *name && n < BP_ARCHIVE_CURSOR - 24; name++)
            n += snprintf(ret + n, BP_ARCHIVE_CURSOR - (size_t) n, "%02x", (unsigned char) *name);
    else
        n += snprintf(ret + n, BP_ARCHIVE_CURSOR - (size_t) n, "%lld", (long long) key);
    (void) snprintf(ret + n, BP_ARCHIVE_CURSOR - (size_t) n, ".%lld", (long long) num);
}

/* ---- pages ---- */

struct queries {
    struct bp_query q, scope;
    const struct bp_query *both[2];
};

static void queries_done(struct queries *q) {
    bp_query_done(&q->q);
    bp_query_done(&q->scope);
}

static int read_queries(const struct bp_archive_search *s, struct queries *ret,
                        struct bp_error *err) {
    bp_ns_t now = bp_wall_ns();
    int r = bp_query_parse(bp_str_of(s->q), now, &ret->q, err);

    if (r == 0)
        r = bp_query_parse(bp_str_of(s->scope), now, &ret->scope, err);
    ret->both[0] = &ret->q;
    ret->both[1] = &ret->scope;
    return r;
}

struct rows {
    struct bp_archive_session *v; /* owned */
    uint32_t n;
    bool more;
    int64_t num, key; /* of the last one */
};

static void rows_done(struct rows *rows) {
    for (uint32_t i = 0; i < rows->n; i++)
        bp_archive_session_done(&rows->v[i]);
    free(rows->v);
}

/* A column behind those of a session: what is sorted by. */
static int key_column(sqlite3_stmt *s) {
    return sqlite3_column_count(s) - 1;
}

static int read_rows(struct bp_archive_conn *c, sqlite3_stmt *s, uint32_t limit, struct rows *ret,
                     struct bp_error *err) {
    int r;

    ret->v = calloc(limit, sizeof *ret->v);
    if (!ret->v)
        return bp_fail(err, -ENOMEM, "no memory for a page of sessions");
    while ((r = bp_archive_step(c, s, err)) > 0) {
        if (ret->n == limit) {
            ret->more = true;
            return 0;
        }
        r = bp_archive_read_session(s, &ret->v[ret->n], err);
        if (r < 0)
            return r;
        ret->num = sqlite3_column_int64(s, 0);
        ret->key = sqlite3_column_int64(s, key_column(s));
        ret->n++;
    }
    return r;
}

/* Under a reader's lock. */
static int load_page(struct bp_archive_conn *c, const struct bp_archive_search *s, uint32_t limit,
                     struct rows *ret, struct bp_error *err) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *stmt = NULL;
    BP_CLEANUP(queries_done) struct queries q = { 0 };
    BP_AUTO_ARCHIVE_SQL sql = { 0 };
    struct bp_archive_from from = { 0 };
    const char *column = bp_archive_sort_column(s->sort), *dir = s->ascending ? "ASC" : "DESC";
    char after[512];
    int r = read_queries(s, &q, err);

    if (r == 0)
        r = read_cursor(s, &from, err);
    if (r == 0)
        r = bp_archive_compile(c, q.both, BP_COUNT(q.both), s, &from, limit + 1, &sql, err);
    if (r < 0)
        return r;
    (void) snprintf(after, sizeof after,
                    ") SELECT " BP_ARCHIVE_COLUMNS ", %s FROM page CROSS JOIN sessions s"
                    " ON s.num = page.n CROSS JOIN texts x ON x.session = s.num"
                    " ORDER BY %s %s, s.num %s",
                    column, column, dir, dir);
    r = bp_archive_prepare(c, &sql, "WITH page AS MATERIALIZED (", after, &stmt, err);
    return r < 0 ? r : read_rows(c, stmt, limit, ret, err);
}

int bp_archive_search(struct bp_archive *a, const struct bp_archive_search *s,
                      int (*fn)(void *ctx, const struct bp_archive_session *s), void *ctx,
                      struct bp_archive_page *ret, struct bp_error *err) {
    uint32_t limit = s->limit ? BP_MIN(s->limit, (uint32_t) LIMIT_MAX) : LIMIT_DEFAULT;
    BP_CLEANUP(rows_done) struct rows rows = { 0 };
    struct bp_archive_conn *c = bp_archive_reader(a);
    struct bp_archive_page page = { 0 };
    int r = load_page(c, s, limit, &rows, err);

    bp_archive_let_go(c);
    for (uint32_t i = 0; r == 0 && i < rows.n; i++)
        r = fn(ctx, &rows.v[i]);
    if (r != 0)
        return r;
    page.n = rows.n;
    if (rows.more)
        write_cursor(s, rows.v[rows.n - 1].name, rows.key, rows.num, page.next);
    if (ret)
        *ret = page;
    return 0;
}

/* ---- facets ---- */

struct facets {
    uint32_t per_kind;
    int (*fn)(void *ctx, const char *kind, const char *value, uint64_t sessions);
    void *ctx;
    char kind[16];
    uint32_t n; /* of that kind */
};

/* Rows come by kind, most frequent first. */
static int put_facet(struct facets *f, sqlite3_stmt *s) {
    const char *kind = bp_db_text(s, 0);

    if (!bp_streq(kind, f->kind)) {
        (void) snprintf(f->kind, sizeof f->kind, "%s", kind);
        f->n = 0;
    }
    return f->n++ < f->per_kind ? f->fn(f->ctx, kind, bp_db_text(s, 1), bp_db_count(s, 2)) : 0;
}

static int facets_of_all(struct bp_archive_conn *c, struct facets *f, uint64_t *total,
                         struct bp_error *err) {
    static const char *const kinds[] = { "device", "month", "robot", "signed",
                                         "state",  "tag",   "topic", "type" };
    static const char sql[] = "SELECT kind, value, sessions FROM labels WHERE kind = ?1 AND"
                              " sessions > 0 ORDER BY sessions DESC LIMIT ?2";
    int64_t n = 0;
    int r = bp_archive_ask(c, &n, err, "SELECT sessions FROM sums", "");

    for (size_t i = 0; r >= 0 && i < BP_COUNT(kinds); i++) {
        sqlite3_stmt *s = NULL;

        r = bp_archive_take(c, sql, &s, err);
        if (r == 0 && !(bp_db_bind_text(s, 1, kinds[i]) && bp_db_bind_int(s, 2, f->per_kind)))
            r = bp_archive_fail(c, err);
        while (r == 0 && (r = bp_archive_step(c, s, err)) > 0)
            r = put_facet(f, s);
        if (s)
            bp_db_put_back(s);
        if (r != 0)
            return r;
    }
    *total = (uint64_t) n;
    return BP_MIN(r, 0);
}

static int facets_of_some(struct bp_archive_conn *c, const struct bp_archive_search *s,
                          struct facets *f, uint64_t *total, bool *exact, struct bp_error *err) {
    static const char before[] = "WITH page AS MATERIALIZED (";
    /* counted before they have names: numbers alone are sorted */
    static const char group[] = "), counts AS MATERIALIZED (SELECT l.label, count(*) AS k FROM page"
                                " CROSS JOIN session_labels l ON l.session = page.n"
                                " GROUP BY l.label) SELECT b.kind, b.value, c.k FROM counts c CROSS"
                                " JOIN labels b ON b.label = c.label ORDER BY b.kind, c.k DESC";
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *stmt = NULL;
    BP_CLEANUP(queries_done) struct queries q = { 0 };
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *counting = NULL;
    BP_AUTO_ARCHIVE_SQL sql = { 0 };
    const struct bp_archive_search newest = { .devices = s->devices };
    int r = read_queries(s, &q, err);

    if (r == 0)
        r = bp_archive_compile(c, q.both, BP_COUNT(q.both), &newest, &(struct bp_archive_from){ 0 },
                               BP_ARCHIVE_FACET_MAX, &sql, err);
    if (r == 0)
        r = bp_archive_prepare(c, &sql, before, ") SELECT count(*) FROM page", &counting, err);
    if (r == 0)
        r = bp_archive_step(c, counting, err);
    if (r <= 0)
        return r;
    *total = bp_db_count(counting, 0);
    *exact = *total < BP_ARCHIVE_FACET_MAX;
    r = bp_archive_prepare(c, &sql, before, group, &stmt, err);
    while (r == 0 && (r = bp_archive_step(c, stmt, err)) > 0)
        r = put_facet(f, stmt);
    return r;
}

int bp_archive_facets(struct bp_archive *a, const struct bp_archive_search *s, uint32_t per_kind,
                      int (*fn)(void *ctx, const char *kind, const char *value, uint64_t sessions),
                      void *ctx, uint64_t *ret_total, bool *ret_exact, struct bp_error *err) {
    struct facets f = { .per_kind = per_kind, .fn = fn, .ctx = ctx };
    bool all = (!s->q || !*s->q) && (!s->scope || !*s->scope) && (!s->devices || !*s->devices);
    bool exact = true;
    struct bp_archive_conn *c = bp_archive_reader(a);
    uint64_t total = 0;
    int r = all ? facets_of_all(c, &f, &total, err) : facets_of_some(c, s, &f, &total, &exact, err);

    bp_archive_let_go(c);
    if (r != 0)
        return r;
    *ret_total = total;
    *ret_exact = exact;
    return 0;
}
