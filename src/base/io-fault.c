#include "base/io-fault.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "base/units.h"

enum { MAX_RULES = 16, NAME_MAX_ = 256 };

enum action { ACT_NONE, ACT_FAIL, ACT_HALF, ACT_SKIP, ACT_VALUE, ACT_KILL };

struct rule {
    unsigned ops;         /* bit per enum bp_io_op */
    char path[NAME_MAX_]; /* glob, or "" for every path */
    uint64_t from, to, every;
    enum action action;
    int code;      /* ACT_FAIL, ACT_HALF: negative errno */
    int64_t value; /* ACT_VALUE */
    bp_ns_t delay;
    uint64_t calls; /* selected by op and path so far */
};

struct bp_io_fault {
    struct bp_io io; /* constant; ctx points back here */
    const struct bp_io *base;
    struct bp_mutex lock;         /* leaf */
    struct rule rules[MAX_RULES]; /* [lock] */
    size_t nrules;                /* [lock] */
    char **paths;                 /* [lock] by file descriptor, owned; NULL = not ours */
    size_t npaths;                /* [lock] */
    uint64_t calls[BP_IO_OPS_N_]; /* [lock] */
    uint64_t hits;                /* [lock] */
};

/* What to do with one call. */
struct verdict {
    enum action action;
    int code;
    int64_t value;
    bp_ns_t delay;
};

static const char *const op_names[] = {
    [BP_IO_OPEN] = "open",         [BP_IO_CLOSE] = "close",           [BP_IO_PREAD] = "pread",
    [BP_IO_PWRITE] = "pwrite",     [BP_IO_DATASYNC] = "datasync",     [BP_IO_SYNC] = "sync",
    [BP_IO_SYNC_DIR] = "sync_dir", [BP_IO_ALLOCATE] = "allocate",     [BP_IO_TRUNCATE] = "truncate",
    [BP_IO_SIZE] = "size",         [BP_IO_RENAME] = "rename",         [BP_IO_UNLINK] = "unlink",
    [BP_IO_MKDIR] = "mkdir",       [BP_IO_FREE_BYTES] = "free_bytes",
};
static_assert(BP_COUNT(op_names) == BP_IO_OPS_N_, "every operation has a name");

const char *bp_io_op_name(enum bp_io_op op) {
    return op_names[op];
}

/* ── reading a specification ── */

static int parse_op(const char *name, unsigned *ret) {
    if (bp_streq(name, "*")) {
        *ret = (1U << BP_IO_OPS_N_) - 1;
        return 0;
    }
    for (unsigned i = 0; i < BP_IO_OPS_N_; i++)
        if (bp_streq(op_names[i], name)) {
            *ret = 1U << i;
            return 0;
        }
    return -EINVAL;
}

static int parse_errno(const char *name, int *ret) {
    int64_t number;

    for (int e = 1; e < 134; e++) {
        const char *known = strerrorname_np(e);

        if ((known && bp_streq(known, name)) || (bp_parse_int(name, &number) == 0 && number == e)) {
            *ret = -e;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_count(const char *text, uint64_t *ret) {
    int64_t v;

    if (bp_parse_int(text, &v) < 0 || v < 1)
        return -EINVAL;
    *ret = (uint64_t) v;
    return 0;
}

static int parse_path(const char *text, struct rule *r) {
    return snprintf(r->path, sizeof r->path, "%s", text) < (int) sizeof r->path ? 0 : -EINVAL;
}

static int parse_word(char *word, struct rule *r) {
    char *eq = strchr(word, '=');
    const char *value = eq ? eq + 1 : "";
    int res;

    if (eq)
        *eq = 0;
    if (bp_streq(word, "op"))
        return parse_op(value, &r->ops);
    if (bp_streq(word, "path"))
        return parse_path(value, r);
    if (bp_streq(word, "every"))
        return parse_count(value, &r->every);
    if (bp_streq(word, "from"))
        return parse_count(value, &r->from);
    if (bp_streq(word, "to"))
        return parse_count(value, &r->to);
    if (bp_streq(word, "at")) {
        res = parse_count(value, &r->from);
        r->to = r->from;
        return res;
    }
    if (bp_streq(word, "delay"))
        return bp_parse_duration(value, &r->delay);
    if (bp_streq(word, "errno")) {
        r->action = r->action == ACT_HALF ? ACT_HALF : ACT_FAIL;
        return parse_errno(value, &r->code);
    }
    if (bp_streq(word, "value")) {
        r->action = ACT_VALUE;
        return bp_parse_int(value, &r->value);
    }
    if (eq)
        return -EINVAL;
    if (bp_streq(word, "half"))
        r->action = ACT_HALF;
    else if (bp_streq(word, "skip"))
        r->action = ACT_SKIP;
    else if (bp_streq(word, "kill"))
        r->action = ACT_KILL;
    else
        return -EINVAL;
    return 0;
}

/* A call without a result of its own cannot be skipped, and only a number can be answered. */
static bool makes_sense(const struct rule *r) {
    const unsigned answers =
        1U << BP_IO_OPEN | 1U << BP_IO_PREAD | 1U << BP_IO_SIZE | 1U << BP_IO_FREE_BYTES;

    switch (r->action) {
    case ACT_NONE:
        return r->delay > 0;
    case ACT_FAIL:
    case ACT_KILL:
        return true;
    case ACT_HALF:
        return r->code < 0 && r->ops == 1U << BP_IO_PWRITE;
    case ACT_SKIP:
        return (r->ops & answers) == 0;
    case ACT_VALUE:
        return (r->ops & ~(1U << BP_IO_SIZE | 1U << BP_IO_FREE_BYTES)) == 0;
    }
    return false;
}

static int parse_rule(char *text, struct rule *r, struct bp_error *err) {
    char whole[NAME_MAX_];
    char *save = NULL;

    *r = (struct rule){ .ops = (1U << BP_IO_OPS_N_) - 1, .from = 1, .to = UINT64_MAX, .every = 1 };
    (void) snprintf(whole, sizeof whole, "%s", text);
    for (char *w = strtok_r(text, ",", &save); w; w = strtok_r(NULL, ",", &save))
        if (parse_word(w, r) < 0)
            return bp_fail(err, BP_ECONFIG, "fault rule '%s': '%s' is not understood", whole, w);

    if (!makes_sense(r))
        return bp_fail(err, BP_ECONFIG, "fault rule '%s': says nothing that can happen", whole);
    return 0;
}

static int parse_spec(const char *spec, struct rule rules[static MAX_RULES], size_t *ret_n,
                      struct bp_error *err) {
    BP_AUTO_FREE char *copy = strdup(spec);
    char *save = NULL;
    size_t n = 0;

    if (!copy)
        return bp_fail(err, -ENOMEM, "fault rules: out of memory");

    for (char *t = strtok_r(copy, "; \n", &save); t; t = strtok_r(NULL, "; \n", &save)) {
        int r;

        if (n == MAX_RULES)
            return bp_fail(err, BP_ECONFIG, "more than %d fault rules", MAX_RULES);
        r = parse_rule(t, &rules[n++], err);
        if (r < 0)
            return r;
    }
    *ret_n = n;
    return 0;
}

/* ── deciding about a call ── */

static bool path_matches(const char *glob, const char *path) {
    const char *slash = strrchr(path, '/');

    return !glob[0] || fnmatch(glob, path, 0) == 0 || (slash && fnmatch(glob, slash + 1, 0) == 0);
}

static const char *path_of_locked(struct bp_io_fault *f, int fd) BP_REQUIRES(f->lock);
static const char *path_of_locked(struct bp_io_fault *f, int fd) {
    return fd >= 0 && (size_t) fd < f->npaths && f->paths[fd] ? f->paths[fd] : "";
}

static bool selects(struct rule *r, enum bp_io_op op, const char *path, const char *other) {
    if (!(r->ops & 1U << op) ||
        (!path_matches(r->path, path) && !(other && path_matches(r->path, other))))
        return false;

    r->calls++;
    return r->calls >= r->from && r->calls <= r->to && (r->calls - r->from + 1) % r->every == 0;
}

/* `path` NULL: the path of fd. */
static struct verdict judge(struct bp_io_fault *f, enum bp_io_op op, int fd, const char *path,
                            const char *other) {
    struct verdict v = { 0 };
    bool hit = false;

    bp_mutex_lock(&f->lock);
    f->calls[op]++;
    if (!path)
        path = path_of_locked(f, fd);
    for (size_t i = 0; i < f->nrules; i++) {
        struct rule *r = &f->rules[i];

        if (!selects(r, op, path, other) || v.action != ACT_NONE)
            continue;
        hit = true;
        v.delay += r->delay;
        v.action = r->action;
        v.code = r->code;
        v.value = r->value;
    }
    f->hits += hit;
    bp_mutex_unlock(&f->lock);

    if (v.delay > 0)
        bp_sleep(v.delay);
    if (v.action == ACT_KILL)
        (void) raise(SIGKILL);
    return v;
}

static struct verdict judge_fd(struct bp_io_fault *f, enum bp_io_op op, int fd) {
    return judge(f, op, fd, NULL, NULL);
}

static struct verdict judge_path(struct bp_io_fault *f, enum bp_io_op op, const char *path) {
    return judge(f, op, -1, path, NULL);
}

/* Returns from the calling function when the call is failed or skipped. */
#define DECIDE(v)                   \
    do {                            \
        if ((v).action == ACT_FAIL) \
            return (v).code;        \
        if ((v).action == ACT_SKIP) \
            return 0;               \
    } while (0)

/* Forgets what fd was when path is NULL. Without memory the file keeps the path "". */
static void remember(struct bp_io_fault *f, int fd, const char *path) {
    char *copy = path ? strdup(path) : NULL;
    size_t at = (size_t) fd;

    bp_mutex_lock(&f->lock);
    if (at >= f->npaths && copy) {
        size_t n = at + 64;
        char **grown = realloc(f->paths, n * sizeof *grown); /* a test tool: allocates locked */

        if (grown) {
            memset(grown + f->npaths, 0, (n - f->npaths) * sizeof *grown);
            f->paths = grown;
            f->npaths = n;
        }
    }
    if (at < f->npaths) {
        char *old = f->paths[at];

        f->paths[at] = copy;
        copy = old;
    }
    bp_mutex_unlock(&f->lock);
    free(copy);
}

static int fault_open(void *ctx, const char *path, int flags, unsigned mode) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_path(f, BP_IO_OPEN, path);
    int fd;

    DECIDE(v);
    fd = f->base->open(f->base->ctx, path, flags, mode);
    if (fd >= 0)
        remember(f, fd, path);
    return fd;
}

/* A failed or skipped close still closes: a descriptor is never left behind. */
static int fault_close(void *ctx, int fd) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_CLOSE, fd);
    int r;

    if (fd >= 0)
        remember(f, fd, NULL);
    r = f->base->close(f->base->ctx, fd);
    DECIDE(v);
    return r;
}

static ssize_t fault_pread(void *ctx, int fd, void *buf, size_t n, uint64_t off) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_PREAD, fd);

    DECIDE(v);
    return f->base->pread(f->base->ctx, fd, buf, n, off);
}

static int fault_pwrite(void *ctx, int fd, const void *buf, size_t n, uint64_t off) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_PWRITE, fd);

    DECIDE(v);
    if (v.action == ACT_HALF) {
        (void) f->base->pwrite(f->base->ctx, fd, buf, n / 2 >= 512 ? n / 1024 * 512 : n / 2, off);
        return v.code;
    }
    return f->base->pwrite(f->base->ctx, fd, buf, n, off);
}

static int fault_datasync(void *ctx, int fd) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_DATASYNC, fd);

    DECIDE(v);
    return f->base->datasync(f->base->ctx, fd);
}

static int fault_sync(void *ctx, int fd) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_SYNC, fd);

    DECIDE(v);
    return f->base->sync(f->base->ctx, fd);
}

static int fault_sync_dir(void *ctx, const char *path) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_path(f, BP_IO_SYNC_DIR, path);

    DECIDE(v);
    return f->base->sync_dir(f->base->ctx, path);
}

static int fault_allocate(void *ctx, int fd, uint64_t off, uint64_t len) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_ALLOCATE, fd);

    DECIDE(v);
    return f->base->allocate(f->base->ctx, fd, off, len);
}

static int fault_truncate(void *ctx, int fd, uint64_t size) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_TRUNCATE, fd);

    DECIDE(v);
    return f->base->truncate(f->base->ctx, fd, size);
}

static int64_t fault_size(void *ctx, int fd) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_fd(f, BP_IO_SIZE, fd);

    DECIDE(v);
    return v.action == ACT_VALUE ? v.value : f->base->size(f->base->ctx, fd);
}

static int fault_rename(void *ctx, const char *from, const char *to) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge(f, BP_IO_RENAME, -1, from, to);

    DECIDE(v);
    return f->base->rename(f->base->ctx, from, to);
}

static int fault_unlink(void *ctx, const char *path) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_path(f, BP_IO_UNLINK, path);

    DECIDE(v);
    return f->base->unlink(f->base->ctx, path);
}

static int fault_mkdir(void *ctx, const char *path, unsigned mode) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_path(f, BP_IO_MKDIR, path);

    DECIDE(v);
    return f->base->mkdir(f->base->ctx, path, mode);
}

static int64_t fault_free_bytes(void *ctx, const char *path) {
    struct bp_io_fault *f = ctx;
    struct verdict v = judge_path(f, BP_IO_FREE_BYTES, path);

    DECIDE(v);
    return v.action == ACT_VALUE ? v.value : f->base->free_bytes(f->base->ctx, path);
}

static const struct bp_io fault_io = {
    .open = fault_open,
    .close = fault_close,
    .pread = fault_pread,
    .pwrite = fault_pwrite,
    .datasync = fault_datasync,
    .sync = fault_sync,
    .sync_dir = fault_sync_dir,
    .allocate = fault_allocate,
    .truncate = fault_truncate,
    .size = fault_size,
    .rename = fault_rename,
    .unlink = fault_unlink,
    .mkdir = fault_mkdir,
    .free_bytes = fault_free_bytes,
};

int bp_io_fault_new(const struct bp_io *base, const char *spec, struct bp_io_fault **ret,
                    struct bp_error *err) {
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = calloc(1, sizeof *f);
    int r;

    if (!f)
        return bp_fail(err, -ENOMEM, "fault rules: out of memory");

    bp_mutex_init(&f->lock);
    f->base = base;
    f->io = fault_io;
    f->io.ctx = f;
    r = bp_io_fault_set(f, spec, err);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(f);
    return 0;
}

void bp_io_fault_free(struct bp_io_fault *f) {
    if (!f)
        return;
    for (size_t i = 0; i < f->npaths; i++)
        free(f->paths[i]);
    free(f->paths);
    bp_mutex_done(&f->lock);
    free(f);
}

const struct bp_io *bp_io_fault_io(struct bp_io_fault *f) {
    return &f->io;
}

int bp_io_fault_set(struct bp_io_fault *f, const char *spec, struct bp_error *err) {
    struct rule rules[MAX_RULES];
    size_t n = 0;
    int r = parse_spec(spec, rules, &n, err);

    if (r < 0)
        return r;

    bp_mutex_lock(&f->lock);
    memcpy(f->rules, rules, n * sizeof *rules);
    f->nrules = n;
    bp_mutex_unlock(&f->lock);
    return 0;
}

uint64_t bp_io_fault_calls(struct bp_io_fault *f, enum bp_io_op op) {
    uint64_t sum = 0;

    bp_mutex_lock(&f->lock);
    for (int i = 0; i < BP_IO_OPS_N_; i++)
        sum += op == BP_IO_OPS_N_ || op == (enum bp_io_op) i ? f->calls[i] : 0;
    bp_mutex_unlock(&f->lock);
    return sum;
}

uint64_t bp_io_fault_hits(struct bp_io_fault *f) {
    uint64_t hits;

    bp_mutex_lock(&f->lock);
    hits = f->hits;
    bp_mutex_unlock(&f->lock);
    return hits;
}

static const struct bp_io *env_io = &bp_io_posix; /* set once, then constant */

static void make_env_io(void) {
    static struct bp_io_fault *kept;            /* for the life of the process, reachable */
    const char *spec = getenv("BAGPIPE_FAULT"); /* NOLINT(concurrency-mt-unsafe): no setenv() */
    struct bp_error err = { 0 };

    if (!spec || !*spec)
        return;
    if (bp_io_fault_new(&bp_io_posix, spec, &kept, &err) < 0) {
        (void) fprintf(stderr, "bagpipe: BAGPIPE_FAULT: %s\n", err.text);
        _exit(bp_exit_status(BP_ECONFIG));
    }
    (void) fprintf(stderr, "bagpipe: warning: file operations fail on purpose (BAGPIPE_FAULT=%s)\n",
                   spec);
    env_io = bp_io_fault_io(kept);
}

const struct bp_io *bp_io_from_env(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void) pthread_once(&once, make_env_io);
    return env_io;
}
