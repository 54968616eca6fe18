#include "bag/ledger.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <uthash.h>

#include "bag/group.h"
#include "base/cursor.h"

struct bp_ledger_key {
    UT_hash_handle hh;
    struct bp_ledger_source *s; /* borrowed */
    size_t n;
    uint8_t bytes[]; /* guid, topic */
};

static const struct {
    const char *name, *text;
} causes[] = {
    [BP_LOSS_TRANSPORT] = { "transport", "never reached us" },
    [BP_LOSS_RING] = { "ring", "the ring was too full" },
    [BP_LOSS_BUDGET] = { "budget", "the topic's own budget was used up" },
    [BP_LOSS_DISK] = { "disk", "the disk was full" },
    [BP_LOSS_RATE] = { "rate", "thinned out on request" },
    [BP_LOSS_PAUSED] = { "paused", "recording was paused" },
    [BP_LOSS_BAD] = { "bad", "too large or malformed" },
    [BP_LOSS_CONTROL] = { "control", "no message, an instance went away" },
    [BP_LOSS_DEGRADED] = { "degraded", "left out by its priority, the host was at a limit" },
};
static_assert(BP_COUNT(causes) == BP_LOSS_N_, "a row per cause");

const char *bp_loss_name(enum bp_loss why) {
    return causes[why].name;
}

bool bp_loss_is_loss(enum bp_loss why) {
    return why != BP_LOSS_RATE && why != BP_LOSS_PAUSED && why != BP_LOSS_CONTROL;
}

const char *bp_loss_text(enum bp_loss why) {
    return causes[why].text;
}

static void source_free(struct bp_ledger_source *s) {
    if (!s)
        return;
    free(s->topic);
    free(s->node);
    bp_spans_done(&s->received);
    bp_spans_done(&s->late);
    for (size_t i = 0; i < BP_LOSS_N_; i++)
        bp_spans_done(&s->lost[i]);
    free(s);
}

void bp_ledger_done(struct bp_ledger *l) {
    struct bp_ledger_key *k, *next;

    HASH_ITER(hh, l->keys, k, next) { /* NOLINT(bugprone-assignment-in-if-condition) */
        HASH_DEL(l->keys, k);
        free(k);
    }
    for (size_t i = 0; i < l->n; i++)
        source_free(l->v[i]);
    free(l->v);
    *l = (struct bp_ledger){ 0 };
}

static struct bp_ledger_key *make_key(const uint8_t guid[16], const char *topic) {
    size_t n = 16 + strlen(topic);
    struct bp_ledger_key *k = calloc(1, sizeof *k + n);

    if (!k)
        return NULL;
    k->n = n;
    memcpy(k->bytes, guid, 16);
    memcpy(k->bytes + 16, topic, n - 16);
    return k;
}

static struct bp_ledger_source *new_source(const uint8_t guid[16], const char *topic,
                                           uint16_t vendor, const char *node) {
    struct bp_ledger_source *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    memcpy(s->guid, guid, 16);
    s->vendor = vendor;
    s->topic = strdup(topic);
    s->node = strdup(node ? node : "");
    if (!s->topic || !s->node) {
        source_free(s);
        return NULL;
    }
    return s;
}

struct bp_ledger_source *bp_ledger_get(struct bp_ledger *l, const uint8_t guid[16],
                                       const char *topic, uint16_t vendor, const char *node) {
    BP_AUTO_FREE struct bp_ledger_key *k = make_key(guid, topic);
    struct bp_ledger_key *found = NULL;
    struct bp_ledger_source *s;

    l->failed |= !k;
    if (!k)
        return NULL;
    HASH_FIND(hh, l->keys, k->bytes, k->n, found);
    if (found)
        return found->s;

    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 32;
        struct bp_ledger_source **v = realloc(l->v, cap * sizeof(struct bp_ledger_source *));

        l->failed |= !v;
        if (!v)
            return NULL;
        l->v = v;
        l->cap = cap;
    }
    s = new_source(guid, topic, vendor, node);
    l->failed |= !s;
    if (!s)
        return NULL;
    k->s = s;
    s->key = k;
    HASH_ADD_KEYPTR(hh, l->keys, k->bytes, k->n, k);
    (void) BP_TAKE_PTR(k);
    l->v[l->n++] = s;
    return s;
}

int bp_ledger_add(struct bp_ledger *l, struct bp_ledger_source *s, uint32_t kind, uint64_t first,
                  uint64_t last) {
    int r = 0;

    if (kind == BP_RUN_DUPLICATE)
        s->duplicates += last;
    else if (kind == BP_RUN_RECEIVED || kind == BP_RUN_LATE)
        r = bp_spans_add(&s->received, first, last);
    else if (kind >= BP_RUN_LOSS && kind < BP_RUN_LOSS + BP_LOSS_N_)
        r = bp_spans_add(&s->lost[kind - BP_RUN_LOSS], first, last);
    if (r == 0 && kind == BP_RUN_LATE)
        r = bp_spans_add(&s->late, first, last);
    l->failed |= r < 0;
    return r;
}

static int add_all(struct bp_spans *to, const struct bp_spans *from) {
    for (size_t i = 0; i < from->n; i++) {
        int r = bp_spans_add(to, from->v[i].first, from->v[i].last);

        if (r < 0)
            return r;
    }
    return 0;
}

int bp_ledger_merge(struct bp_ledger *l, const struct bp_ledger *from) {
    int r = 0;

    l->merges++;
    for (size_t i = 0; i < from->n && r == 0; i++) {
        const struct bp_ledger_source *f = from->v[i];
        struct bp_ledger_source *s = bp_ledger_get(l, f->guid, f->topic, f->vendor, f->node);

        if (!s)
            return -ENOMEM;
        r = add_all(&s->received, &f->received);
        if (r == 0)
            r = add_all(&s->late, &f->late);
        for (size_t c = 0; c < BP_LOSS_N_ && r == 0; c++)
            r = add_all(&s->lost[c], &f->lost[c]);
        s->duplicates += f->duplicates;
        s->merged = l->merges;
    }
    l->failed |= r < 0;
    return r;
}

void bp_ledger_remove(struct bp_ledger *l,
                      bool (*drop)(void *ctx, const struct bp_ledger_source *s), void *ctx) {
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++) {
        struct bp_ledger_source *s = l->v[i];

        if (!drop(ctx, s)) {
            l->v[kept++] = s;
            continue;
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): every source's key is in there */
        HASH_DEL(l->keys, s->key);
        free(s->key);
        source_free(s);
    }
    l->n = kept;
}

int bp_ledger_settle(struct bp_ledger *l) {
    int r = 0;

    for (size_t i = 0; i < l->n && r == 0; i++) {
        struct bp_ledger_source *s = l->v[i];

        for (size_t c = 0; c < BP_LOSS_N_ && r == 0; c++) {
            r = bp_spans_subtract(&s->lost[c], &s->received);
            if (r == 0 && c != BP_LOSS_TRANSPORT)
                r = bp_spans_subtract(&s->lost[BP_LOSS_TRANSPORT], &s->lost[c]);
        }
    }
    return r;
}

static void widen(const struct bp_spans *s, struct bp_ledger_totals *t) {
    if (!s->n)
        return;
    t->first = t->first ? BP_MIN(t->first, s->v[0].first) : s->v[0].first;
    t->last = BP_MAX(t->last, s->v[s->n - 1].last);
}

void bp_ledger_source_totals(const struct bp_ledger_source *s, struct bp_ledger_totals *ret) {
    *ret = (struct bp_ledger_totals){
        .received = bp_spans_count(&s->received),
        .late = bp_spans_count(&s->late),
        .duplicates = s->duplicates,
    };
    widen(&s->received, ret);
    for (size_t c = 0; c < BP_LOSS_N_; c++) {
        ret->lost[c] = bp_spans_count(&s->lost[c]);
        widen(&s->lost[c], ret);
        if (bp_loss_is_loss((enum bp_loss) c))
            ret->lost_all += ret->lost[c];
    }
}

void bp_ledger_totals(const struct bp_ledger *l, struct bp_ledger_totals *ret) {
    *ret = (struct bp_ledger_totals){ 0 };
    for (size_t i = 0; i < l->n; i++) {
        struct bp_ledger_totals t;

        bp_ledger_source_totals(l->v[i], &t);
        ret->received += t.received;
        ret->late += t.late;
        ret->duplicates += t.duplicates;
        ret->lost_all += t.lost_all;
        for (size_t c = 0; c < BP_LOSS_N_; c++)
            ret->lost[c] += t.lost[c];
    }
}

void bp_ledger_encode_key(const struct bp_ledger_source *s, struct bp_buf *out) {
    for (size_t i = 0; i < 16; i++)
        bp_buf_printf(out, "%02x", s->guid[i]);
    bp_buf_printf(out, " %s", s->topic);
}

static void encode_line(const char *word, const struct bp_spans *s, struct bp_buf *out) {
    if (!s->n)
        return;
    bp_buf_printf(out, "%s ", word);
    bp_spans_text(s, out);
    bp_buf_put_u8(out, '\n');
}

void bp_ledger_encode_value(const struct bp_ledger_source *s, struct bp_buf *out) {
    bp_buf_printf(out, "vendor %u\n", s->vendor);
    if (s->node[0])
        bp_buf_printf(out, "node %s\n", s->node);
    encode_line("received", &s->received, out);
    encode_line("late", &s->late, out);
    for (size_t c = 0; c < BP_LOSS_N_; c++)
        encode_line(causes[c].name, &s->lost[c], out);
    if (s->duplicates)
        bp_buf_printf(out, "duplicates %" PRIu64 "\n", s->duplicates);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_key(struct bp_str key, uint8_t guid[16], char topic[static 1024]) {
    if (key.n < 34 || key.p[32] != ' ' || key.n - 33 >= 1024 || memchr(key.p, 0, key.n))
        return BP_EFORMAT;
    for (size_t i = 0; i < 16; i++) {
        int a = hex_digit(key.p[2 * i]), b = hex_digit(key.p[2 * i + 1]);

        if (a < 0 || b < 0)
            return BP_EFORMAT;
        guid[i] = (uint8_t) (a << 4 | b);
    }
    memcpy(topic, key.p + 33, key.n - 33);
    topic[key.n - 33] = 0;
    return 0;
}

static int decode_number(struct bp_str v, uint64_t *ret) {
    struct bp_spans s = { 0 };
    int r = bp_spans_parse(v, &s);

    if (r == 0 && (s.n != 1 || s.v[0].first != s.v[0].last))
        r = BP_EFORMAT;
    if (r == 0)
        *ret = s.v[0].first;
    bp_spans_done(&s);
    return r;
}

static int decode_line(struct bp_ledger_source *s, struct bp_str word, struct bp_str rest) {
    uint64_t n = 0;
    int r;

    if (bp_str_eq(word, BP_STR("received")))
        return bp_spans_parse(rest, &s->received);
    if (bp_str_eq(word, BP_STR("late")))
        return bp_spans_parse(rest, &s->late);
    if (bp_str_eq(word, BP_STR("node")) && !s->node[0]) {
        char *node = strndup(rest.p, rest.n);

        if (!node)
            return -ENOMEM;
        free(s->node);
        s->node = node;
        return 0;
    }
    if (bp_str_eq(word, BP_STR("vendor")) || bp_str_eq(word, BP_STR("duplicates"))) {
        r = decode_number(rest, &n);
        if (word.p[0] == 'v')
            s->vendor = (uint16_t) n;
        else
            s->duplicates += n;
        return r;
    }
    for (size_t c = 0; c < BP_LOSS_N_; c++)
        if (bp_str_eq(word, bp_str_of(causes[c].name)))
            return bp_spans_parse(rest, &s->lost[c]);
    return 0; /* of a later version */
}

int bp_ledger_decode(struct bp_ledger *l, struct bp_str key, struct bp_str value,
                     struct bp_error *err) {
    const char *p = value.p, *end = value.p + value.n;
    struct bp_ledger_source *s;
    char topic[1024];
    uint8_t guid[16];
    int r = decode_key(key, guid, topic);

    if (r < 0)
        return bp_fail(err, r, "ledger entry '%.*s' is not '<guid> <topic>'",
                       (int) BP_MIN(key.n, (size_t) 80), key.p);
    s = bp_ledger_get(l, guid, topic, 0, NULL);
    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory for the ledger");

    while (p < end && r == 0) {
        const char *eol = memchr(p, '\n', (size_t) (end - p));
        const char *stop = eol ? eol : end, *sp = memchr(p, ' ', (size_t) (stop - p));

        if (sp)
            r = decode_line(s, (struct bp_str){ p, (size_t) (sp - p) },
                            (struct bp_str){ sp + 1, (size_t) (stop - sp - 1) });
        p = stop + 1;
    }
    if (r < 0)
        return bp_fail(err, r, "ledger entry of '%s' cannot be read: %s", topic, bp_strerror(r));
    return 0;
}
