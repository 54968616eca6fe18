#include "bag/paths.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bag/metadata.h"
#include "bag/remote.h"

void bp_paths_done(struct bp_paths *p) {
    for (size_t i = 0; i < p->n; i++)
        free(p->files[i]);
    for (size_t i = 0; i < p->nfolders; i++)
        free(p->folders[i]);
    free(p->files);
    free(p->folder);
    free(p->folders);
    *p = (struct bp_paths){ 0 };
}

int bp_natural_cmp(const char *a, const char *b) {
    while (*a && *b) {
        if (isdigit((unsigned char) *a) && isdigit((unsigned char) *b)) {
            size_t za = strspn(a, "0"), zb = strspn(b, "0");
            size_t na = strspn(a + za, "0123456789"), nb = strspn(b + zb, "0123456789");
            int c = na != nb ? (na < nb ? -1 : 1) : memcmp(a + za, b + zb, na);

            if (c)
                return c;
            a += za + na;
            b += zb + nb;
            continue;
        }
        if (*a != *b)
            return (unsigned char) *a < (unsigned char) *b ? -1 : 1;
        a++;
        b++;
    }
    return *a ? 1 : *b ? -1 : 0;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);

    return n > k && memcmp(s + n - k, end, k) == 0;
}

bool bp_is_recording_name(const char *name) {
    static const char *const ends[] = { ".mcap", ".db3", ".mcap.zstd", ".db3.zstd",
                                        ".mcap.sealed" };

    for (size_t i = 0; i < BP_COUNT(ends); i++)
        if (name[0] != '.' && ends_with(name, ends[i]))
            return true;

    return false;
}

static int add_file(struct bp_paths *p, const char *dir, const char *name, size_t folder) {
    char **files = realloc(p->files, (p->n + 1) * sizeof *files);
    size_t *folders;
    char *path;

    if (!files)
        return -ENOMEM;
    p->files = files;
    folders = realloc(p->folder, (p->n + 1) * sizeof *folders);
    if (!folders)
        return -ENOMEM;
    p->folder = folders;

    if (!dir)
        path = strdup(name);
    else if (asprintf(&path, "%s/%s", dir, name) < 0)
        path = NULL;
    if (!path)
        return -ENOMEM;
    for (size_t i = 0; i < p->n; i++)
        if (bp_streq(p->files[i], path)) { /* named twice */
            free(path);
            return 0;
        }
    p->files[p->n] = path;
    p->folder[p->n++] = folder;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return bp_natural_cmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *d) {
    return d->d_name[0] != '.';
}

/* Files of the folder itself, after those that metadata.yaml names. */
static int add_session(struct bp_paths *p, const char *dir, struct dirent *const *v, int n,
                       struct bp_error *err) {
    BP_AUTO_METADATA meta = { 0 };
    char **folders = realloc(p->folders, (p->nfolders + 1) * sizeof *folders);
    char path[4096];
    size_t folder;
    int r;

    if (!folders)
        return -ENOMEM;
    p->folders = folders;
    p->folders[p->nfolders] = strdup(dir);
    if (!p->folders[p->nfolders])
        return -ENOMEM;
    folder = p->nfolders++;

    r = bp_metadata_read(&bp_io_posix, dir, &meta, err);
    if (r == -ENOMEM)
        return r;
    for (size_t i = 0; r >= 0 && i < meta.npaths; i++) {
        struct stat st;
        const char *name = meta.paths[i], *base = strrchr(name, '/');

        /* Foxy wrote paths relative to the folder's parent; a rosbag2 that compressed files may
         * have left the plain name in the list */
        if (snprintf(path, sizeof path, "%s/%s", dir, name) < (int) sizeof path &&
            stat(path, &st) == 0)
            r = add_file(p, dir, name, folder);
        else if (base)
            r = add_file(p, dir, base + 1, folder);
    }
    r = 0;
    for (int i = 0; r >= 0 && i < n; i++)
        if (bp_is_recording_name(v[i]->d_name))
            r = add_file(p, dir, v[i]->d_name, folder);
    return r;
}

static int add_folder(struct bp_paths *p, const char *dir, int depth, struct bp_error *err) {
    struct dirent **v = NULL;
    bool session = false;
    size_t before = p->n;
    int n = scandir(dir, &v, visible, by_name), r = 0;

    if (n < 0)
        return bp_fail(err, -errno, "cannot list '%s': %s", dir, bp_strerror(-errno));

    for (int i = 0; i < n; i++)
        session |= bp_is_recording_name(v[i]->d_name) || bp_streq(v[i]->d_name, BP_METADATA_FILE);
    if (session)
        r = add_session(p, dir, v, n, err);
    for (int i = 0; !session && depth < 2 && r >= 0 && i < n; i++) {
        BP_AUTO_FREE char *below = NULL;
        struct stat st;

        if (asprintf(&below, "%s/%s", dir, v[i]->d_name) < 0) {
            below = NULL;
            r = -ENOMEM;
        } else if (stat(below, &st) == 0 && S_ISDIR(st.st_mode)) {
            r = add_folder(p, below, depth + 1, err);
        }
    }
    for (int i = 0; i < n; i++)
        free(v[i]);
    free(v);
    if (r >= 0 && depth == 0 && p->n == before && !session)
        return bp_fail(err, BP_EFORMAT, "no recording in '%s'", dir);
    return r;
}

static int add_remote(void *ctx, const char *file) {
    return add_file(ctx, NULL, file, SIZE_MAX);
}

int bp_paths_add(struct bp_paths *p, const char *path, struct bp_error *err) {
    BP_AUTO_FREE char *dir = strdup(path);
    struct stat st;
    size_t n;
    int r;

    if (!dir)
        return bp_fail(err, -ENOMEM, "no memory");
    if (bp_remote_for(path))
        return bp_remote_for(path)->list(path, add_remote, p, err);
    if (stat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));

    if (!S_ISDIR(st.st_mode)) {
        r = add_file(p, NULL, path, SIZE_MAX);
        return r < 0 ? bp_fail(err, r, "no memory") : 0;
    }
    for (n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
        dir[n - 1] = 0;
    return add_folder(p, dir, 0, err);
}
