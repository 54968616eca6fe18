#include "bag/sealed-walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "bag/sealed-priv.h"

bool bp_sealed_is_blind(const struct bp_io *io, int fd) {
    struct bp_sealed *s = bp_sealed_of(io, fd);

    return s && !bp_sealed_readable(s);
}

/* Messages of one labelled frame: the last of its group. */
static int take_label(const struct bp_sealed_label *l, struct bp_segment *seg, bool *first) {
    if (l->lane >= BP_LANES || l->last < l->first)
        return 0;
    if (*first)
        memcpy(seg->session, l->run, sizeof seg->session);
    *first = false;
    seg->groups++;
    seg->index.messages += l->last - l->first + 1;
    return bp_spans_add(&seg->ranges[l->lane], l->first, l->last);
}

static bool is_taken(const struct bp_spans *taken, const struct bp_sealed_label *l) {
    return taken && l->lane < BP_LANES && bp_spans_has(&taken[l->lane], l->first);
}

static int walk_frames(struct bp_sealed *c, const struct bp_spans *taken, struct bp_segment *seg) {
    bool first = true;
    int r = 0;

    for (uint64_t i = 0; i < c->n && r == 0; i++) {
        struct bp_sealed_frame f;

        r = bp_sealed_look(c, i, &f); /* opening has looked at the rest of an open one */
        if (r == BP_ECORRUPT)
            return 0; /* nothing behind it can be counted */
        if (r == 0 && is_taken(taken, &f.label))
            return 0; /* cut before what lies between the last group and this one's end */
        if (r == 0)
            r = take_label(&f.label, seg, &first);
        if (r == 0 && f.label.lane < BP_LANES)
            seg->off = f.off + f.n;
    }
    if (r == 0)
        seg->off = c->size; /* definitions behind the last group stay */
    return r;
}

int bp_sealed_walk(const struct bp_io *io, const char *path, const struct bp_spans *taken,
                   struct bp_walk *ret, struct bp_error *err) {
    struct bp_walk found = { .s = calloc(1, sizeof *found.s) };
    struct bp_segment *seg = found.s;
    struct bp_sealed *c;
    int r;

    if (!seg)
        return bp_fail(err, -ENOMEM, "out of memory");
    seg->io = io;
    (void) snprintf(seg->path, sizeof seg->path, "%s", path);
    r = seg->fd = io->open(io->ctx, path, O_RDONLY, 0);
    c = r >= 0 ? bp_sealed_of(io, seg->fd) : NULL;
    if (r >= 0 && !c)
        r = BP_EFORMAT;
    if (r >= 0) {
        bp_segment_take_id(seg, bp_sealed_session(c));
        r = walk_frames(c, taken, seg);
    }
    if (r < 0) {
        bp_walk_done(&found);
        return bp_fail(err, r, "cannot read '%s': %s", path, bp_strerror(r));
    }
    seg->durable = seg->off;
    found.size = bp_sealed_size(c);
    found.messages = seg->index.messages;
    found.ended = bp_sealed_state(c) != BP_SEALED_OPEN;
    found.resumes_at = bp_sealed_holes(c) ? 1 : 0;
    *ret = found;
    return 0;
}

int bp_sealed_walk_close(struct bp_segment *s, struct bp_error *err) {
    const struct bp_io *io = s->io;
    struct bp_sealed *c;
    int fd = io->open(io->ctx, s->path, O_RDWR, 0), r = fd;

    c = r >= 0 ? bp_sealed_of(io, fd) : NULL;
    if (r >= 0 && !c)
        r = BP_EFORMAT;
    if (r >= 0 && s->off < bp_sealed_size(c))
        r = bp_sealed_truncate(c, s->off); /* at a frame's end: nothing is sealed anew */
    if (r >= 0)
        r = bp_sealed_close_blind(c);
    if (r >= 0)
        r = io->sync(io->ctx, fd);
    if (r >= 0)
        s->bytes = (uint64_t) BP_MAX(bp_io_below(io)->size(bp_io_below(io)->ctx, fd), 0);
    if (fd >= 0)
        (void) io->close(io->ctx, fd);
    return r < 0 ? bp_fail(err, r, "cannot close '%s': %s", s->path, bp_strerror(r)) : 0;
}
