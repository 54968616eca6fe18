/* Slices of sessions by HTTP (daemon/data.h), out of the files of their folders. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent-priv.h"
#include "agent/files.h"
#include "daemon/data.h"

struct cut {
    int dir_fd, fd;
    char **names; /* owned, as the names */
    size_t n;
    unsigned missing;
};

static void cut_free(void *ctx) {
    struct cut *c = ctx;

    for (size_t i = 0; i < c->n; i++)
        free(c->names[i]);
    free(c->names);
    if (c->dir_fd >= 0)
        (void) close(c->dir_fd);
    free(c);
}

static void cut_freep(struct cut **c) {
    if (*c)
        cut_free(*c);
}

static ssize_t read_file(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    const struct cut *c = ctx;
    size_t got = 0;

    while (got < n) {
        ssize_t r = pread(c->fd, (char *) p + got, n - got, (off_t) (off + got));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return bp_fail(err, -errno, "cannot read a segment: %s", bp_strerror(-errno));
        if (r == 0)
            break;
        got += (size_t) r;
    }
    return (ssize_t) got;
}

static int open_segment(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err) {
    struct cut *c = ctx;
    struct stat st;

    c->fd = openat(c->dir_fd, c->names[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (c->fd >= 0 && (fstat(c->fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        (void) close(c->fd);
        c->fd = -1;
    }
    if (c->fd < 0)
        return bp_fail(err, -ENOENT, "the session has no file '%s' any more", c->names[i]);
    *ret = (struct bp_reads){ .size = (uint64_t) st.st_size, .read = read_file, .ctx = c };
    return 0;
}

static void close_segment(void *ctx, struct bp_reads *r) {
    struct cut *c = ctx;

    (void) r;
    (void) close(c->fd);
    c->fd = -1;
}

static bp_ns_t time_of(const json_t *segment, const char *key) {
    const char *text = json_string_value(json_object_get(segment, key));

    return text ? strtoll(text, NULL, 10) : 0;
}

static int add(struct cut *c, struct bp_data *d, const json_t *segment, struct bp_error *err) {
    const char *name = json_string_value(json_object_get(segment, "name"));
    bp_ns_t first = time_of(segment, "first_ns"), last = time_of(segment, "last_ns");
    int r;

    if (!name || !bp_data_reads(d, first, last))
        return 0;
    if (!json_is_true(json_object_get(segment, "complete"))) {
        c->missing++; /* it is being written */
        return 0;
    }
    r = bp_data_add(d, name, first, last, err);
    if (r < 0)
        return r;
    c->names[c->n] = strdup(name);
    return c->names[c->n++] ? 0 : bp_fail(err, -ENOMEM, "no memory for a slice");
}

static int choose(struct cut *c, struct bp_data *d, const char *dir, bool live,
                  struct bp_error *err) {
    json_t *files = bp_files_json(dir, live), *list = json_object_get(files, "segments");
    size_t n = json_array_size(list);
    int r = 0;

    c->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->dir_fd < 0)
        r = bp_fail(err, -ENOENT, "the session's folder is not there");
    c->names = calloc(n + 1, sizeof(char *));
    if (r == 0 && (!c->names || !files))
        r = bp_fail(err, -ENOMEM, "no memory for a slice");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add(c, d, json_array_get(list, i), err);
    json_decref(files);
    return r;
}

int bp_agent_get_data(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_agent *a = bp_http_ctx(req);
    BP_CLEANUP(cut_freep) struct cut *c = calloc(1, sizeof *c);
    BP_CLEANUP(bp_data_freep) struct bp_data *d = NULL;
    BP_AUTO_CATALOG_SESSION row = { 0 };
    struct bp_data_source src = { .open = open_segment, .close = close_segment, .done = cut_free };
    bool live;
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "no memory for a slice");
    c->dir_fd = c->fd = -1;
    r = bp_catalog_get(a->catalog, bp_http_param(req, "id"), &row, err);
    if (r == 0 && row.status == BP_STATUS_DELETED)
        r = bp_fail(err, -ENOENT, "session '%s' is deleted", row.name);
    live = row.status == BP_STATUS_RECORDING || row.status == BP_STATUS_PAUSED;
    if (r == 0)
        r = bp_data_new(req, row.started_ns, &d, err);
    if (r == 0)
        r = choose(c, d, row.dir, live, err);
    if (r < 0)
        return r;
    src.missing = c->missing;
    src.settled = !live;
    src.ctx = BP_TAKE_PTR(c);
    return bp_data_reply(a->pumps, reply, row.name, BP_TAKE_PTR(d), &src, err);
}
