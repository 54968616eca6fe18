/* From a query to SQL: what each term means as a condition on a row of `sessions s`, how many
 * sessions it may leave, and how those are found without looking at the others. */
#include "catalog/archive-query.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "catalog/scope.h"

enum { FEW = 2000, MANY = 10000, LABELS_MAX = 2000, PROBED_LABELS = 8 };

static const struct {
    const char *column, *index;
} sorts[] = {
    [BP_ARCHIVE_BY_ID] = { "s.num", NULL },
    [BP_ARCHIVE_BY_STARTED] = { "s.started_ns", "sessions_by_started" },
    [BP_ARCHIVE_BY_RECEIVED] = { "s.received_ns", "sessions_by_received" },
    [BP_ARCHIVE_BY_NAME] = { "s.name", "sessions_by_name" },
    [BP_ARCHIVE_BY_BYTES] = { "s.bytes", "sessions_by_bytes" },
    [BP_ARCHIVE_BY_MESSAGES] = { "s.messages", "sessions_by_messages" },
    [BP_ARCHIVE_BY_LOST] = { "s.lost", "sessions_by_lost" },
    [BP_ARCHIVE_BY_DURATION] = { "s.duration_ns", "sessions_by_duration" },
};

const char *bp_archive_sort_column(enum bp_archive_sort s) {
    return sorts[s].column;
}

void bp_archive_sql_done(struct bp_archive_sql *q) {
    bp_buf_done(&q->text);
    for (size_t i = 0; i < q->nbinds; i++)
        free(q->binds[i].text);
    *q = (struct bp_archive_sql){ 0 };
}

/* The number of a parameter that gets this value. */
static size_t bind(struct bp_archive_sql *q, const char *text, int64_t number) {
    if (q->nbinds == BP_ARCHIVE_BINDS) {
        q->failed = true;
        return 1;
    }
    q->binds[q->nbinds].number = number;
    q->binds[q->nbinds].text = text ? strdup(text) : NULL;
    q->failed |= text && !q->binds[q->nbinds].text;
    return ++q->nbinds;
}

int bp_archive_prepare(struct bp_archive_conn *c, struct bp_archive_sql *q, const char *before,
                       const char *after, sqlite3_stmt **ret, struct bp_error *err) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    BP_AUTO_BUF sql = { 0 };
    bool ok = true;

    bp_buf_put_str(&sql, before);
    bp_buf_put(&sql, q->text.p, q->text.n);
    bp_buf_put_str(&sql, after);
    if (q->failed || q->text.failed || !bp_buf_cstr(&sql))
        return q->nbinds == BP_ARCHIVE_BINDS
                   ? bp_fail(err, BP_EUSAGE, "the query asks for too much at once")
                   : bp_fail(err, -ENOMEM, "no memory for a query");
    if (sqlite3_prepare_v2(c->db, bp_buf_cstr(&sql), -1, &s, NULL) != SQLITE_OK)
        return bp_archive_fail(c, err);
    for (size_t i = 0; i < q->nbinds && (int) i < sqlite3_bind_parameter_count(s); i++)
        ok = (q->binds[i].text ? bp_db_bind_text(s, (int) i + 1, q->binds[i].text)
                               : bp_db_bind_int(s, (int) i + 1, q->binds[i].number)) &&
             ok;
    if (!ok)
        return bp_archive_fail(c, err);
    *ret = BP_TAKE_PTR(s);
    return 0;
}

/* ---- what a term is ---- */

enum means { MEANS_LABEL, MEANS_WORDS, MEANS_RANGE, MEANS_ROW };

static const struct {
    enum means means;
    const char *what;  /* kind of label, column of words, column of sessions */
    const char *index; /* of a range, or NULL */
} terms[] = {
    [BP_QUERY_TEXT] = { MEANS_WORDS, NULL, NULL },
    [BP_QUERY_ROBOT] = { MEANS_LABEL, "robot", NULL },
    [BP_QUERY_TAG] = { MEANS_LABEL, "tag", NULL },
    [BP_QUERY_DEVICE] = { MEANS_LABEL, "device", NULL },
    [BP_QUERY_TYPE] = { MEANS_LABEL, "type", NULL },
    [BP_QUERY_TOPIC] = { MEANS_LABEL, "topic", NULL },
    [BP_QUERY_STATE] = { MEANS_LABEL, "state", NULL },
    [BP_QUERY_SIGNED] = { MEANS_LABEL, "signed", NULL },
    [BP_QUERY_MISSION] = { MEANS_WORDS, "mission", NULL },
    [BP_QUERY_OPERATOR] = { MEANS_WORDS, "operator", NULL },
    [BP_QUERY_NAME] = { MEANS_WORDS, "name", NULL },
    [BP_QUERY_NOTES] = { MEANS_WORDS, "notes", NULL },
    [BP_QUERY_MARK] = { MEANS_WORDS, "marks", NULL },
    [BP_QUERY_ID] = { MEANS_ROW, NULL, NULL },
    [BP_QUERY_KEEP] = { MEANS_ROW, NULL, NULL },
    [BP_QUERY_DATE] = { MEANS_RANGE, "started_ns", "sessions_by_started" },
    [BP_QUERY_RECEIVED] = { MEANS_RANGE, "received_ns", "sessions_by_received" },
    [BP_QUERY_SIZE] = { MEANS_RANGE, "bytes", "sessions_by_bytes" },
    [BP_QUERY_DURATION] = { MEANS_RANGE, "duration_ns", "sessions_by_duration" },
    [BP_QUERY_MESSAGES] = { MEANS_RANGE, "messages", "sessions_by_messages" },
    [BP_QUERY_LOST] = { MEANS_RANGE, "lost", "sessions_by_lost" },
    [BP_QUERY_SEGMENTS] = { MEANS_RANGE, "segments", NULL },
    [BP_QUERY_TOPICS] = { MEANS_RANGE, "topics", NULL },
    [BP_QUERY_MARKS] = { MEANS_RANGE, "marks", NULL },
};

/* What finds sessions, if it is the rarest. */
struct driver {
    int64_t rows;        /* at most so many; compiler.most + 1 = more */
    struct bp_buf from;  /* "(SELECT … AS n …) d", or one that can be walked by number */
    const char *number;  /* "d.n": the session's number in it */
    const char *walk;    /* when it is walked in order: what else stands in FROM and WHERE */
    struct bp_buf where; /* goes with `walk` */
};

static void driver_done(struct driver *d) {
    bp_buf_done(&d->from);
    bp_buf_done(&d->where);
}

struct compiler {
    struct bp_archive_conn *c;
    struct bp_archive_sql *out;
    struct bp_buf where; /* " AND …" for each term */
    struct driver best;
    /* So many sessions may be looked at, all of them. One thing that more have is soon found often
     * enough for a page in the order that is wanted. Where more than one thing must hold, those
     * that have all of it may lie far apart: then it is better to look at many that have one. */
    int64_t most;
    enum bp_archive_sort sort;
    bool by_id;     /* sorted by number: what is walked by number needs no sorting */
    bool any_state; /* the query names the state that deleted sessions have */
    struct bp_error *err;
};

/* Counts what a subquery of parameters bound so far gives, up to one more than `most`. */
static int count_few(struct compiler *k, const char *sql, int64_t most, int64_t *ret) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    struct bp_archive_sql *q = k->out;
    struct bp_buf kept = q->text;
    char end[32];
    int r;

    q->text = (struct bp_buf){ 0 };
    bp_buf_put_str(&q->text, sql);
    (void) snprintf(end, sizeof end, " LIMIT %lld)", (long long) most + 1);
    r = bp_archive_prepare(k->c, q, "SELECT count(*) FROM (", end, &s, k->err);
    bp_buf_done(&q->text);
    q->text = kept;
    if (r >= 0)
        r = bp_archive_step(k->c, s, k->err);
    if (r > 0)
        *ret = sqlite3_column_int64(s, 0);
    return r < 0 ? r : 0;
}

/* Takes it if it is rarer than the best one. */
static void offer(struct compiler *k, struct driver *d) {
    if (!k->best.number || d->rows < k->best.rows) {
        driver_done(&k->best);
        k->best = BP_TAKE(*d, ((struct driver){ 0 }));
    }
    driver_done(d);
}

/* ---- labels ---- */

struct labels {
    int64_t v[LABELS_MAX];
    size_t n;
    int64_t sessions; /* of all of them, some twice */
};

/* A pattern for LIKE: * is anything, everything else itself. */
static void put_pattern(struct bp_buf *b, const char *p, bool stars) {
    for (; *p; p++)
        if (*p == '*' && stars)
            bp_buf_put_str(b, "%");
        else if (*p == '%' || *p == '_' || *p == '\\')
            bp_buf_printf(b, "\\%c", *p);
        else
            bp_buf_put(b, p, 1);
}

static int find_labels(struct compiler *k, const char *kind, const struct bp_query_value *v,
                       bool topic, struct labels *ret) {
    static const char exactly[] = "SELECT label, sessions FROM labels WHERE kind = ?1 AND value ="
                                  " ?2 COLLATE NOCASE AND ?3 IS NOT NULL LIMIT 2001";
    static const char alike[] = "SELECT label, sessions FROM labels WHERE kind = ?1 AND (value = ?2"
                                " COLLATE NOCASE OR value LIKE ?3 ESCAPE '\\') LIMIT 2001";
    bool stars = !v->quoted && strchr(v->text, '*'), below = topic && *v->text == '/';
    BP_AUTO_BUF pattern = { 0 };
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(k->c, stars || topic ? alike : exactly, &s, k->err);

    if (topic && !below && !stars)
        bp_buf_put_str(&pattern, "%");
    put_pattern(&pattern, v->text, stars);
    if (topic && !stars)
        bp_buf_put_str(&pattern, below ? "/%" : "%");
    if (r == 0)
        r = bp_buf_cstr(&pattern) && bp_db_bind_text(s, 1, kind) &&
                    bp_db_bind_text(s, 2, v->text) && bp_db_bind_text(s, 3, bp_buf_cstr(&pattern))
                ? 0
                : bp_archive_fail(k->c, k->err);
    while (r == 0 && (r = bp_archive_step(k->c, s, k->err)) > 0) {
        if (ret->n == LABELS_MAX)
            r = bp_fail(k->err, BP_EUSAGE, "'%.60s' stands for more than %d of kind %s", v->text,
                        LABELS_MAX, kind);
        else {
            ret->v[ret->n++] = sqlite3_column_int64(s, 0);
            ret->sessions += sqlite3_column_int64(s, 1);
            r = 0;
        }
    }
    if (s)
        bp_db_put_back(s);
    return r;
}

static void put_labels(struct bp_buf *b, const struct labels *l) {
    bp_buf_put_str(b, "(");
    for (size_t i = 0; i < l->n; i++)
        bp_buf_printf(b, i ? ", %lld" : "%lld", (long long) l->v[i]);
    bp_buf_put_str(b, ")");
}

static void offer_labels(struct compiler *k, const struct labels *l) {
    struct driver d = { .rows = l->sessions, .number = "d.n" };

    if (l->n == 1 && k->by_id && l->sessions > k->most) {
        d.number = d.walk = "l.session";
        bp_buf_put_str(&d.from, "session_labels l");
        bp_buf_printf(&d.where, " AND l.label = %lld", (long long) l->v[0]);
    } else if (l->sessions <= k->most) {
        bp_buf_put_str(&d.from,
                       "(SELECT DISTINCT session AS n FROM session_labels WHERE label IN ");
        put_labels(&d.from, l);
        bp_buf_put_str(&d.from, ") d");
    } else
        return;
    offer(k, &d);
}

/* What nearly all have: those that have it not are counted by taking away. */
static int offer_others(struct compiler *k, const struct labels *l, bool is_state) {
    struct driver d = { .number = "d.n" };
    int64_t others = 0;
    int r = l->n == 1 ? bp_archive_ask(k->c, &others, k->err, /* both of one moment */
                                       "SELECT s.sessions - l.sessions FROM sums s, labels l"
                                       " WHERE l.label = ?1",
                                       "i", l->v[0])
                      : 0;

    if (r <= 0 || others > FEW)
        return BP_MIN(r, 0);
    d.rows = BP_MAX(others, 0);
    if (d.rows == 0 && !is_state) /* but those that were deleted, which have only their state */
        bp_buf_put_str(&d.from,
                       "(SELECT session AS n FROM session_labels WHERE label = (SELECT label FROM"
                       " labels WHERE kind = 'state' AND value = 'deleted')) d");
    else
        bp_buf_printf(
            &d.from,
            "(SELECT num AS n FROM sessions EXCEPT SELECT session FROM session_labels"
            " WHERE label = %lld ORDER BY 1) d", /* which makes it a merge of two indexes */
            (long long) l->v[0]);
    offer(k, &d);
    return 0;
}

static int put_label_term(struct compiler *k, const struct bp_query *q,
                          const struct bp_query_term *t) {
    BP_AUTO_FREE struct labels *l = calloc(1, sizeof *l);
    int r = l ? 0 : bp_fail(k->err, -ENOMEM, "no memory for a query");

    for (uint32_t i = 0; r == 0 && i < t->n; i++)
        r = find_labels(k, terms[t->key].what, &q->values[t->first + i], t->key == BP_QUERY_TOPIC,
                        l);
    if (r < 0)
        return r;
    if (t->key == BP_QUERY_STATE && !t->negated)
        for (uint32_t i = 0; i < t->n; i++)
            k->any_state |= bp_streq(q->values[t->first + i].text, "deleted");
    bp_buf_put_str(&k->where, t->negated ? " AND NOT EXISTS" : " AND EXISTS");
    bp_buf_printf(&k->where, " (SELECT 1 FROM session_labels WHERE session = s.num AND %slabel IN ",
                  l->n > PROBED_LABELS ? "+" : "");
    put_labels(&k->where, l);
    bp_buf_put_str(&k->where, ")");
    if (t->negated)
        return offer_others(k, l, t->key == BP_QUERY_STATE);
    offer_labels(k, l);
    return 0;
}

/* ---- words ---- */

/* "word"* or "a phrase", in FTS5's language, of which a quoted string is the only thing that can
 * hold what people typed. */
static void put_words(struct bp_buf *b, const char *column, const struct bp_query_value *v) {
    if (column)
        bp_buf_printf(b, "%s : ", column);
    bp_buf_put_str(b, "\"");
    for (const char *p = v->text; *p; p++) {
        bp_buf_put(b, p, 1);
        if (*p == '"')
            bp_buf_put_str(b, "\"");
    }
    bp_buf_put_str(b, v->quoted ? "\"" : "\" *");
}

static void put_word_term(struct bp_buf *b, const struct bp_query *q,
                          const struct bp_query_term *t) {
    bp_buf_put_str(b, b->n ? " AND (" : "(");
    for (uint32_t i = 0; i < t->n; i++) {
        bp_buf_put_str(b, i ? " OR " : "");
        put_words(b, terms[t->key].what, &q->values[t->first + i]);
    }
    bp_buf_put_str(b, ")");
}

/* What nobody may have: one MATCH each. */
static void put_no_words(struct compiler *k, const struct bp_query *q,
                         const struct bp_query_term *t) {
    BP_AUTO_BUF match = { 0 };

    put_word_term(&match, q, t);
    bp_buf_printf(&k->where, " AND s.num NOT IN (SELECT rowid FROM words WHERE words MATCH ?%zu)",
                  bind(k->out, bp_buf_cstr(&match), 0));
}

/* All that must be there, of all queries, is one MATCH: full text does that best. */
static int put_all_words(struct compiler *k, struct bp_buf *match) {
    struct driver d = { .number = "d.n" };
    char sql[96];
    size_t p;
    int r;

    if (match->n == 0)
        return 0;
    p = bind(k->out, bp_buf_cstr(match), 0);
    (void) snprintf(sql, sizeof sql, "SELECT rowid AS n FROM words WHERE words MATCH ?%zu", p);
    r = count_few(k, sql, k->most, &d.rows);
    if (r < 0)
        return r;
    if (d.rows <= k->most && (!k->best.number || d.rows < k->best.rows)) {
        bp_buf_printf(&d.from, "(%s) d", sql);
        offer(k, &d); /* and is no condition besides: full text is asked once less */
    } else if (!k->by_id || (k->best.number && !k->best.walk)) {
        bp_buf_printf(&k->where, " AND s.num IN (%s)", sql);
    } else { /* walked newest first: nothing else finds rows then, as MATCH stands in FROM alone */
        d.rows = -1;
        d.number = d.walk = "words.rowid";
        bp_buf_put_str(&d.from, "words");
        bp_buf_printf(&d.where, " AND words MATCH ?%zu", p);
        offer(k, &d);
    }
    return 0;
}

/* ---- numbers ---- */

/* Is a page taken in the order of this index? Then it begins where the range does. */
static bool is_order(const struct compiler *k, const char *index) {
    const char *order = sorts[k->sort].index;

    return order && bp_streq(order, index);
}

static int put_range_term(struct compiler *k, const struct bp_query *q,
                          const struct bp_query_term *t) {
    const char *column = terms[t->key].what, *index = terms[t->key].index;
    struct driver d = { .number = "d.n" };
    char sql[192];
    size_t p = 0;
    int r;

    bp_buf_put_str(&k->where, t->negated ? " AND NOT (" : " AND (");
    for (uint32_t i = 0; i < t->n; i++) {
        const struct bp_query_value *v = &q->values[t->first + i];

        p = bind(k->out, NULL, v->min);
        bp_buf_printf(&k->where, "%ss.%s BETWEEN ?%zu AND ?%zu", i ? " OR " : "", column, p,
                      bind(k->out, NULL, v->max));
    }
    bp_buf_put_str(&k->where, ")");
    if (t->negated || t->n > 1 || !index || (k->most == FEW && is_order(k, index)))
        return 0;
    (void) snprintf(sql, sizeof sql,
                    "SELECT num AS n FROM sessions INDEXED BY %s WHERE %s BETWEEN ?%zu AND ?%zu",
                    index, column, p, p + 1);
    r = count_few(k, sql, MANY, &d.rows);
    if (r == 0 && d.rows <= MANY) {
        bp_buf_printf(&d.from, "(%s) d", sql);
        offer(k, &d);
    }
    return r;
}

static int put_row_term(struct compiler *k, const struct bp_query *q,
                        const struct bp_query_term *t) {
    struct driver d = { .rows = t->n, .number = "d.n" };
    BP_AUTO_BUF list = { 0 };

    if (t->key == BP_QUERY_KEEP) {
        bool yes = bp_streq(q->values[t->first].text, "yes") == !t->negated;

        bp_buf_printf(&k->where, " AND s.keep = %d", yes);
        return 0;
    }
    for (uint32_t i = 0; i < t->n; i++)
        bp_buf_printf(&list, "%supper(?%zu)", i ? ", " : "",
                      bind(k->out, q->values[t->first + i].text, 0));
    if (!bp_buf_cstr(&list))
        return bp_fail(k->err, -ENOMEM, "no memory for a query");
    bp_buf_printf(&k->where, " AND s.id %sIN (%s)", t->negated ? "NOT " : "", bp_buf_cstr(&list));
    if (!t->negated) {
        bp_buf_printf(&d.from, "(SELECT num AS n FROM sessions WHERE id IN (%s)) d",
                      bp_buf_cstr(&list));
        offer(k, &d);
    }
    return 0;
}

static int put_term(struct compiler *k, const struct bp_query *q, const struct bp_query_term *t,
                    struct bp_buf *match) {
    switch (terms[t->key].means) {
    case MEANS_LABEL:
        return put_label_term(k, q, t);
    case MEANS_RANGE:
        return put_range_term(k, q, t);
    case MEANS_ROW:
        return put_row_term(k, q, t);
    default:
        if (t->negated)
            put_no_words(k, q, t);
        else
            put_word_term(match, q, t);
        return 0;
    }
}

/* ---- whose ---- */

/* Sessions of devices as catalog/scope.h has them. GLOB is what fits() there is: case matters, and
 * of its special characters only * can be in a word. */
static int put_devices(struct compiler *k, const char *devices) {
    struct driver d = { .number = "d.n" };
    BP_AUTO_BUF labels = { 0 }, sql = { 0 };
    const char *at = devices;
    struct bp_str word;
    bool group, any = false;
    int r;

    bp_buf_put_str(&labels, "(SELECT label FROM labels WHERE kind = 'device' AND (");
    for (; bp_scope_next(&at, &word, &group); any = true) {
        BP_AUTO_FREE char *text = strndup(word.p, word.n);

        if (!text)
            return bp_fail(k->err, -ENOMEM, "no memory for a query");
        bp_buf_printf(
            &labels,
            group ? "%svalue IN (SELECT devices.id FROM devices, json_each(devices.groups) g"
                    " WHERE g.value = ?%zu)"
                  : "%svalue GLOB ?%zu",
            any ? " OR " : "", bind(k->out, text, 0));
    }
    bp_buf_put_str(&labels, any ? "))" : "0))");
    bp_buf_printf(&sql, "SELECT session AS n FROM session_labels WHERE label IN %s",
                  bp_buf_cstr(&labels));
    if (labels.failed || !bp_buf_cstr(&sql))
        return bp_fail(k->err, -ENOMEM, "no memory for a query");
    bp_buf_printf(&k->where,
                  " AND EXISTS (SELECT 1 FROM session_labels WHERE session = s.num AND +label IN"
                  " %s)",
                  bp_buf_cstr(&labels));
    r = count_few(k, bp_buf_cstr(&sql), FEW, &d.rows);
    if (r == 0 && d.rows <= FEW) {
        bp_buf_printf(&d.from, "(%s) d", bp_buf_cstr(&sql));
        offer(k, &d);
    }
    return r;
}

/* ---- the whole ---- */

static void put_cursor(struct compiler *k, enum bp_archive_sort sort, bool ascending,
                       const struct bp_archive_from *from, const char *number) {
    const char *than = ascending ? ">" : "<";

    if (!from->given)
        return;
    if (sort == BP_ARCHIVE_BY_ID)
        bp_buf_printf(&k->out->text, " AND %s %s ?%zu", number, than,
                      bind(k->out, NULL, from->num));
    else {
        size_t p = bind(k->out, sort == BP_ARCHIVE_BY_NAME ? from->name : NULL, from->key);

        bp_buf_printf(&k->out->text, " AND (%s, s.num) %s (?%zu, ?%zu)", sorts[sort].column, than,
                      p, bind(k->out, NULL, from->num));
    }
}

static void assemble(struct compiler *k, enum bp_archive_sort sort, bool ascending,
                     const struct bp_archive_from *from, uint32_t limit) {
    struct bp_buf *out = &k->out->text;
    const char *dir = ascending ? "ASC" : "DESC";
    const char *number = k->best.walk ? k->best.walk : "s.num";

    bp_buf_put_str(out, "SELECT s.num AS n FROM ");
    if (k->best.number) {
        bp_buf_put(out, k->best.from.p, k->best.from.n);
        bp_buf_printf(out, " CROSS JOIN sessions s ON s.num = %s WHERE ", k->best.number);
    } else if (sorts[sort].index)
        bp_buf_printf(out, "sessions s INDEXED BY %s WHERE ", sorts[sort].index);
    else
        bp_buf_put_str(out, "sessions s WHERE ");
    bp_buf_put_str(out, k->any_state ? "1" : "s.state <> 3");
    if (k->best.walk)
        bp_buf_put(out, k->best.where.p, k->best.where.n);
    bp_buf_put(out, k->where.p, k->where.n);
    put_cursor(k, sort, ascending, from, number);
    if (sort == BP_ARCHIVE_BY_ID)
        bp_buf_printf(out, " ORDER BY %s %s", number, dir);
    else
        bp_buf_printf(out, " ORDER BY %s %s, s.num %s", sorts[sort].column, dir, dir);
    bp_buf_printf(out, " LIMIT %u", limit);
    k->out->failed |= k->where.failed || k->best.from.failed || k->best.where.failed;
}

/* Things that must hold; words are one together. */
static size_t count_terms(const struct bp_query *const *queries, size_t nqueries) {
    size_t n = 0;
    bool words = false;

    for (size_t i = 0; i < nqueries; i++)
        for (uint32_t t = 0; t < queries[i]->nterms; t++)
            if (terms[queries[i]->terms[t].key].means == MEANS_WORDS)
                words = true;
            else
                n++;
    return n + words;
}

int bp_archive_compile(struct bp_archive_conn *c, const struct bp_query *const *queries,
                       size_t nqueries, const struct bp_archive_search *s,
                       const struct bp_archive_from *from, uint32_t limit,
                       struct bp_archive_sql *ret, struct bp_error *err) {
    struct compiler k = { .c = c,
                          .out = ret,
                          .most = count_terms(queries, nqueries) > 1 ? MANY : FEW,
                          .sort = s->sort,
                          .by_id = s->sort == BP_ARCHIVE_BY_ID,
                          .err = err };
    BP_AUTO_BUF match = { 0 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < nqueries; i++)
        for (uint32_t t = 0; r == 0 && t < queries[i]->nterms; t++)
            r = put_term(&k, queries[i], &queries[i]->terms[t], &match);
    if (r == 0 && s->devices && *s->devices)
        r = put_devices(&k, s->devices);
    if (r == 0 && match.failed)
        r = bp_fail(err, -ENOMEM, "no memory for a query");
    if (r == 0)
        r = put_all_words(&k, &match);
    if (r == 0)
        assemble(&k, s->sort, s->ascending, from, limit);
    driver_done(&k.best);
    bp_buf_done(&k.where);
    return r;
}
