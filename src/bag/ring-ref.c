#include "bag/ring-ref.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/defs.h"
#include "base/crc.h"

enum { LIMIT = 4096, MOST_LEFT = 100 };

int bp_ring_ref_choose(const char *ring_dir, const char *dir, char *ret, char *ret_left,
                       size_t cap) {
    char full[4096];
    uint32_t a, b;

    if (!realpath(dir, full))
        (void) snprintf(full, sizeof full, "%s", dir);
    a = bp_crc32c(0, full, strlen(full));
    b = bp_crc32(a, full, strlen(full));
    for (unsigned i = 0; i < MOST_LEFT; i++) {
        char number[16] = "";

        if (i > 0)
            (void) snprintf(number, sizeof number, "-%u", i + 1);
        (void) snprintf(ret, cap, "%s/bagpipe-%u-%08x%08x%s.ring", ring_dir ? ring_dir : "/dev/shm",
                        (unsigned) geteuid(), a, b, number);
        if (access(ret, F_OK) < 0)
            return i > 0;
        (void) snprintf(ret_left, cap, "%s", ret);
    }
    return -EEXIST;
}

static void path_of(const char *dir, char *ret, size_t cap) {
    (void) snprintf(ret, cap, "%s/ring", dir);
}

int bp_ring_ref_write(const struct bp_io *io, const char *dir, const char *path,
                      const uint8_t run[16], struct bp_error *err) {
    const char *slash = strrchr(path, '/');
    char file[4400], text[400], hex[33];
    struct stat st;
    int fd, n, r;

    path_of(dir, file, sizeof file);
    if (stat(dir, &st) < 0)
        return bp_fail(err, -errno, "cannot look at folder '%s': %s", dir, bp_strerror(-errno));
    n = snprintf(text, sizeof text, "%s %s %" PRIuMAX ":%" PRIuMAX "\n", slash ? slash + 1 : path,
                 bp_hex16(run, hex), (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
    fd = io->open(io->ctx, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return bp_fail(err, fd, "cannot make '%s': %s", file, bp_strerror(fd));
    r = io->pwrite(io->ctx, fd, text, (size_t) n, 0);
    (void) io->close(io->ctx, fd);
    return r < 0 ? bp_fail(err, r, "cannot write '%s': %s", file, bp_strerror(r)) : 0;
}

/* A folder may come from somebody else: nothing but a ring in the ring's folder may be named. */
static bool is_ring_name(const char *name) {
    size_t n = strlen(name);

    return strncmp(name, "bagpipe-", 8) == 0 && n > 13 && strcmp(name + n - 5, ".ring") == 0 &&
           !strchr(name, '/');
}

static bool parse_run(const char *hex, uint8_t run[16]) {
    if (strspn(hex, "0123456789abcdef") != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const char byte[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        run[i] = (uint8_t) strtoul(byte, NULL, 16);
    }
    return hex[32] == ' ';
}

/* "NAME RUN DEV:INO\n" */
static bool parse(const char *text, char name[static 256], uint8_t run[16], uintmax_t *dev,
                  uintmax_t *ino) {
    size_t n = strcspn(text, " ");
    const char *run_at = text + n + 1;
    char *end;

    if (n >= 256 || text[n] != ' ' || !parse_run(run_at, run))
        return false;
    memcpy(name, text, n);
    name[n] = 0;
    errno = 0;
    *dev = strtoumax(run_at + 33, &end, 10);
    if (errno || end == run_at + 33 || *end != ':')
        return false;
    text = end + 1;
    *ino = strtoumax(text, &end, 10);
    return !errno && end != text && *end == '\n' && is_ring_name(name);
}

int bp_ring_ref_read(const struct bp_io *io, const char *dir, const char *ring_dir,
                     struct bp_ring_ref *ret) {
    BP_AUTO_FREE char *text = NULL;
    char file[4400], name[256];
    struct bp_ring_ref f = { 0 };
    uintmax_t dev, ino;
    struct stat st;
    size_t n;
    int r;

    path_of(dir, file, sizeof file);
    r = bp_io_read_file(io, file, LIMIT, &text, &n, NULL);
    if (r < 0)
        return r;
    if (!parse(text, name, f.run, &dev, &ino))
        return BP_EFORMAT;
    if (stat(dir, &st) < 0)
        return -errno;
    f.copied = dev != (uintmax_t) st.st_dev || ino != (uintmax_t) st.st_ino;
    (void) snprintf(f.path, sizeof f.path, "%s/%s", ring_dir && ring_dir[0] ? ring_dir : "/dev/shm",
                    name);
    *ret = f;
    return 0;
}

void bp_ring_ref_remove(const struct bp_io *io, const char *dir) {
    char file[4400];

    path_of(dir, file, sizeof file);
    (void) io->unlink(io->ctx, file);
}
