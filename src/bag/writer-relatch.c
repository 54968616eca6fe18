#include <errno.h>
#include <stdio.h>

#include "bag/reader.h"
#include "bag/writer-priv.h"

/* When a session goes on after a crash, its latched topics were sent in an earlier life, and their
 * senders' history is dropped as known. So what later segments must repeat is read from the files:
 * from the last one that begins with a repetition, since that has all there was before. */

/* First file to read. */
static size_t first_file(const struct bp_folder *f) {
    size_t i = f->nfiles;

    while (i > 1 && f->files[i - 1].repeated == 0)
        i--;
    return i ? i - 1 : 0;
}

/* At open, while the folder is ours alone. */
int bp_writer_remember_files(struct bp_writer *w) {
    const struct bp_folder *f = &w->folder;

    w->past_paths = calloc(f->nfiles + 1, sizeof(char *));
    if (!w->past_paths)
        return -ENOMEM;
    for (size_t i = first_file(f); i < f->nfiles; i++) {
        char path[1400];

        (void) snprintf(path, sizeof path, "%s/%s", w->dir, f->files[i].file);
        w->past_paths[w->npast_paths] = strdup(path);
        if (!w->past_paths[w->npast_paths])
            return -ENOMEM;
        w->npast_paths++;
    }
    return 0;
}

void bp_writer_relatch_done(struct bp_writer *w) {
    for (size_t i = 0; i < w->npast_paths; i++)
        free(w->past_paths[i]);
    free(w->past_paths);
    for (size_t i = 0; i < w->nreloaded; i++)
        free(w->reloaded[i].record);
    free(w->reloaded);
}

static size_t senders_of(const struct bp_writer *w, const char *topic) {
    size_t n = 0;

    for (size_t i = 0; i < w->npast; i++)
        n += bp_streq(w->past[i].topic, topic);
    return BP_MAX(n, (size_t) 1);
}

static int make_record(struct latched *l, uint16_t channel, const struct bp_bag_msg *m) {
    uint8_t *p;

    *l = (struct latched){ .source = LATCHED_UNKNOWN,
                           .channel = channel,
                           .n = BP_MESSAGE_HEAD + m->size };
    l->record = malloc(l->n);
    if (!l->record)
        return -ENOMEM;
    p = bp_put_rec(l->record, BP_MCAP_MESSAGE, l->n - BP_REC_HEAD);
    p = bp_put32(bp_put16(p, channel), m->sequence);
    p = bp_put64(bp_put64(p, (uint64_t) m->log_ns), (uint64_t) m->publish_ns);
    memcpy(p, m->data, m->size);
    return 0;
}

/* The same message twice: once where it was sent, once repeated. */
static bool same(const struct latched *l, const struct bp_bag_msg *m) {
    return bp_ld_le32(l->record + 11) == m->sequence &&
           bp_ld_le64(l->record + 23) == (uint64_t) m->publish_ns;
}

/* Keeps the newest `keep` messages of the iterator. @return how many, or negative */
static int gather(struct bp_bag_iter *it, uint16_t channel, struct latched *v, size_t keep) {
    struct bp_bag_msg m;
    size_t n = 0;
    int r;

    while ((r = bp_bag_next(it, &m, NULL)) > 0) {
        bool known = false;

        for (size_t i = 0; i < n && !known; i++)
            known = same(&v[i], &m);
        if (known)
            continue;
        if (n == keep) {
            free(v[0].record);
            memmove(v, v + 1, --n * sizeof *v);
        }
        r = make_record(&v[n], channel, &m);
        if (r < 0)
            break;
        n++;
    }
    if (r >= 0)
        return (int) n;
    for (size_t i = 0; i < n; i++)
        free(v[i].record);
    return r;
}

static int read_topic(struct bp_bag *b, const char *topic, uint16_t channel, struct latched *v,
                      size_t keep) {
    size_t n = bp_bag_get_info(b)->nchannels;
    BP_AUTO_FREE bool *wanted = calloc(n + 1, sizeof *wanted);
    struct bp_bag_filter f = { .channels = wanted, .lenient = true };
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    bool any = false;
    int r;

    if (!wanted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        any |= wanted[i] = bp_streq(bp_bag_channel(b, i)->topic, topic);
    if (!any)
        return 0;
    r = bp_bag_iterate(b, &f, &it, NULL);
    return r < 0 ? r : gather(it, channel, v, keep);
}

static int hand_in(struct bp_writer *w, struct latched *v, size_t n) {
    struct latched *more;

    bp_mutex_lock(&w->defs_lock);
    more = realloc(w->reloaded, (w->nreloaded + n) * sizeof *more);
    if (more) {
        memcpy(more + w->nreloaded, v, n * sizeof *v);
        w->reloaded = more;
        w->nreloaded += n;
    }
    bp_mutex_unlock(&w->defs_lock);
    for (size_t i = 0; !more && i < n; i++)
        free(v[i].record);
    return more ? 0 : -ENOMEM;
}

int bp_writer_relatch(struct bp_writer *w, uint16_t channel, const char *topic, uint32_t depth) {
    size_t keep = (size_t) BP_MIN(depth, 1000u) * senders_of(w, topic);
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_AUTO_FREE struct latched *v = NULL;
    int r;

    if (!w->npast_paths)
        return 0;
    v = calloc(keep, sizeof *v);
    if (!v)
        return -ENOMEM;
    r = bp_bag_open((const char *const *) w->past_paths, w->npast_paths, &b, NULL);
    if (r >= 0)
        r = read_topic(b, topic, channel, v, keep);
    return r > 0 ? hand_in(w, v, (size_t) r) : r;
}
