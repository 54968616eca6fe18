#include "daemon/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"

/* An absolute path from the environment, or NULL. */
static const char *absolute_env(const char *name) {
    const char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody calls setenv() */

    return v && *v == '/' ? v : NULL;
}

static int too_long(const char *what, struct bp_error *err) {
    return bp_fail(err, -ENAMETOOLONG, "%s: the path is too long", what);
}

/* ---- folders ---- */

/* Made, or there already. */
static int make_dir(const char *path, mode_t mode, struct bp_error *err) {
    struct stat st;
    int r = mkdir(path, mode) < 0 ? -errno : 0;

    if (r < 0 && stat(path, &st) < 0)
        return bp_fail(err, r, "cannot make folder '%s': %s", path, bp_strerror(r));
    if (r < 0 && !S_ISDIR(st.st_mode))
        return bp_fail(err, -ENOTDIR, "'%s' is no folder", path);
    return 0;
}

/* `mode` is that of the last one; parents that are missing are ours alone. */
static int make_dirs(const char *path, mode_t mode, struct bp_error *err) {
    BP_AUTO_FREE char *copy = strdup(path);
    int r = 0;

    if (!copy)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (char *slash = strchr(copy + 1, '/'); r >= 0 && slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        r = make_dir(copy, 0700, err);
        *slash = '/';
    }
    if (r >= 0)
        r = make_dir(path, mode, err);
    if (r >= 0 && faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0)
        return bp_fail(err, -errno, "cannot write to '%s': %s", path, bp_strerror(-errno));
    return r;
}

/* "~/x" below the home; anything else as it is. */
static int expand(const char *key, const char *text, char *ret, size_t cap, struct bp_error *err) {
    const char *home = absolute_env("HOME");
    bool below = bp_starts_with(text, "~/");

    if (below && !home)
        return bp_fail(err, BP_ECONFIG, "%s: '%s', but $HOME is not set", key, text);
    if (snprintf(ret, cap, "%s%s", below ? home : "", below ? text + 1 : text) >= (int) cap)
        return too_long(key, err);
    return 0;
}

static int name_data_dir(const struct bp_places *p, char *ret, size_t cap, struct bp_error *err) {
    const char *state = absolute_env("STATE_DIRECTORY"), *data = absolute_env("XDG_DATA_HOME");
    const char *home = absolute_env("HOME");
    int n;

    if (p->dir && *p->dir)
        return expand(p->dir_key, p->dir, ret, cap, err);

    if (state) /* systemd gives several, parted by colons */
        n = snprintf(ret, cap, "%.*s", (int) strcspn(state, ":"), state);
    else if (data)
        n = snprintf(ret, cap, "%s/%s", data, p->name);
    else if (home)
        n = snprintf(ret, cap, "%s/.local/share/%s", home, p->name);
    else
        return bp_fail(err, BP_ECONFIG, "%s is not set, and neither are $STATE_DIRECTORY and $HOME",
                       p->dir_key);
    return n >= (int) cap ? too_long(p->dir_key, err) : 0;
}

int bp_places_data(const struct bp_places *p, char *ret, size_t cap, struct bp_error *err) {
    int r = name_data_dir(p, ret, cap, err);

    return r < 0 ? r : make_dirs(ret, 0700, err);
}

/* ---- the socket ---- */

enum place { CONFIGURED, RUN, XDG, DATA, PLACES_N };

/* @return 0, or -ENOENT when there is no such place */
static int name_socket(const struct bp_places *p, enum place where, char *ret, size_t cap,
                       struct bp_error *err) {
    const char *xdg = absolute_env("XDG_RUNTIME_DIR");
    size_t n;
    int r;

    switch (where) {
    case CONFIGURED:
        if (!p->socket || !*p->socket)
            return -ENOENT;
        return expand(p->socket_key, p->socket, ret, cap, err);
    case RUN:
        return snprintf(ret, cap, "%s/%s", p->run, p->socket_name) >= (int) cap ? -ENOENT : 0;
    case XDG:
        if (!xdg)
            return -ENOENT;
        return snprintf(ret, cap, "%s/bagpipe/%s", xdg, p->socket_name) >= (int) cap ? -ENOENT : 0;
    default:
        r = name_data_dir(p, ret, cap, err);
        if (r < 0)
            return r;
        n = strlen(ret);
        return snprintf(ret + n, cap - n, "/%s", p->socket_name) >= (int) (cap - n)
                   ? too_long(p->socket_key, err)
                   : 0;
    }
}

/* The folder of a socket; "" when it is the working folder. */
static int make_folder_of(const char *path, mode_t mode, struct bp_error *err) {
    const char *slash = strrchr(path, '/');
    BP_AUTO_FREE char *dir = slash && slash > path ? strndup(path, (size_t) (slash - path)) : NULL;

    return dir ? make_dirs(dir, mode, err) : 0;
}

static int check_length(const struct bp_places *p, const char *path, struct bp_error *err) {
    size_t max = sizeof((struct sockaddr_un *) NULL)->sun_path - 1;

    if (strlen(path) > max)
        return bp_fail(err, BP_ECONFIG, "%s: '%s' is longer than %zu bytes", p->socket_key, path,
                       max);
    return 0;
}

int bp_places_socket(const struct bp_places *p, char *ret, size_t cap, struct bp_error *err) {
    for (int i = CONFIGURED; i < PLACES_N; i++) {
        bool must = i == CONFIGURED || i == DATA;
        int r = name_socket(p, (enum place) i, ret, cap, err);

        if (r == -ENOENT)
            continue;
        if (r >= 0) /* others talk to the one of the system */
            r = make_folder_of(ret, i == RUN ? 0755 : 0700, must ? err : NULL);
        if (r >= 0)
            return check_length(p, ret, err);
        if (must)
            return r;
    }
    return bp_fail(err, -ENOENT, "%s: there is no place for it", p->socket_key);
}

int bp_places_find(const struct bp_places *p, char *ret, size_t cap, struct bp_error *err) {
    for (int i = CONFIGURED; i < PLACES_N; i++) {
        struct stat st;
        int r = name_socket(p, (enum place) i, ret, cap, NULL);

        if (r >= 0 && i == CONFIGURED)
            return 0; /* connecting tells best what is wrong with it */
        if (r >= 0 && stat(ret, &st) == 0 && S_ISSOCK(st.st_mode))
            return 0;
    }
    return bp_fail(err, -ENOENT,
                   "no %s is running here: there is no socket in %s, below $XDG_RUNTIME_DIR or in "
                   "the data folder",
                   p->who, p->run);
}
