/* Our side of `./run bench mcap`: the file writer and the reader of src/bag.
 *     mcap-ours write PAYLOAD OUT CODEC TOTAL_MB THREADS [fast]      OUT "-" = thrown away
 *     mcap-ours read FILE [FROM_NS TO_NS]
 * The payload file is a run of (u32 size, bytes). Prints JSON as mcap-rust does. */
#include <inttypes.h>
#include <stdio.h>

#include "bag/filewriter.h"
#include "bag/reader.h"
#include "base/cursor.h"
#include "base/time.h"

enum { CHANNELS = 10 };

static int fail(const struct bp_error *e) {
    (void) fprintf(stderr, "%s\n", e->text);
    return 1;
}

static int write_file(char **a, int argc) {
    bool memory = strcmp(a[1], "-") == 0;
    unsigned threads = (unsigned) strtoul(a[4], NULL, 10);
    struct bp_filewriter_opts o = {
        .codec = (enum bp_codec) bp_codec_from_name(strcmp(a[2], "none") == 0 ? "" : a[2],
                                                    strcmp(a[2], "none") == 0 ? 0 : strlen(a[2])),
        .workers = threads > 1 ? threads : 0,
        .fast = argc > 5,
        .sync = !memory,
        .memory = memory,
    };
    uint64_t total = strtoull(a[3], NULL, 10) << 20, bytes = 0, n = 0, out = 0;
    struct bp_filewriter *w = NULL;
    struct bp_error err = { 0 };
    uint16_t ch[CHANNELS];
    struct bp_cur c;
    char *data = NULL;
    bp_ns_t t, cpu;
    size_t size;
    int s;

    if (bp_io_read_file(&bp_io_posix, a[0], (size_t) 1 << 31, &data, &size, &err) < 0)
        return fail(&err);
    t = bp_mono_ns();
    cpu = bp_cpu_ns();
    if (bp_filewriter_open(a[1], &o, &w, &err) < 0)
        return fail(&err);
    s = bp_filewriter_schema(w, "std_msgs/msg/ByteMultiArray", "ros2msg", BP_STR("byte[] data\n"));
    for (int i = 0; i < CHANNELS; i++) {
        char topic[16];

        (void) snprintf(topic, sizeof topic, "/topic%d", i);
        ch[i] = (uint16_t) bp_filewriter_channel(w, (uint16_t) s, topic, "cdr", NULL);
    }
    c = bp_cur_of(data, size);
    while (bytes < total) {
        struct bp_str m;

        if (bp_cur_left(&c) < 4)
            c = bp_cur_of(data, size);
        m = bp_rd_str32(&c);
        if (bp_filewriter_append(w, ch[n % CHANNELS], (uint32_t) n, BP_SEC + n * 1000,
                                 BP_SEC + n * 1000, m.p, m.n) < 0)
            return 1;
        n++;
        bytes += m.n;
    }
    if (bp_filewriter_close(w, &out, &err) < 0)
        return fail(&err);
    (void) printf("{\"messages\":%" PRIu64 ",\"out\":%" PRIu64 ",\"seconds\":%.6f,\"cpu\":%.6f}\n",
                  n, out, (double) (bp_mono_ns() - t) / 1e9, (double) (bp_cpu_ns() - cpu) / 1e9);
    free(data);
    return 0;
}

static int read_file(char **a, int argc) {
    struct bp_bag_filter f = { .file_order = argc < 2 };
    bp_ns_t t = bp_mono_ns(), cpu = bp_cpu_ns();
    uint64_t n = 0, bytes = 0, sum = 0;
    struct bp_bag_iter *it = NULL;
    struct bp_error err = { 0 };
    struct bp_bag *b = NULL;
    struct bp_bag_msg m;
    int r;

    if (argc > 2) {
        f.from_ns = strtoll(a[1], NULL, 10);
        f.to_ns = strtoll(a[2], NULL, 10);
    }
    if (bp_bag_open((const char *const *) a, 1, &b, &err) < 0 ||
        bp_bag_iterate(b, &f, &it, &err) < 0)
        return fail(&err);
    while ((r = bp_bag_next(it, &m, &err)) > 0) {
        n++;
        bytes += m.size;
        sum += (uint64_t) m.log_ns;
    }
    if (r < 0)
        return fail(&err);
    (void) printf("{\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"sum\":%" PRIu64
                  ",\"seconds\":%.6f,\"cpu\":%.6f}\n",
                  n, bytes, sum, (double) (bp_mono_ns() - t) / 1e9,
                  (double) (bp_cpu_ns() - cpu) / 1e9);
    bp_bag_iter_free(it);
    bp_bag_close(b);
    return 0;
}

int main(int argc, char *argv[]) {
    if (argc >= 7 && strcmp(argv[1], "write") == 0)
        return write_file(argv + 2, argc - 2);
    if (argc >= 3 && strcmp(argv[1], "read") == 0)
        return read_file(argv + 2, argc - 2);

    (void) fprintf(stderr,
                   "mcap-ours write PAYLOAD OUT CODEC MB THREADS [fast] | read FILE [FROM TO]\n");
    return 2;
}
