#include <errno.h>
#include <stdio.h>

#include "bag/metadata.h"
#include "bag/writer-priv.h"

/* The folder's own files: metadata.yaml, which makes it a rosbag2 recording. Written at open, so
 * that an interrupted folder is known for what it is, and whenever a segment is closed. */

int bp_writer_note_closed(struct bp_writer *w, const struct bp_segment *s) {
    struct closed *v = realloc(w->closed, (w->nclosed_segments + 1) * sizeof *v);
    const struct bp_index *x = &s->index;

    if (!v)
        return -ENOMEM;
    w->closed = v;
    v = &w->closed[w->nclosed_segments++];
    *v = (struct closed){ .start_ns = (bp_ns_t) x->t_first,
                          .end_ns = (bp_ns_t) x->t_last,
                          .messages = x->messages,
                          .bytes = s->off };
    (void) snprintf(v->file, sizeof v->file, "%s", strrchr(s->path, '/') + 1);
    for (uint32_t id = 0; x->counts && id <= x->max_channel; id++)
        w->counts[id] += x->counts[id];
    return bp_ledger_merge(&w->ledger, &s->ledger);
}

static int add_topics(struct bp_writer *w, struct bp_metadata *m) {
    int r = 0;

    bp_mutex_lock(&w->defs_lock);
    for (uint32_t id = 1; id < w->nchannels && r == 0; id++) {
        const struct channel *c = w->channels[id];

        if (c)
            r = bp_metadata_add_topic(m, c->topic, c->type, "cdr", c->type_hash, c->qos,
                                      w->counts[id]);
    }
    bp_mutex_unlock(&w->defs_lock);
    return r;
}

static int add_custom(const struct bp_writer *w, struct bp_metadata *m) {
    int r = 0;

    for (size_t i = 0; w->o.custom_data && w->o.custom_data[i] && r == 0; i++) {
        const char *eq = strchr(w->o.custom_data[i], '=');
        BP_AUTO_FREE char *key =
            eq ? strndup(w->o.custom_data[i], (size_t) (eq - w->o.custom_data[i]))
               : strdup(w->o.custom_data[i]);

        r = key ? bp_metadata_add_custom(m, key, eq ? eq + 1 : "") : -ENOMEM;
    }
    return r;
}

int bp_writer_write_metadata(struct bp_writer *w, struct bp_error *err) {
    BP_AUTO_METADATA m = { 0 };
    int r = bp_metadata_init(&m, "mcap", "");

    if (r == 0)
        r = add_topics(w, &m);
    for (size_t i = 0; i < w->nclosed_segments && r == 0; i++) {
        const struct closed *c = &w->closed[i];

        r = bp_metadata_add_file(&m, c->file, c->start_ns, c->end_ns, c->messages);
    }
    if (r == 0)
        r = add_custom(w, &m);
    if (r < 0)
        return bp_fail(err, r, "out of memory for metadata.yaml");
    bp_metadata_sum_files(&m);
    return bp_metadata_write(w->io, w->dir, &m, err);
}
