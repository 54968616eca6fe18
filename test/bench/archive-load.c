/* archive-load DB SESSIONS SEGMENTS: fills an archive as a fleet would, then times lists and
 * searches; tells the times as JSON. With 0 sessions what is there is searched. Sessions go in by
 * the same SQL as everywhere, many to a transaction; segments by one statement a session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "base/ulid.h"
#include "catalog/archive.h"

enum { ROBOTS = 40, TOPICS = 60, ROUNDS = 30 };

static uint32_t seed = 4711;

static uint32_t dice(uint32_t sides) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % sides;
}

static int failed(const struct bp_error *err) {
    (void) fprintf(stderr, "%s\n", err->text);
    return 1;
}

struct fill {
    uint32_t from, to, segments;
};

static void make_id(uint32_t i, char id[static 27]) {
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = 1767225600000ull + (uint64_t) i * 300000; /* one every five minutes, from 2026 */

    for (int k = 9; k >= 0; k--, ms >>= 5)
        id[k] = digits[ms & 31];
    for (int k = 10; k < 26; k++)
        id[k] = digits[dice(32)];
    id[26] = '\0';
}

/* What a robot has: most of them the same topics, each some of its own. */
static size_t make_topics(uint32_t robot, struct bp_archive_topic *t, char names[][48],
                          const char *robot_name) {
    size_t n = 0;

    for (uint32_t i = 0; i < TOPICS; i++) {
        if (i > 50 && i % 7 != robot % 7)
            continue;
        (void) snprintf(names[n], 48, i < 5 ? "/common_%u" : "/robot%u/sensor_%u/data",
                        i < 5 ? i : robot, i);
        t[n] = (struct bp_archive_topic){ .topic = names[n],
                                          .type = i % 3 ? "sensor_msgs/msg/Imu"
                                                        : "sensor_msgs/msg/PointCloud2",
                                          .robot = robot_name,
                                          .messages = 1000 + dice(100000),
                                          .lost = dice(40) ? 0 : dice(500) };
        n++;
    }
    return n;
}

static int put_one(struct bp_archive *a, uint32_t i, uint32_t segments, struct bp_error *err) {
    static const char *const missions[] = { "north hall", "south hall", "yard at night",
                                            "calibration", "demo for visitors" };
    static struct bp_archive_topic topics[TOPICS];
    static char names[TOPICS][48], files[4096][24];
    static struct bp_archive_file f[4096];
    uint32_t robot = dice(ROBOTS);
    char id[27], name[64], robot_name[16], robots[24], notes[80], tags[48];
    bp_ns_t started = (1767225600000 + (bp_ns_t) i * 300000) * BP_MS;
    struct bp_archive_about s = { .id = id,
                                  .name = name,
                                  .device = robot_name,
                                  .notes = notes,
                                  .mission = missions[dice(5)],
                                  .tags = tags,
                                  .robots = robots,
                                  .started_ns = started };
    struct bp_archive_manifest m = {
        .id = id, .segments = f, .nsegments = segments, .topics = topics
    };
    int r;

    make_id(i, id);
    (void) snprintf(robot_name, sizeof robot_name, "robot%u", robot);
    (void) snprintf(robots, sizeof robots, "[\"robot%u\"]", robot);
    (void) snprintf(name, sizeof name, "robot%u_run_%06u", robot, i);
    (void) snprintf(notes, sizeof notes, "shift %u aisle %u%s", dice(3), dice(200),
                    dice(1000) ? "" : " collision with the shelf");
    (void) snprintf(tags, sizeof tags, dice(3) ? "[]" : dice(50) ? "[\"lab\"]" : "[\"incident\"]");
    m.ntopics = make_topics(robot, topics, names, robot_name);
    for (uint32_t k = 0; k < segments; k++) {
        (void) snprintf(files[k], sizeof files[k], "s_%u.mcap", k);
        f[k] = (struct bp_archive_file){ .file = files[k],
                                         .bytes = 1000000 + dice(100000000),
                                         .messages = dice(100000),
                                         .first_ns = started + k * BP_SEC,
                                         .last_ns = started + (k + 1 + dice(60)) * BP_SEC };
        for (size_t b = 0; b < 32; b += 4) {
            uint32_t v = dice(1 << 24);

            memcpy(f[k].sha256 + b, &v, 4);
        }
    }
    r = bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, started + BP_SEC, NULL, NULL, err);
    return r < 0 ? r : bp_archive_put_manifest(a, id, &m, started + BP_SEC, NULL, err);
}

/* Reindexing is the one transaction around many calls that there is. */
static int put_some(void *ctx, struct bp_archive *a, struct bp_error *err) {
    const struct fill *f = ctx;
    int r = 0;

    for (uint32_t i = f->from; r >= 0 && i < f->to; i++)
        r = put_one(a, i, f->segments, err);
    return r;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

static int take(void *ctx, const struct bp_archive_session *s) {
    (void) s;
    (*(uint32_t *) ctx)++;
    return 0;
}

static const struct {
    const char *q;
    enum bp_archive_sort sort;
    bool ascending;
    const char *devices; /* of who may see some only */
} searches[] = {
    { "", BP_ARCHIVE_BY_ID, false, "" },
    { "", BP_ARCHIVE_BY_BYTES, false, "" },
    { "", BP_ARCHIVE_BY_NAME, true, "" },
    { "", BP_ARCHIVE_BY_LOST, true, "" },
    { "robot:robot7", BP_ARCHIVE_BY_ID, false, "" },
    { "robot:robot7 topic:/common_3", BP_ARCHIVE_BY_ID, false, "" },
    { "robot:robot7 topic:/robot8", BP_ARCHIVE_BY_ID, false, "" },
    { "topic:/common_1 lost:>0", BP_ARCHIVE_BY_STARTED, false, "" },
    { "topic:sensor_55", BP_ARCHIVE_BY_BYTES, false, "" },
    { "tag:incident", BP_ARCHIVE_BY_ID, false, "" },
    { "tag:lab -robot:robot7 mission:north", BP_ARCHIVE_BY_ID, false, "" },
    { "collision shelf", BP_ARCHIVE_BY_ID, false, "" },
    { "hall", BP_ARCHIVE_BY_ID, false, "" },
    { "hall", BP_ARCHIVE_BY_BYTES, false, "" },
    { "hall robot:robot7", BP_ARCHIVE_BY_ID, false, "" },
    { "aisle shift collision", BP_ARCHIVE_BY_NAME, true, "" },
    { "date:2026-03", BP_ARCHIVE_BY_ID, false, "" },
    { "date:2026-03-05 robot:robot7", BP_ARCHIVE_BY_ID, false, "" },
    { "size:>1GiB duration:>1min", BP_ARCHIVE_BY_ID, false, "" },
    { "state:receiving type:*PointCloud2", BP_ARCHIVE_BY_ID, false, "" },
    { "state:complete", BP_ARCHIVE_BY_ID, false, "" },
    { "-topic:/common_1", BP_ARCHIVE_BY_ID, false, "" },
    { "-hall -yard", BP_ARCHIVE_BY_BYTES, false, "" },
    /* none of it is rare, all of it together is */
    { "date:2026-03 robot:robot7 mission:calibration", BP_ARCHIVE_BY_BYTES, false, "" },
    { "tag:lab robot:robot7 mission:calibration", BP_ARCHIVE_BY_LOST, false, "" },
    { "topic:/common_1 date:2026-01 lost:>700", BP_ARCHIVE_BY_ID, false, "" },
    { "", BP_ARCHIVE_BY_ID, false, "robot7" },
    { "", BP_ARCHIVE_BY_ID, false, "robot1*" },
    { "", BP_ARCHIVE_BY_BYTES, false, "robot1* robot2*" },
    { "", BP_ARCHIVE_BY_NAME, true, "*" },
    { "hall", BP_ARCHIVE_BY_ID, false, "robot7 robot8" },
    { "date:2026-03", BP_ARCHIVE_BY_ID, false, "robot1*" },
    { "-topic:/common_1", BP_ARCHIVE_BY_ID, false, "group:nobody" },
};
enum { SEARCHES = sizeof searches / sizeof *searches };

/* First page, then a page from its middle on. */
static int time_search(struct bp_archive *a, size_t i, double *ret_ms, double *ret_cpu_ms,
                       struct bp_error *err) {
    static char cursors[SEARCHES][BP_ARCHIVE_CURSOR];
    struct bp_archive_search s = { .q = searches[i].q,
                                   .sort = searches[i].sort,
                                   .ascending = searches[i].ascending,
                                   .devices = searches[i].devices,
                                   .cursor = cursors[i] };
    struct bp_archive_page page;
    uint32_t n = 0;
    bp_ns_t t = bp_mono_ns(), cpu = bp_cpu_ns();
    int r = bp_archive_search(a, &s, take, &n, &page, err);

    *ret_ms = (double) (bp_mono_ns() - t) / 1e6;
    *ret_cpu_ms = (double) (bp_cpu_ns() - cpu) / 1e6;
    memcpy(cursors[i], page.next, sizeof page.next);
    return r;
}

/* @return 0, or negative */
static int fill(const char *path, struct fill *f, struct bp_error *err) {
    struct bp_archive *a = NULL;
    bp_ns_t t = bp_mono_ns();
    int r = bp_archive_open(path, &a, NULL, err);

    if (r == 0)
        r = bp_archive_reindex(a, put_some, f, err);
    bp_archive_close(a);
    if (r == 0)
        (void) printf("\"fill_s\": %.1f, ", (double) (bp_mono_ns() - t) / 1e9);
    return r;
}

/* Each search in turn, so often. @param all, cpu  room for the times of all; those of the processor
 * are true on a machine that others use, too */
static int time_all(struct bp_archive *a, double *all, double *cpu, struct bp_error *err) {
    static double one[ROUNDS];
    int r = 0;

    for (size_t i = 0; r == 0 && i < SEARCHES; i++) {
        for (size_t k = 0; r == 0 && k < ROUNDS; k++)
            r = time_search(a, i, &one[k], &cpu[i * ROUNDS + k], err);
        memcpy(all + i * ROUNDS, one, sizeof one);
        qsort(one, ROUNDS, sizeof *one, by_value);
        (void) printf("%s{\"q\": \"%s\", \"devices\": \"%s\", \"sort\": \"%s%s\", "
                      "\"p50_ms\": %.2f, \"max_ms\": %.2f}",
                      i ? ", " : "", searches[i].q, searches[i].devices,
                      searches[i].ascending ? "" : "-", bp_archive_sort_name(searches[i].sort),
                      one[ROUNDS / 2], one[ROUNDS - 1]);
    }
    return r;
}

int main(int argc, char **argv) {
    static double all[SEARCHES * ROUNDS], cpu[SEARCHES * ROUNDS];
    const size_t n = SEARCHES * ROUNDS;
    struct bp_archive *a = NULL;
    struct bp_error err = { 0 };
    struct fill f = { .to = argc == 4 ? (uint32_t) strtoul(argv[2], NULL, 10) : 0,
                      .segments = argc == 4 ? (uint32_t) strtoul(argv[3], NULL, 10) : 0 };
    bp_ns_t t;

    if (argc != 4 || f.segments > 4096)
        return 2;
    (void) printf("{");
    if (f.to > 0 && fill(argv[1], &f, &err) < 0)
        return failed(&err);
    t = bp_mono_ns();
    if (bp_archive_open(argv[1], &a, NULL, &err) < 0)
        return failed(&err);
    (void) printf("\"open_s\": %.2f, \"searches\": [", (double) (bp_mono_ns() - t) / 1e9);
    if (time_all(a, all, cpu, &err) < 0)
        return failed(&err);
    qsort(all, n, sizeof *all, by_value);
    qsort(cpu, n, sizeof *cpu, by_value);
    (void) printf("], \"cpu_p50_ms\": %.2f, \"cpu_p99_ms\": %.2f, \"cpu_max_ms\": %.2f", cpu[n / 2],
                  cpu[n * 99 / 100], cpu[n - 1]);
    (void) printf(", \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n", all[n / 2],
                  all[n * 99 / 100], all[n - 1]);
    bp_archive_close(a);
    return 0;
}
