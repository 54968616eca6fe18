#include "bag/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "bag/folder-priv.h"
#include "bag/metadata.h"
#include "bag/sealed.h"
#include "bag/session.h"
#include "base/cursor.h"
#include "base/ulid.h"

int bp_folder_init(struct bp_folder *f, const char *dir) {
    *f = (struct bp_folder){ .created_ns = bp_wall_ns() };
    (void) snprintf(f->dir, sizeof f->dir, "%s", dir);
    (void) bp_ulid_new(f->id);
    return bp_session_name(dir, f->name, sizeof f->name);
}

static void topic_free(struct bp_folder_topic *t) {
    free(t->topic);
    free(t->type);
    free(t->type_hash);
    free(t->qos);
    free(t->robot);
}

void bp_folder_done(struct bp_folder *f) {
    for (size_t i = 0; i < f->ntopics; i++)
        topic_free(&f->topics[i]);
    free(f->topics);
    for (size_t i = 0; i < f->nfiles; i++)
        free(f->files[i].counts);
    free(f->files);
    for (size_t i = 0; i < f->nsums; i++)
        free(f->sums[i].topic);
    free(f->sums);
    bp_ledger_done(&f->ledger);
    bp_manifest_done(&f->past);
    *f = (struct bp_folder){ 0 };
}

static char *copy(struct bp_str s) {
    return strndup(s.p ? s.p : "", s.n);
}

/* The name of a schema in `records`, "" when it is not there. */
static struct bp_str type_of(const struct bp_buf *records, uint16_t id) {
    struct bp_cur c = bp_cur_of(records->p, records->n);
    struct bp_mcap_record rec;
    struct bp_mcap_schema s;

    while (bp_mcap_next(&c, &rec) > 0)
        if (bp_mcap_schema(&rec, &s) == 0 && s.id == id)
            return s.name;
    return BP_STR("");
}

static struct bp_folder_topic *find_topic(struct bp_folder *f, struct bp_str topic,
                                          struct bp_str type) {
    for (size_t i = 0; i < f->ntopics; i++)
        if (bp_str_eq(bp_str_of(f->topics[i].topic), topic) &&
            bp_str_eq(bp_str_of(f->topics[i].type), type))
            return &f->topics[i];
    return NULL;
}

static int add_topic(struct bp_folder *f, const struct bp_mcap_channel *c, struct bp_str type,
                     uint64_t messages) {
    struct bp_folder_topic *t = find_topic(f, c->topic, type), *v;
    struct bp_str domain = bp_mcap_map_get(c->metadata, "bagpipe.domain");
    char number[16] = "";

    if (t) {
        t->messages += messages;
        return 0;
    }
    v = realloc(f->topics, (f->ntopics + 1) * sizeof *v);
    if (!v)
        return -ENOMEM;
    f->topics = v;
    memcpy(number, domain.p ? domain.p : "", BP_MIN(domain.n, sizeof number - 1));
    t = &f->topics[f->ntopics];
    *t = (struct bp_folder_topic){
        .topic = copy(c->topic),
        .type = copy(type),
        .type_hash = copy(bp_mcap_map_get(c->metadata, "topic_type_hash")),
        .qos = copy(bp_mcap_map_get(c->metadata, "offered_qos_profiles")),
        .robot = copy(bp_mcap_map_get(c->metadata, "bagpipe.robot")),
        .domain = (uint32_t) strtoul(number, NULL, 10),
        .messages = messages,
    };
    if (!t->topic || !t->type || !t->type_hash || !t->qos || !t->robot) {
        topic_free(t);
        return -ENOMEM;
    }
    f->ntopics++;
    return 0;
}

static int add_topics(struct bp_folder *f, const struct bp_index *x) {
    struct bp_cur c = bp_cur_of(x->channels.p, x->channels.n);
    struct bp_mcap_record rec;
    struct bp_mcap_channel ch;
    int r = 0;

    while (r == 0 && bp_mcap_next(&c, &rec) > 0)
        if (bp_mcap_channel(&rec, &ch) == 0)
            r = add_topic(f, &ch, type_of(&x->schemas, ch.schema_id),
                          x->counts ? x->counts[ch.id] : 0);
    return r;
}

int bp_folder_add_channels(struct bp_folder *f, const struct bp_defs *defs) {
    struct bp_index x = { 0 };
    int r;

    for (uint32_t i = 0; i < defs->nschemas; i++)
        bp_buf_put(&x.schemas, defs->schemas[i].p, defs->schemas[i].n);
    for (uint32_t i = 0; i < defs->nchannels; i++)
        bp_buf_put(&x.channels, defs->channels[i].p, defs->channels[i].n);
    r = x.schemas.failed || x.channels.failed ? -ENOMEM : add_topics(f, &x);
    bp_index_done(&x);
    return r;
}

/* Messages so far by topic; heap. */
static uint64_t *counts_of(const struct bp_folder *f) {
    uint64_t *v = calloc(f->ntopics + 1, sizeof *v);

    for (size_t i = 0; v && i < f->ntopics; i++)
        v[i] = f->topics[i].messages;
    return v;
}

int bp_folder_add(struct bp_folder *f, const struct bp_segment *s) {
    struct bp_folder_file *v = realloc(f->files, (f->nfiles + 1) * sizeof *v);
    BP_AUTO_FREE uint64_t *before = NULL, *now = NULL;
    size_t nbefore = f->ntopics;
    const struct bp_index *x = &s->index;
    int r;

    if (!v)
        return -ENOMEM;
    f->files = v;
    before = counts_of(f);
    r = before ? add_topics(f, x) : -ENOMEM;
    if (r == 0)
        r = bp_ledger_merge(&f->ledger, &s->ledger);
    now = r == 0 ? counts_of(f) : NULL;
    if (!now)
        return r < 0 ? r : -ENOMEM;
    for (size_t i = 0; i < nbefore; i++)
        now[i] -= before[i];
    v = &f->files[f->nfiles++];
    *v = (struct bp_folder_file){ .counts = BP_TAKE_PTR(now),
                                  .ncounts = f->ntopics,
                                  .start_ns = (bp_ns_t) x->t_first,
                                  .end_ns = (bp_ns_t) x->t_last,
                                  .messages = x->messages,
                                  .repeated = s->repeated,
                                  .bytes = s->bytes };
    (void) snprintf(v->file, sizeof v->file, "%s", strrchr(s->path, '/') + 1);
    memcpy(v->sha256, s->sha256, sizeof v->sha256);
    return 0;
}

/* A source speaks of a number again only while it is young: a hole that is filled, runs that waited
 * for a slot. */
enum { FOLD_AFTER = 3 }; /* segments */

static bool is_over(const struct bp_folder *f, const struct bp_ledger_source *s) {
    return f->ledger.merges - s->merged >= FOLD_AFTER;
}

static struct bp_folder_sum *sum_of(struct bp_folder *f, const char *topic) {
    struct bp_folder_sum *v;

    for (size_t i = 0; i < f->nsums; i++)
        if (bp_streq(f->sums[i].topic, topic))
            return &f->sums[i];
    v = realloc(f->sums, (f->nsums + 1) * sizeof *v);
    if (!v)
        return NULL;
    f->sums = v;
    v += f->nsums;
    *v = (struct bp_folder_sum){ .topic = strdup(topic) };
    if (!v->topic)
        return NULL;
    f->nsums++;
    return v;
}

static void add_sum(const struct bp_ledger_source *s, uint64_t *received, uint64_t *lost) {
    struct bp_ledger_totals t;

    bp_ledger_source_totals(s, &t);
    *received += t.received;
    for (size_t i = 0; i < BP_LOSS_N_; i++)
        lost[i] += t.lost[i];
}

static bool fold(void *ctx, const struct bp_ledger_source *s) {
    struct bp_folder *f = ctx;
    struct bp_folder_sum *sum = is_over(f, s) ? sum_of(f, s->topic) : NULL;

    if (sum)
        add_sum(s, &sum->received, sum->lost);
    return sum;
}

int bp_folder_fold(struct bp_folder *f) {
    int r = bp_ledger_settle(&f->ledger);

    if (r == 0)
        bp_ledger_remove(&f->ledger, fold, f);
    return r;
}

void bp_folder_drop_first(struct bp_folder *f) {
    if (!f->nfiles)
        return;
    bp_folder_pass(f);
    for (size_t i = 0; i < f->files[0].ncounts; i++)
        f->topics[i].messages -= f->files[0].counts[i];
    free(f->files[0].counts);
    memmove(f->files, f->files + 1, --f->nfiles * sizeof *f->files);
}

/* Id and history of an earlier part of the session; a missing or strange manifest costs nothing. */
static void load_past(struct bp_folder *f, const struct bp_io *io) {
    struct bp_manifest m = { 0 };

    if (bp_manifest_read(io, f->dir, &m, NULL) < 0)
        return;
    if (m.id && bp_ulid_parse(m.id, strlen(m.id), NULL) == 0)
        (void) snprintf(f->id, sizeof f->id, "%s", m.id);
    if (m.created_ns)
        f->created_ns = m.created_ns;
    for (size_t i = 0; i < m.nsegments; i++)
        for (size_t k = 0; k < f->nfiles; k++)
            if (bp_streq(m.segments[i].file, f->files[k].file) &&
                m.segments[i].bytes == f->files[k].bytes)
                memcpy(f->files[k].sha256, m.segments[i].sha256, sizeof f->files[k].sha256);
    f->past = m;
}

static int is_mcap(const struct dirent *e) {
    size_t n = strlen(e->d_name);

    if (bp_sealed_name(e->d_name))
        n -= strlen(BP_SEALED_SUFFIX);
    return e->d_name[0] != '.' && n > 5 && memcmp(e->d_name + n - 5, ".mcap", 5) == 0;
}

int bp_folder_load(struct bp_folder *f, const struct bp_io *io, const char *dir,
                   struct bp_error *err) {
    struct dirent **v = NULL;
    int r = bp_folder_init(f, dir), n;

    n = r == 0 ? scandir(dir, &v, is_mcap, versionsort) : 0;
    if (n < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", dir, bp_strerror(-errno));
    for (int i = 0; i < n; i++) {
        struct bp_segment *s = NULL;
        char path[1400];

        (void) snprintf(path, sizeof path, "%s/%s", dir, v[i]->d_name);
        free(v[i]);
        if (r == 0)
            r = bp_segment_load(io, path, &s, err);
        if (r == 0)
            r = bp_folder_add(f, s);
        if (r == 0 && s->id[0]) /* interrupted before there was a manifest: it keeps its id */
            memcpy(f->id, s->id, sizeof f->id);
        bp_segment_free(s);
    }
    free(v);
    if (r == 0)
        load_past(f, io);
    return r;
}

uint64_t bp_folder_messages(const struct bp_folder *f) {
    uint64_t n = 0;

    for (size_t i = 0; i < f->nfiles; i++)
        n += f->files[i].messages;
    return n;
}

static int add_custom(const struct bp_folder *f, struct bp_metadata *m) {
    int r = 0;

    for (size_t i = 0; f->custom && f->custom[i] && r == 0; i++) {
        const char *eq = strchr(f->custom[i], '=');
        BP_AUTO_FREE char *key =
            eq ? strndup(f->custom[i], (size_t) (eq - f->custom[i])) : strdup(f->custom[i]);

        r = key ? bp_metadata_add_custom(m, key, eq ? eq + 1 : "") : -ENOMEM;
    }
    return r;
}

int bp_folder_write_metadata(struct bp_folder *f, const struct bp_io *io, struct bp_error *err) {
    BP_AUTO_METADATA m = { 0 };
    int r = bp_metadata_init(&m, "mcap", "");

    for (size_t i = 0; i < f->ntopics && r == 0 && !f->hide_names; i++) {
        const struct bp_folder_topic *t = &f->topics[i];

        r = bp_metadata_add_topic(&m, t->topic, t->type, "cdr", t->type_hash, t->qos, t->messages);
    }
    for (size_t i = 0; i < f->nfiles && r == 0; i++) {
        const struct bp_folder_file *v = &f->files[i];

        r = bp_metadata_add_file(&m, v->file, v->start_ns, v->end_ns, v->messages);
    }
    if (r == 0)
        r = add_custom(f, &m);
    if (r < 0)
        return bp_fail(err, r, "out of memory for metadata.yaml");
    bp_metadata_sum_files(&m);
    return bp_metadata_write(io, f->dir, &m, err);
}

int bp_folder_hash(struct bp_folder *f, const struct bp_io *io,
                   int (*progress)(void *ctx, uint64_t bytes), void *ctx, struct bp_error *err) {
    int r = 0;

    for (size_t i = 0; i < f->nfiles && r == 0; i++) {
        struct bp_folder_file *v = &f->files[i];
        char path[1400];

        if (v->sha256[0])
            continue;
        (void) snprintf(path, sizeof path, "%s/%s", f->dir, v->file);
        r = bp_manifest_hash_file(bp_io_below(io), path, &v->bytes, v->sha256, progress, ctx, err);
        if (r < 0)
            v->sha256[0] = 0;
    }
    return r;
}

static int add_segments(const struct bp_folder *f, struct bp_manifest *m) {
    int r = 0;

    for (size_t i = 0; i < f->nfiles && r == 0; i++) {
        struct bp_folder_file *v = &f->files[i];
        struct bp_manifest_segment s = { .file = v->file,
                                         .bytes = v->bytes,
                                         .messages = v->messages,
                                         .repeated = v->repeated,
                                         .first_ns = v->start_ns,
                                         .last_ns = v->end_ns };

        memcpy(s.sha256, v->sha256, sizeof s.sha256);
        r = bp_manifest_add_segment(m, &s);
    }
    return r;
}

static int add_channels(const struct bp_folder *f, struct bp_manifest *m) {
    int r = 0;

    for (size_t i = 0; i < f->ntopics && r == 0 && !f->hide_names; i++) {
        const struct bp_folder_topic *t = &f->topics[i];
        struct bp_manifest_channel c = {
            .topic = t->topic, .type = t->type, .robot = t->robot, .domain = t->domain
        };

        for (size_t k = 0; k < f->ledger.n; k++)
            if (bp_streq(f->ledger.v[k]->topic, t->topic))
                add_sum(f->ledger.v[k], &c.received, c.lost);
        for (size_t k = 0; k < f->nsums; k++) {
            if (!bp_streq(f->sums[k].topic, t->topic))
                continue;
            c.received += f->sums[k].received;
            for (size_t w = 0; w < BP_LOSS_N_; w++)
                c.lost[w] += f->sums[k].lost[w];
        }
        r = bp_manifest_add_channel(m, &c);
    }
    return r;
}

/* Names signer and links, for those who read the manifest alone. */
static int add_proof(const struct bp_folder *f, struct bp_manifest *m, struct bp_error *err) {
    BP_AUTO_PROOF p = { 0 };
    char key[BP_PUBLIC_KEY_TEXT];
    int r = bp_folder_make_proof(f, &p);

    if (r < 0)
        return r;
    if (p.n < m->nsegments)
        return bp_fail(err, -EIO, "segment '%s' has no SHA-256: it cannot be signed",
                       m->segments[p.n].file);
    free(m->signed_by);
    m->signed_by = strdup(bp_public_key_text(bp_sign_key_public(f->signer), key));
    for (size_t i = 0; i < p.n; i++)
        (void) bp_sha256_hex(p.v[i].chain, m->segments[i].chain);
    return m->signed_by ? 0 : -ENOMEM;
}

static int build_manifest(struct bp_folder *f, struct bp_manifest *m, struct bp_error *err) {
    int r = bp_manifest_init(m, f->id, f->name, f->created_ns);

    m->durability = f->durability;
    m->commit_interval = f->commit_interval;
    if (r == 0)
        r = bp_ledger_settle(&f->ledger);
    if (r == 0)
        r = add_segments(f, m);
    if (r == 0)
        r = add_channels(f, m);
    for (size_t i = 0; i < f->past.nrecoveries && r == 0; i++)
        r = bp_manifest_add_recovery(m, &f->past.recoveries[i]);
    for (size_t i = 0; i < f->past.nsteps && r == 0; i++)
        r = bp_manifest_add_step(m, f->past.steps[i]);
    return r == 0 && f->signer ? add_proof(f, m, err) : r;
}

int bp_folder_write_manifest(struct bp_folder *f, const struct bp_io *io, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    uint8_t sha256[BP_SHA256_LEN];
    int r = f->signer ? bp_folder_hash(f, io, NULL, NULL, err) : 0;

    if (r < 0)
        return r;
    r = build_manifest(f, &m, err);
    if (r == -ENOMEM)
        return bp_fail(err, r, "out of memory for manifest.json");
    if (r == 0)
        r = bp_manifest_write(io, f->dir, &m, sha256, err);
    return r < 0 ? r : bp_folder_prove(f, io, sha256, err);
}
