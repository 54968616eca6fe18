/* slice-probe FORMAT[+prior] FROM_NS TO_NS TOPICS FILE…: a slice of MCAP files to stdout, what it
 * cost to stderr. TOPICS: separated by commas, "" = all. Reads are counted here, not by what is
 * tested. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/slice.h"
#include "base/macro.h"

enum { TOPICS = 64 };

static uint64_t read_bytes, reads;

static ssize_t read_file(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err) {
    ssize_t r = pread(*(int *) ctx, p, n, (off_t) off);

    (void) err;
    if (r > 0) {
        __atomic_fetch_add(&read_bytes, (uint64_t) r, __ATOMIC_RELAXED);
        __atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
    }
    return r < 0 ? -errno : r;
}

static int fd = -1;

static int open_file(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err) {
    char **files = ctx;
    struct stat st;

    fd = open(files[i], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s'", files[i]);
    *ret = (struct bp_reads){ .size = (uint64_t) st.st_size, .read = read_file, .ctx = &fd };
    return 0;
}

static void close_file(void *ctx, struct bp_reads *r) {
    (void) ctx, (void) r;
    (void) close(fd);
}

static int write_out(void *ctx, const void *p, size_t n) {
    (void) ctx;
    return fwrite(p, 1, n, stdout) == n ? 0 : -EIO;
}

int main(int argc, char **argv) {
    BP_AUTO_FREE struct bp_slice_segment *segments = calloc((size_t) argc, sizeof *segments);
    const char *topics[TOPICS + 1] = { NULL };
    struct bp_slice_stats stats = { 0 };
    struct bp_error err = { 0 };
    char *save = NULL;
    int n = 0, r;
    bool prior = argc > 1 && strstr(argv[1], "+prior");

    if (prior)
        *strchr(argv[1], '+') = '\0';
    if (argc < 6 || !segments || bp_slice_format_from_name(argv[1]) < 0)
        return 2;
    for (char *t = strtok_r(argv[4], ",", &save); t && n < TOPICS; t = strtok_r(NULL, ",", &save))
        topics[n++] = t;
    for (int i = 5; i < argc; i++)
        segments[i - 5].name = argv[i];
    r = bp_slice_run(
        &(struct bp_slice){ .segments = segments,
                            .nsegments = (size_t) argc - 5,
                            .open = open_file,
                            .close = close_file,
                            .ctx = argv + 5,
                            .topics = n ? topics : NULL,
                            .from_ns = strtoll(argv[2], NULL, 10),
                            .prior = prior,
                            .to_ns = strtoll(argv[3], NULL, 10),
                            .format = (enum bp_slice_format) bp_slice_format_from_name(argv[1]) },
        write_out, NULL, &stats, &err);
    (void) fprintf(stderr,
                   "{\"messages\": %llu, \"bytes\": %llu, \"read\": %llu, \"reads\": %llu, "
                   "\"passed\": %llu, \"cut\": %llu, \"skipped\": %llu, \"segments\": %llu, "
                   "\"code\": %d}\n%s\n",
                   (unsigned long long) stats.messages, (unsigned long long) stats.bytes,
                   (unsigned long long) read_bytes, (unsigned long long) reads,
                   (unsigned long long) stats.passed, (unsigned long long) stats.cut,
                   (unsigned long long) stats.skipped, (unsigned long long) stats.segments, r,
                   err.text);
    return r < 0 || fflush(stdout) != 0;
}
