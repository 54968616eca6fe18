/* A rosbag2 sqlite3 file: sqlite's own integrity check, then every message is read once. The format
 * has no checksums: a flipped bit within a message's payload cannot be found by anyone. */
#include "bag/verify-priv.h"

#include <errno.h>
#include <stdio.h>

#include "bag/source-priv.h"

static const char remedy[] = "`sqlite3 FILE .recover` may save a part";

struct faults {
    struct verify *v;
    struct verify_file *f;
};

static void on_fault(void *ctx, const char *fault) {
    struct faults *x = ctx;
    char text[240];

    x->f->damaged = true;
    (void) snprintf(text, sizeof text, "sqlite: %.*s", (int) strcspn(fault, "\n"), fault);
    verify_finding(x->v, BP_FINDING_DAMAGE, x->f->path, false, 0, text, remedy);
}

static int on_step(void *ctx) {
    struct faults *x = ctx;

    verify_progress(x->v, 0);
    return verify_is_cancelled(x->v);
}

static void close_source(struct bp_source **s) {
    if (*s)
        (*s)->ops->close(*s);
}

/* Counts what can be read; the tables' own counts were made by index. */
static int read_all(struct faults *x, struct bp_source *s, uint64_t *counts, struct bp_error *err) {
    BP_AUTO_FREE bool *all = malloc(s->nchannels + 1);
    struct bp_source_filter filter = { .channels = all, .to = UINT64_MAX, .file_order = true };
    struct bp_source_iter *it = NULL;
    struct bp_source_msg m;
    struct bp_error why = { 0 };
    int r;

    if (!all)
        return bp_fail(err, -ENOMEM, "no memory");
    memset(all, 1, s->nchannels + 1);
    r = s->ops->iterate(s, &filter, &it, &why);
    while (r >= 0 && (r = s->ops->next(it, &m, &why)) > 0) {
        counts[m.channel]++;
        x->f->start_ns = x->f->messages ? BP_MIN(x->f->start_ns, m.log_ns) : m.log_ns;
        x->f->end_ns = x->f->messages ? BP_MAX(x->f->end_ns, m.log_ns) : m.log_ns;
        if (x->f->messages++ % 256 == 0)
            verify_progress(x->v, 0);
        if (verify_is_cancelled(x->v))
            break;
    }
    if (it)
        s->ops->iter_free(it);
    if (r == -ENOMEM)
        return bp_fail(err, r, "%s", why.text);
    if (r < 0)
        on_fault(x, why.text);
    return 0;
}

int verify_sqlite(struct verify *v, const char *path, struct verify_file *f, struct bp_error *err) {
    BP_CLEANUP(close_source) struct bp_source *s = NULL;
    BP_AUTO_FREE uint64_t *counts = NULL;
    struct faults x = { .v = v, .f = f };
    struct bp_error why = { 0 };
    int r = bp_source_sqlite.open(path, &s, &why);

    if (r == -ENOMEM || r == -EIO || r == -EACCES)
        return bp_fail(err, r, "%s", why.text);
    if (r < 0) {
        f->damaged = true;
        verify_finding(v, BP_FINDING_UNUSABLE, f->path, false, 0, why.text, remedy);
        return 0;
    }
    s->file.path = f->path;
    r = sqlite_integrity(s, on_fault, on_step, &x, &why);
    if (verify_is_cancelled(v))
        return 0;
    if (r < 0)
        on_fault(&x, why.text);
    counts = calloc(s->nchannels + 1, sizeof *counts);
    if (!counts)
        return bp_fail(err, -ENOMEM, "no memory");
    r = read_all(&x, s, counts, err);
    for (size_t i = 0; r >= 0 && i < s->nchannels; i++)
        r = verify_file_count(f, s->channels[i].topic, s->channels[i].type, counts[i], 0);
    verify_progress(v, s->file.bytes);
    return r < 0 ? bp_fail(err, r, "no memory") : 0;
}
