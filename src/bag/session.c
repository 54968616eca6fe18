#include "bag/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>

#include "bag/put.h"
#include "bag/recover-priv.h"
#include "bag/sealed.h"

void bp_session_new_run(uint8_t ret[16]) {
    if (getrandom(ret, 16, 0) == 16)
        return;
    memcpy(ret, &(uint64_t){ (uint64_t) bp_wall_ns() }, 8); /* before the pool is ready */
    memcpy(ret + 8, &(uint64_t){ (uint64_t) bp_mono_ns() ^ (uint64_t) getpid() << 40 }, 8);
}

/* flock of a killed process is released only when its exit has ended; with a large mapping that
 * takes a while. */
int bp_session_lock(const char *dir, struct bp_error *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return bp_fail(err, -errno, "cannot open folder '%s': %s", dir, bp_strerror(-errno));
    for (int i = 0; i < 100; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        bp_sleep(30 * BP_MS);
    }
    (void) close(fd);
    return bp_fail(err, BP_EBUSY, "another process records into '%s'", dir);
}

/* Length of what stands before "_<number>.mcap" in a file's name, 0 when it is no such name. */
static size_t stem_of(const char *file) {
    size_t n = strlen(file);

    if (bp_sealed_name(file))
        n -= strlen(BP_SEALED_SUFFIX);
    if (n < 7 || memcmp(file + n - 5, ".mcap", 5) != 0)
        return 0;
    n -= 5;
    while (n > 0 && file[n - 1] >= '0' && file[n - 1] <= '9')
        n--;
    return n > 1 && file[n - 1] == '_' && file[n] != '.' ? n - 1 : 0;
}

/* A folder that was renamed keeps the name its segments have, when they agree on one. */
static void name_of_segments(const char *dir, char *name, size_t cap) {
    char one[256] = "";
    DIR *d = opendir(dir);
    struct dirent *e;
    bool agree = true;

    while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        size_t n = e->d_name[0] == '.' ? 0 : stem_of(e->d_name);

        if (n == 0 || n >= sizeof one)
            continue;
        if (strlen(name) == n && memcmp(name, e->d_name, n) == 0)
            agree = false; /* its own name */
        if (!one[0])
            (void) snprintf(one, sizeof one, "%.*s", (int) n, e->d_name);
        agree = agree && strlen(one) == n && memcmp(one, e->d_name, n) == 0;
    }
    if (d)
        (void) closedir(d);
    if (agree && one[0])
        (void) snprintf(name, cap, "%s", one);
}

int bp_session_name(const char *dir, char *ret, size_t cap) {
    char full[4096];
    const char *slash;

    if (!realpath(dir, full))
        return -errno;
    slash = strrchr(full, '/');
    (void) snprintf(ret, cap, "%s", slash[1] ? slash + 1 : "session");
    name_of_segments(dir, ret, cap);
    return 0;
}

/* One segment found. */
struct found {
    uint32_t number;
    bool sealed;
};

static int by_number(const void *a, const void *b) {
    const struct found *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* The number of a segment's file name, or -1. */
static int64_t number_of(const char *file, const char *name) {
    size_t n = strlen(name);
    char *end;
    unsigned long v;

    if (strncmp(file, name, n) != 0 || file[n] != '_' || file[n + 1] < '0' || file[n + 1] > '9')
        return -1;
    v = strtoul(file + n + 1, &end, 10);
    return (bp_streq(end, ".mcap") || bp_streq(end, ".mcap" BP_SEALED_SUFFIX)) && v < UINT32_MAX
               ? (int64_t) v
               : -1;
}

/* Into one piece of memory, so that one free() lets go of it. */
static int keep_found(struct found *v, size_t n, struct bp_session_files *f) {
    f->numbers = malloc((n + 1) * (sizeof *f->numbers + sizeof *f->sealed));
    if (!f->numbers)
        return -ENOMEM;
    f->sealed = (bool *) (f->numbers + n + 1);
    if (n)
        qsort(v, n, sizeof *v, by_number);
    for (size_t i = 0; i < n; i++) {
        f->numbers[i] = v[i].number;
        f->sealed[i] = v[i].sealed;
    }
    f->n = n;
    return 0;
}

void bp_session_path(const char *dir, const struct bp_session_files *f, size_t i, char *ret,
                     size_t cap) {
    bp_segment_path(dir, f->name, f->numbers[i], f->sealed[i], ret, cap);
}

int bp_session_list(const char *dir, struct bp_session_files *ret, struct bp_error *err) {
    struct bp_session_files f = { 0 };
    BP_AUTO_FREE struct found *v = NULL;
    size_t n = 0, cap = 0;
    struct dirent *e;
    DIR *d;
    int r = bp_session_name(dir, f.name, sizeof f.name);

    d = r == 0 ? opendir(dir) : NULL;
    if (!d)
        return bp_fail(err, r < 0 ? r : -errno, "cannot read folder '%s': %s", dir,
                       bp_strerror(r < 0 ? r : -errno));
    while (r == 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        int64_t number = number_of(e->d_name, f.name);

        if (number < 0)
            continue;
        if (n == cap) {
            struct found *more = realloc(v, (cap ? 2 * cap : 16) * sizeof *v);

            r = more ? 0 : -ENOMEM;
            v = more ? more : v;
            cap = more ? (cap ? 2 * cap : 16) : cap;
        }
        if (r == 0)
            v[n++] = (struct found){ (uint32_t) number, bp_sealed_name(e->d_name) };
    }
    (void) closedir(d);
    if (r == 0)
        r = keep_found(v, n, &f);
    if (r < 0)
        return bp_fail(err, r, "out of memory");
    *ret = f;
    return 0;
}

/* Without a key that opens it, a sealed file's own end is all there is to go by; with one, what was
 * closed without is still to be ended. */
static bool sealed_has_end(const struct bp_io *io, const char *path) {
    BP_CLEANUP(bp_sealed_freep) struct bp_sealed *s = NULL;
    int fd = io->open(io->ctx, path, O_RDONLY, 0);
    bool ended = false;

    if (fd < 0)
        return false;
    if (bp_sealed_peek(io, fd, bp_keyring_process(), &s) == 0)
        ended = bp_sealed_state(s) == BP_SEALED_COMPLETE ||
                (bp_sealed_state(s) == BP_SEALED_CUT && !bp_sealed_readable(s));
    (void) io->close(io->ctx, fd);
    return ended;
}

bool bp_session_has_footer(const struct bp_io *io, const char *path) {
    uint8_t end[BP_REC_HEAD + BP_MCAP_FOOTER_LEN + BP_MCAP_MAGIC_LEN];
    int fd = -1;
    bool ok = false;
    int64_t size;

    if (bp_sealed_name(path))
        return sealed_has_end(bp_io_below(io), path);
    fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return false;
    size = io->size(io->ctx, fd);
    if (size >= (int64_t) sizeof end + BP_MCAP_MAGIC_LEN &&
        io->pread(io->ctx, fd, end, sizeof end, (uint64_t) size - sizeof end) ==
            (ssize_t) sizeof end)
        ok = end[0] == BP_MCAP_FOOTER &&
             memcmp(end + sizeof end - BP_MCAP_MAGIC_LEN, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) == 0;
    (void) io->close(io->ctx, fd);
    return ok;
}

static bool exists(const char *dir, const char *file) {
    char path[4400];

    (void) snprintf(path, sizeof path, "%s/%s", dir, file);
    return access(path, F_OK) == 0;
}

/* A journal that recovery put aside for want of a key is work left to do for who has one. */
static bool has_kept_journal(const char *dir) {
    char name[32];

    for (unsigned i = 1; i < 16 && bp_keyring_opens(bp_keyring_process()); i++) {
        (void) snprintf(name, sizeof name, "journal.kept-%u", i);
        if (exists(dir, name))
            return true;
    }
    return false;
}

int bp_session_state(const struct bp_io *io, const char *dir, struct bp_error *err) {
    struct bp_session_files f = { 0 };
    char path[4400];
    bool broken;
    int r;

    if (access(dir, F_OK) < 0)
        return errno == ENOENT ? BP_SESSION_NONE : -errno;
    r = bp_session_list(dir, &f, err);
    if (r < 0)
        return r;
    broken = exists(dir, "journal") || exists(dir, "ring") || has_kept_journal(dir);
    for (size_t i = 0; i < f.n && !broken; i++) {
        bp_session_path(dir, &f, i, path, sizeof path);
        broken = !bp_session_has_footer(io, path);
    }
    r = broken ? BP_SESSION_INTERRUPTED : f.n ? BP_SESSION_FINISHED : BP_SESSION_NONE;
    free(f.numbers);
    if (r == BP_SESSION_NONE && exists(dir, "metadata.yaml"))
        r = BP_SESSION_FINISHED; /* a recording of somebody else */
    return r;
}

bool bp_session_file_is_ours(const struct bp_io *io, const char *path) {
    static const uint8_t zeros[64];
    uint8_t head[sizeof zeros] = { 0 };
    int fd = -1;
    ssize_t n;

    if (bp_sealed_name(path))
        return true; /* of the names that are asked for only we make sealed ones */
    fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return false;
    n = io->pread(io->ctx, fd, head, sizeof head, 0);
    (void) io->close(io->ctx, fd);
    return n >= 0 && (memcmp(head, zeros, sizeof head) == 0 ||
                      memmem(head, sizeof head, "bagpipe ", 8) != NULL);
}

bool bp_session_is_ours(const struct bp_io *io, const char *dir) {
    struct bp_session_files f = { 0 };
    bool ours = exists(dir, "ring") || exists(dir, "journal");
    char path[4400];

    if (!ours && bp_session_list(dir, &f, NULL) == 0)
        for (size_t i = 0; i < f.n && !ours; i++) {
            bp_session_path(dir, &f, i, path, sizeof path);
            ours = bp_session_file_is_ours(io, path);
        }
    free(f.numbers);
    return ours;
}

/* With the parents that are missing, as `ros2 bag record` does. */
static int make_folder(const struct bp_io *io, const char *dir, struct bp_error *err) {
    char parent[4096];
    int r = io->mkdir(io->ctx, dir, 0755);

    if (r == -EEXIST)
        return 0;
    bp_io_dirname(dir, parent, sizeof parent);
    if (r == -ENOENT && strlen(parent) < strlen(dir)) {
        r = make_folder(io, parent, err);
        if (r < 0)
            return r;
        r = io->mkdir(io->ctx, dir, 0755);
    }
    if (r < 0)
        return bp_fail(err, r, "cannot make folder '%s': %s", dir, bp_strerror(r));
    r = io->sync_dir(io->ctx, parent); /* else a power cut takes the whole session */
    return r < 0 ? bp_fail(err, r, "cannot sync folder '%s': %s", parent, bp_strerror(r)) : 0;
}

/* An interrupted session that is to go on: whole first, then the next number. */
static int take_up(const struct bp_writer_opts *o, struct bp_folder *folder, uint32_t *next,
                   struct bp_error *err) {
    const struct bp_recover_opts ro = { .io = o->io ? o->io : &bp_io_posix,
                                        .keys = o->seal,
                                        .recipients_given = o->seal != NULL,
                                        .hide_names = o->hide_names,
                                        .ring_dir = o->ring_dir,
                                        .signer = o->signer };
    struct bp_recovery found = { 0 };
    struct bp_session_files f = { 0 };
    struct bp_writer_event e = { .kind = BP_WRITER_NOTICE, .path = o->dir };
    char text[600];
    int r = bp_recover_session(o->dir, &ro, &found, err);

    if (r == 0)
        r = bp_session_list(o->dir, &f, err);
    if (r == 0) {
        bp_folder_done(folder);
        r = bp_folder_load(folder, ro.io, o->dir, err);
    }
    if (r == 0) {
        BP_AUTO_BUF ignored = { 0 }; /* recovery has told already */

        r = bp_folder_sign_with(folder, ro.io, o->signer, &ignored, err);
    }
    if (r == 0) {
        *next = f.n ? f.numbers[f.n - 1] + 1 : 0;
        (void) snprintf(
            text, sizeof text,
            "recovered '%s': %llu messages kept, %llu of them from memory, %llu from "
            "the journal, %llu lost",
            o->dir, (unsigned long long) found.messages_kept, (unsigned long long) found.from_ring,
            (unsigned long long) found.from_journal, (unsigned long long) found.lost_messages);
        e.text = text;
        if (o->event)
            o->event(o->ctx, &e);
    }
    free(f.numbers);
    bp_recovery_done(&found);
    return r;
}

int bp_session_claim(const struct bp_writer_opts *o, struct bp_folder *folder, uint32_t *next,
                     int *ret_lock, struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    int r = make_folder(io, o->dir, err);

    if (r < 0)
        return r;
    r = *ret_lock = bp_session_lock(o->dir, err);
    if (r < 0)
        return r;
    *next = 0;
    r = bp_folder_init(folder, o->dir);
    folder->signer = o->signer;
    if (r == 0)
        r = bp_session_state(io, o->dir, err);
    if (r == BP_SESSION_INTERRUPTED && !bp_session_is_ours(io, o->dir))
        return bp_fail(err, -EEXIST,
                       "'%s' holds an interrupted recording of another program: 'bagpipe recover "
                       "%s' completes it",
                       o->dir, o->dir);
    if (r == BP_SESSION_INTERRUPTED && o->resume)
        return take_up(o, folder, next, err);
    if (r == BP_SESSION_INTERRUPTED)
        return bp_fail(err, -EEXIST, "'%s' holds an interrupted recording: 'bagpipe recover %s'",
                       o->dir, o->dir);
    if (r == BP_SESSION_FINISHED)
        return bp_fail(err, -EEXIST, "'%s' holds a recording already", o->dir);
    return r < 0 ? r : 0;
}
