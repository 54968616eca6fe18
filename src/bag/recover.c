#include "bag/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/complete.h"
#include "bag/recover-priv.h"
#include "bag/sealed.h"
#include "wire/schema.h"

/* What is there to recover, and who does it. */

void bp_recovery_done(struct bp_recovery *r) {
    free(r->report);
    *r = (struct bp_recovery){ 0 };
}

void bp_recover_note(struct bp_recovery *ret, const char *fmt, ...) {
    BP_AUTO_BUF b = { 0 };
    va_list ap;
    char *text;

    if (ret->report)
        bp_buf_put_str(&b, ret->report);
    va_start(ap, fmt);
    bp_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    bp_buf_put_u8(&b, '\n');
    text = bp_buf_take_cstr(&b);
    if (!text)
        return;
    free(ret->report);
    ret->report = text;
}

int bp_recover_sign_with(struct bp_folder *f, const struct bp_recover_opts *o,
                         struct bp_recovery *ret, struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    struct bp_error why = { 0 };
    BP_AUTO_BUF notes = { 0 };
    int r = bp_folder_sign_with(f, io, o->signer, &notes, err);

    /* A sector that cannot be read must not keep the rest from being recovered. */
    if (r == 0 && f->signer && bp_folder_hash(f, io, NULL, NULL, &why) < 0) {
        bp_buf_printf(&notes, "not signed any more: %s\n", why.text);
        f->signer = NULL;
    }
    if (r == 0 && notes.n > 1)
        bp_recover_note(ret, "%.*s", (int) notes.n - 1, bp_buf_cstr(&notes));
    return r;
}

int bp_recover_set_aside(const struct bp_io *io, const char *path, struct bp_error *err) {
    char dir[1024], folder[1100], to[1400];
    const char *name = strrchr(path, '/');
    int r;

    bp_io_dirname(path, dir, sizeof dir);
    (void) snprintf(folder, sizeof folder, "%s/.damaged", dir);
    r = io->mkdir(io->ctx, folder, 0755);
    if (r < 0 && r != -EEXIST)
        return bp_fail(err, r, "cannot make '%s': %s", folder, bp_strerror(r));
    for (unsigned i = 0; i < 1000; i++) {
        (void) snprintf(to, sizeof to, "%s/%s%s%.0u", folder, name ? name + 1 : path, i ? "." : "",
                        i);
        if (access(to, F_OK) == 0)
            continue;
        /* A second name: the first one stays until the new file takes it, so that there is no
         * moment without the file. */
        r = link(path, to) < 0 ? -errno : 0;
        if (r == -EPERM || r == -EOPNOTSUPP)
            r = io->rename(io->ctx, path, to);
        if (r == 0)
            r = io->sync_dir(io->ctx, folder);
        return r < 0 ? bp_fail(err, r, "cannot move '%s' aside: %s", path, bp_strerror(r)) : 0;
    }
    return bp_fail(err, -EEXIST, "'%s' is full of damaged files", folder);
}

static int recover_ours(const char *dir, const struct bp_recover_opts *o, struct bp_recovery *ret,
                        struct bp_error *err) {
    const struct bp_io *io = o->io ? o->io : &bp_io_posix;
    int lock = bp_session_lock(dir, err), r;

    if (lock < 0)
        return lock;
    r = bp_session_state(io, dir, err);
    if (r == BP_SESSION_INTERRUPTED)
        r = bp_recover_session(dir, o, ret, err);
    else if (r >= 0)
        r = bp_recover_files(dir, o, ret, err); /* finished, but perhaps damaged since */
    if (r >= 0 && o->definitions && !o->dry_run)
        r = bp_complete_definitions(dir, o, ret, err);
    ret->needed |= r > 0;
    (void) close(lock);
    return r;
}

int bp_recover(const char *path, const struct bp_recover_opts *o, struct bp_recovery *ret,
               struct bp_error *err) {
    struct bp_recover_opts mine = *o;
    struct bp_recovery found = { 0 };
    BP_CLEANUP(bp_keyring_freep) struct bp_keyring *keys = NULL;
    struct bp_sealed_io sealing;
    struct stat st;
    int r;

    if (!o->io || !bp_io_keys(o->io)) {
        keys = bp_keyring_copy(o->keys ? o->keys : bp_keyring_process());
        if (!keys)
            return bp_fail(err, -ENOMEM, "out of memory");
        bp_sealed_io_init(&sealing, o->io ? o->io : &bp_io_posix, keys);
        mine.io = &sealing.io;
        o = &mine;
    }
    if (stat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));
    r = o->definitions ? bp_typedb_add_dir(o->definitions, err) : 0;
    if (r < 0)
        return r;
    if (!S_ISDIR(st.st_mode))
        r = bp_recover_file(path, o, &found, err);
    else if (bp_session_is_ours(o->io ? o->io : &bp_io_posix, path))
        r = recover_ours(path, o, &found, err);
    else
        r = bp_recover_files(path, o, &found, err);
    if (r < 0) {
        bp_recovery_done(&found);
        return r;
    }
    *ret = found;
    return 0;
}

static int add_path(char ***v, size_t *n, const char *path) {
    char **more = realloc(*v, (*n + 1) * sizeof(char *));
    char *copy = strdup(path);

    if (more)
        *v = more;
    if (!more || !copy) {
        free(copy);
        return -ENOMEM;
    }
    more[(*n)++] = copy;
    return 0;
}

/* Only what is certain and cheap: names and file ends. */
static bool is_interrupted(const char *dir) {
    return bp_session_state(&bp_io_posix, dir, NULL) == BP_SESSION_INTERRUPTED &&
           bp_session_is_ours(&bp_io_posix, dir);
}

int bp_recover_find(const char *dir, char ***ret, size_t *ret_n) {
    char **v = NULL;
    size_t n = 0;
    struct dirent *e;
    DIR *d;
    int r = 0;

    if (is_interrupted(dir))
        r = add_path(&v, &n, dir);
    d = opendir(dir);
    while (d && r == 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char path[4400];
        struct stat st;

        (void) snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
            is_interrupted(path))
            r = add_path(&v, &n, path);
    }
    if (d)
        (void) closedir(d);
    if (r < 0) {
        for (size_t i = 0; i < n; i++)
            free(v[i]);
        free(v);
        return r;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}
