/* The history: what goes in comes out, from memory and from files, in order and once; what was let
 * go, refused or damaged is told, and nothing else is missing. Each payload proves itself: it says
 * its source and number and is filled by them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bag/history-frame.h"
#include "bag/history.h"
#include "base/io-fault.h"

enum { MIB = 1 << 20 };

static char dir[64], files[96];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/dev/shm/bp-history-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(files, sizeof files, "%s/history", dir);
    return 0;
}

static int tear_down(void **state) {
    char command[128];

    (void) state;
    (void) snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

/* ---- messages that prove themselves ---- */

struct payload {
    uint32_t source;
    uint64_t seq;
    uint32_t size;
};

static void fill(const void *ctx, uint8_t *dst) {
    const struct payload *p = ctx;
    uint8_t head[12];

    bp_st_le32(head, p->source);
    bp_st_le64(head + 4, p->seq);
    memcpy(dst, head, BP_MIN(p->size, (uint32_t) sizeof head));
    for (uint32_t i = sizeof head; i < p->size; i++)
        dst[i] = (uint8_t) (p->seq * 31 + i);
}

static void same_payload(const struct bp_history_entry *e, uint32_t source) {
    struct payload p = { source, e->seq, e->size };
    BP_AUTO_FREE uint8_t *want = malloc(e->size + 1);

    assert_non_null(want);
    fill(&p, want);
    assert_memory_equal(e->data, want, e->size);
}

static int put_at(struct bp_history_store *h, uint32_t source, uint64_t seq, uint32_t size,
                  bp_ns_t log_ns) {
    struct payload p = { source, seq, size };

    return bp_history_accept(h, &(struct bp_accept){ .source = source,
                                                     .seq = seq,
                                                     .log_ns = log_ns,
                                                     .publish_ns = log_ns - 1000,
                                                     .size = size,
                                                     .copy = fill,
                                                     .ctx = &p });
}

static int put(struct bp_history_store *h, uint32_t source, uint64_t seq, uint32_t size) {
    return put_at(h, source, seq, size, bp_wall_ns());
}

static uint32_t source_of(struct bp_history_store *h, unsigned n, uint32_t latched) {
    char topic[32];
    struct bp_channel_def c = { .topic = topic,
                                .type = "std_msgs/msg/String",
                                .schema_encoding = "ros2msg",
                                .schema = BP_STR("string data\n"),
                                .type_hash = "RIHS01_00",
                                .qos_yaml = "- history: 1",
                                .robot = "r",
                                .ns = "/",
                                .latched_depth = latched };
    struct bp_source_def s = { .vendor = 0x0110, .node = "/talker" };
    int id;

    (void) snprintf(topic, sizeof topic, "/topic%u", n);
    id = bp_history_channel(h, &c, NULL);
    assert_true(id > 0);
    s.channel = (uint16_t) id;
    s.guid[0] = (uint8_t) n;
    s.guid[1] = (uint8_t) (n >> 8);
    s.guid[15] = 3;
    id = bp_history_source(h, &s, NULL);
    assert_true(id >= 0);
    assert_int_equal(bp_history_source(h, &s, NULL), id); /* found again */
    return (uint32_t) id;
}

static struct bp_history_store *open_with(struct bp_history_opts o) {
    struct bp_history_store *h = NULL;
    struct bp_error err = { 0 };

    if (bp_history_open(&o, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h;
}

static struct bp_history_reader *read_from(struct bp_history_store *h, bp_ns_t from_mono) {
    struct bp_history_reader *r = NULL;
    struct bp_error err = { 0 };

    if (bp_history_read(h, from_mono, &r, &err) < 0)
        fail_msg("%s", err.text);
    return r;
}

struct seen {
    uint64_t messages, missed, losses, latched, bad;
    uint64_t first, last; /* numbers, of one source */
    bp_ns_t first_mono;
};

/* Numbers of one source must go up by one, but where something was missed or lost. */
static struct seen read_all(struct bp_history_reader *r, uint32_t source) {
    struct seen s = { 0 };
    struct bp_history_entry e;
    bool gap = true;
    int k;

    while ((k = bp_history_next(r, &e)) != 0) {
        if (k < 0) {
            s.bad++;
            continue;
        }
        if (e.kind == BP_HISTORY_MISSED) {
            s.missed += e.last;
            gap = true;
            continue;
        }
        if (e.kind == BP_HISTORY_LATCHED)
            s.latched++;
        if (e.source != source)
            continue;
        if (e.kind == BP_HISTORY_LOSS) {
            s.losses += e.last - e.seq + 1;
            if (s.last)
                assert_int_equal(e.seq, s.last + 1);
            s.last = e.last;
            continue;
        }
        if (e.kind != BP_HISTORY_MESSAGE)
            continue;
        same_payload(&e, source);
        assert_int_equal(e.last, e.seq);
        assert_int_equal(e.publish_ns, e.log_ns - 1000);
        if (!s.messages++) {
            s.first = e.seq;
            s.first_mono = e.mono_ns;
        } else if (gap) {
            assert_true(e.seq > s.last);
        } else {
            assert_int_equal(e.seq, s.last + 1);
        }
        s.last = e.seq;
        gap = false;
    }
    return s;
}

/* ---- memory ---- */

static uint32_t size_of(uint64_t i) {
    return (uint32_t) (12 + i * 7919 % 3000);
}

/* What is held is the newest, to the message, and as much as fits. */
static void evicts_the_oldest(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    uint64_t bytes = 0, i;

    (void) state;
    for (i = 1; i <= 5000; i++) {
        BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
        struct bp_history_stats st;
        struct seen s;

        assert_int_equal(put(h, source, i, size_of(i)), 0);
        if (i % 499)
            continue;
        r = read_from(h, 0);
        s = read_all(r, source);
        bp_history_stats(h, &st);
        assert_int_equal(s.last, i);
        assert_int_equal(s.messages, i - s.first + 1);
        assert_int_equal(s.messages, st.held);
        assert_int_equal(st.evicted, s.first - 1);
        assert_int_equal(s.missed, 0);
        assert_true(st.memory_used <= MIB && st.dropped == 0);
        bytes = 0;
        for (uint64_t k = s.first; k <= i; k++)
            bytes += size_of(k);
        if (s.first > 1) /* some blocks of 16 KiB are kept free */
            assert_true(bytes > MIB * 85 / 100);
    }
    bp_history_close(h);
}

/* A reader that is too slow is told how many it has missed. */
static void slow_reader(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
    struct bp_history_entry e;
    struct seen s;

    (void) state;
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(put(h, source, i, 1000), 0);
    r = read_from(h, 0);
    assert_int_equal(bp_history_next(r, &e), 1);
    assert_int_equal(e.seq, 1);
    for (uint64_t i = 11; i <= 5000; i++)
        assert_int_equal(put(h, source, i, 1000), 0);
    s = read_all(r, source);
    assert_int_equal(s.last, 5000);
    assert_true(s.missed > 3000);
    assert_int_equal(1 + s.missed + s.messages, 5000);
    assert_int_equal(bp_history_next(r, &e), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

static void losses_are_told(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t source = source_of(h, 1, 0);
    static const struct {
        enum bp_history_kind kind;
        enum bp_loss why;
        uint64_t seq, last;
    } want[] = {
        { BP_HISTORY_MESSAGE, 0, 1, 1 },
        { BP_HISTORY_LOSS, BP_LOSS_RATE, 2, 10 }, /* noted one by one */
        { BP_HISTORY_LOSS, BP_LOSS_TRANSPORT, 11, 12 },
        { BP_HISTORY_MESSAGE, 0, 13, 13 },
        { BP_HISTORY_LOSS, BP_LOSS_BAD, 14, 14 }, /* larger than a quarter of all */
        { BP_HISTORY_MESSAGE, 0, 15, 15 },
        { BP_HISTORY_LOSS, BP_LOSS_PAUSED, 16, 20 }, /* waits, until it is flushed */
    };
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, 0);
    struct bp_history_entry e;

    (void) state;
    assert_int_equal(put(h, source, 1, 100), 0);
    for (uint64_t i = 2; i <= 10; i++)
        bp_history_note_loss(h, source, BP_LOSS_RATE, i, i);
    bp_history_note_loss(h, source, BP_LOSS_TRANSPORT, 11, 12);
    assert_int_equal(put(h, source, 13, 0), 0);
    assert_int_equal(put(h, source, 14, MIB / 4), -EMSGSIZE);
    assert_int_equal(put(h, source, 15, MIB / 8), 0);
    bp_history_note_loss(h, source, BP_LOSS_PAUSED, 16, 20);
    bp_history_note_loss(h, source, BP_LOSS_PAUSED, 20, 16); /* nonsense */
    bp_history_note_loss(h, 99, BP_LOSS_PAUSED, 1, 2);
    assert_int_equal(put(h, 99, 1, 1), -EINVAL);
    for (size_t i = 0; i < BP_COUNT(want); i++) {
        if (i == BP_COUNT(want) - 1) {
            assert_int_equal(bp_history_next(r, &e), 0);
            bp_history_flush(h);
        }
        assert_int_equal(bp_history_next(r, &e), 1);
        assert_int_equal(e.kind, want[i].kind);
        assert_int_equal(e.seq, want[i].seq);
        assert_int_equal(e.last, want[i].last);
        if (e.kind == BP_HISTORY_LOSS)
            assert_int_equal(e.why, want[i].why);
    }
    assert_int_equal(bp_history_next(r, &e), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

/* @return numbers of latched messages told, as "5 6" */
static const char *latched_at(struct bp_history_store *h, bp_ns_t from_mono) {
    static char text[200];
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, from_mono);
    struct bp_history_entry e;
    size_t n = 0;

    text[0] = 0;
    while (bp_history_next(r, &e) > 0 && e.kind == BP_HISTORY_LATCHED) {
        assert_true(e.mono_ns < from_mono);
        same_payload(&e, e.source);
        n += (size_t) snprintf(text + n, sizeof text - n, "%s%llu", n ? " " : "",
                               (unsigned long long) e.seq);
    }
    return text;
}

/* The state at any moment the history reaches back to, and at the moments before: what is let go is
 * remembered as long as it is the latest. */
static void latched_state(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = MIB });
    uint32_t map = source_of(h, 1, 1), tf = source_of(h, 2, 2), load = source_of(h, 3, 0);
    bp_ns_t t0 = bp_wall_ns() - 100 * BP_SEC, m0 = bp_history_mono(h, t0);
    struct bp_history_stats st;

    (void) state;
    assert_int_equal(put_at(h, map, 7, 5000, t0 + 1 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 1, 50, t0 + 2 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 2, 50, t0 + 3 * BP_SEC), 0);
    assert_int_equal(put_at(h, tf, 3, 50, t0 + 4 * BP_SEC), 0);
    assert_string_equal(latched_at(h, m0), "");
    assert_string_equal(latched_at(h, m0 + 2 * BP_SEC), "7");
    assert_string_equal(latched_at(h, m0 + 4 * BP_SEC), "7 1 2");
    assert_string_equal(latched_at(h, m0 + 5 * BP_SEC), "7 2 3");
    for (uint64_t i = 1; i <= 2000; i++)
        assert_int_equal(put_at(h, load, i, 1000, t0 + 5 * BP_SEC + (bp_ns_t) i), 0);
    bp_history_stats(h, &st);
    assert_int_equal(st.latched, 3); /* all of them were let go */
    assert_string_equal(latched_at(h, m0 + 6 * BP_SEC), "7 2 3");
    assert_int_equal(put_at(h, map, 8, 20000, t0 + 10 * BP_SEC), 0);
    assert_string_equal(latched_at(h, m0 + 9 * BP_SEC), "7 2 3");
    assert_string_equal(latched_at(h, m0 + 11 * BP_SEC), "2 3 8");
    for (uint64_t i = 2001; i <= 4000; i++)
        assert_int_equal(put_at(h, load, i, 1000, t0 + 20 * BP_SEC + (bp_ns_t) i), 0);
    assert_string_equal(latched_at(h, m0 + 30 * BP_SEC), "2 3 8");
    bp_history_stats(h, &st);
    assert_int_equal(st.latched, 3);
    assert_int_equal(st.latched_bytes, 20100);
    bp_history_close(h);
}

/* Old ones go by themselves, and a reader begins where it was told. */
static void by_age(void **state) {
    struct bp_history_store *h =
        open_with((struct bp_history_opts){ .max_bytes = MIB, .max_ns = 400 * BP_MS });
    uint32_t source = source_of(h, 1, 0);
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
    struct bp_history_stats st;
    bp_ns_t from = 0;
    struct seen s;

    (void) state;
    for (uint64_t i = 1; i <= 20; i++) {
        if (i == 11)
            from = bp_history_mono(h, bp_wall_ns());
        assert_int_equal(put(h, source, i, 100), 0);
        if (i % 10 == 0)
            bp_sleep(150 * BP_MS);
    }
    r = read_from(h, from);
    s = read_all(r, source);
    assert_int_equal(s.last, 20);
    assert_true(s.first <= 11 && s.first > 1);
    bp_sleep(500 * BP_MS);
    bp_history_tick(h);
    bp_sleep(500 * BP_MS);
    bp_history_tick(h);
    bp_history_stats(h, &st);
    assert_int_equal(st.held, 0);
    assert_int_equal(st.evicted, 20);
    assert_true(st.oldest_ns == 0 && st.memory_used == 0);
    assert_int_equal(put(h, source, 21, 100), 0);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

/* ---- several threads ---- */

enum { THREADS = 4, EACH = 20000 };

struct talker {
    struct bp_history_store *h;
    uint32_t source;
    _Atomic unsigned *done;
};

static void *talk(void *arg) {
    struct talker *t = arg;

    for (uint64_t i = 1; i <= EACH; i++)
        (void) put(t->h, t->source, i, size_of(i)); /* refusals are told to the reader */
    atomic_fetch_add(t->done, 1);
    return NULL;
}

static void threads(void **state) {
    struct bp_history_store *h = open_with((struct bp_history_opts){ .max_bytes = 4 * MIB });
    struct talker t[THREADS];
    pthread_t ids[THREADS];
    uint64_t last[THREADS] = { 0 }, got = 0, missed = 0, lost = 0;
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, 0);
    _Atomic unsigned done = 0;
    bool last_look = false;

    (void) state;
    for (unsigned i = 0; i < THREADS; i++) {
        t[i] = (struct talker){ .h = h, .source = source_of(h, i, 0), .done = &done };
        assert_int_equal(pthread_create(&ids[i], NULL, talk, &t[i]), 0);
    }
    for (;;) {
        bool through = atomic_load(&done) == THREADS;
        struct bp_history_entry e;

        if (bp_history_next(r, &e) == 0) {
            if (last_look)
                break;
            if (through)
                bp_history_flush(h);
            last_look = through;
            bp_sleep(100 * BP_US);
            continue;
        }
        if (e.kind == BP_HISTORY_MISSED) {
            missed += e.last;
            continue;
        }
        assert_true(e.source < THREADS && e.seq > last[e.source]);
        last[e.source] = e.last;
        if (e.kind == BP_HISTORY_LOSS) {
            lost += e.last - e.seq + 1;
            continue;
        }
        same_payload(&e, e.source);
        got++;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(ids[i], NULL), 0);
        if (missed == 0) /* else its last ones may be among those */
            assert_int_equal(last[i], EACH);
    }
    assert_true(missed > 0 || got + lost == (uint64_t) THREADS * EACH);
    print_message("# %llu read, %llu missed, %llu refused\n", (unsigned long long) got,
                  (unsigned long long) missed, (unsigned long long) lost);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

/* ---- files ---- */

static struct bp_history_opts on_disk(const struct bp_io *io) {
    return (struct bp_history_opts){ .max_bytes = MIB,
                                     .dir = files,
                                     .disk_max_bytes = 16 * MIB,
                                     .write_interval = 2 * BP_MS,
                                     .sync_interval = 10 * BP_MS,
                                     .io = io };
}

static uint64_t written(struct bp_history_store *h, bool *ret_fails) {
    struct bp_history_stats st;

    bp_history_stats(h, &st);
    *ret_fails = st.disk_error != 0;
    return st.disk_written;
}

/* Slowly enough for the disk's thread, unless its disk fails. */
static void put_paced(struct bp_history_store *h, uint32_t source, uint64_t first, uint64_t last,
                      uint32_t size) {
    bool fails;
    uint64_t was = written(h, &fails), bytes = 0;
    bp_ns_t end;

    for (uint64_t i = first; i <= last; i++) {
        assert_int_equal(put(h, source, i, size), 0);
        bytes += size;
        if (bytes < 200000 && i < last)
            continue;
        end = bp_mono_ns() + 5 * BP_SEC;
        while (written(h, &fails) < was + bytes && !fails && bp_mono_ns() < end)
            bp_sleep(BP_MS);
        was = written(h, &fails);
        bytes = 0;
    }
}

static struct seen read_again(uint32_t *ret_source) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    uint32_t source = source_of(h, 1, 0); /* found by GUID and topic */
    struct bp_history_reader *r = read_from(h, 0);
    struct seen s = read_all(r, source);

    if (ret_source)
        *ret_source = source;
    bp_history_reader_close(r);
    bp_history_close(h);
    return s;
}

/* Another life reads what the first one had, and goes on behind it; a third reads both. */
static void lives(void **state) {
    struct seen s;

    (void) state;
    for (unsigned life = 0; life < 3; life++) {
        struct bp_history_store *h = open_with(on_disk(NULL));
        uint32_t other = life ? source_of(h, 100 + life, 0) : 0, source = source_of(h, 1, 0);
        uint64_t first = life * 1000 + 1;

        put_paced(h, source, first, first + 999, 1000);
        if (life)
            put_paced(h, other, 1, 10, 10);
        bp_history_close(h);
        s = read_again(NULL);
        assert_int_equal(s.messages, (life + 1) * 1000);
        assert_true(s.first == 1 && s.last == first + 999 && s.missed == 0 && s.bad == 0);
    }
}

/* Memory holds a sixteenth of it: a reader goes from files over into memory and on. */
static void from_files_into_memory(void **state) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    uint32_t source = source_of(h, 1, 0);
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = NULL;
    struct bp_history_stats st;
    struct seen s;

    (void) state;
    put_paced(h, source, 1, 8000, 1000);
    bp_history_stats(h, &st);
    assert_true(st.evicted > 6000);
    assert_int_equal(st.disk_missed, 0);
    r = read_from(h, 0);
    s = read_all(r, source);
    assert_int_equal(s.messages, 8000);
    assert_true(s.first == 1 && s.last == 8000 && s.missed == 0);
    put_paced(h, source, 8001, 16000, 1000);
    s = read_all(r, source);
    assert_int_equal(s.messages, 8000);
    assert_int_equal(s.last, 16000);
    bp_history_reader_close(BP_TAKE_PTR(r));
    bp_history_close(h);
}

static uint64_t bytes_in(const char *folder) {
    uint64_t sum = 0;
    char path[300];

    for (unsigned i = 1; i < 100; i++) {
        struct stat st;

        (void) snprintf(path, sizeof path, "%s/history-%010u.bph", folder, i);
        if (stat(path, &st) == 0)
            sum += (uint64_t) st.st_blocks * 512;
    }
    return sum;
}

/* The files stay within their bound; the oldest go. */
static void circular(void **state) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    uint32_t source = source_of(h, 1, 0);
    struct bp_history_stats st;
    struct seen s;

    (void) state;
    for (unsigned round = 0; round < 4; round++) {
        put_paced(h, source, round * 500 + 1, round * 500 + 500, 20000);
        assert_true(bytes_in(files) <= 16 * MIB + 200000);
    }
    bp_history_stats(h, &st);
    assert_true(st.disk_removed > 20 * MIB && st.disk_bytes <= 16 * MIB);
    bp_history_close(h);
    s = read_again(NULL);
    assert_int_equal(s.last, 2000);
    assert_int_equal(s.messages, 2000 - s.first + 1);
    assert_true(s.messages > 500 && s.missed == 0);
}

static void path_of(unsigned n, char *ret, size_t cap) {
    (void) snprintf(ret, cap, "%s/history-%010u.bph", files, n);
}

/* kill -9 in the middle: all that was written is there, and that is all but the last moment. */
static void killed(void **state) {
    struct seen s;
    pid_t pid;
    int status;

    (void) state;
    pid = fork();
    if (pid == 0) {
        struct bp_history_opts o = on_disk(NULL);
        struct bp_history_store *h = NULL;

        if (bp_history_open(&o, &h, NULL) < 0)
            _exit(1);
        put_paced(h, source_of(h, 1, 0), 1, 3000, 1000);
        bp_sleep(500 * BP_MS);
        (void) kill(getpid(), SIGKILL);
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    s = read_again(NULL);
    assert_int_equal(s.messages, 3000);
    assert_true(s.first == 1 && s.missed == 0 && s.bad == 0);
}

/* The file ends anywhere: what is whole before the cut is there, and nothing else is believed. */
static void torn(void **state) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    uint32_t source = source_of(h, 1, 0);
    char path[200], copy[200], command[500];
    uint64_t most = 0;
    struct stat st;

    (void) state;
    put_paced(h, source, 1, 200, 3000);
    bp_history_close(h);
    path_of(1, path, sizeof path);
    (void) snprintf(copy, sizeof copy, "%s/whole", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(rename(path, copy), 0);
    for (long cut = 0; cut <= st.st_size; cut += st.st_size / 60 + 1) {
        struct seen s;

        (void) snprintf(command, sizeof command, "rm -rf '%s'; mkdir '%s'; head -c %ld '%s' > '%s'",
                        files, files, cut, copy, path);
        assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
        s = read_again(NULL);
        assert_true(s.messages >= most && s.missed == 0 && s.bad == 0);
        assert_true(s.messages == 0 || s.first == 1);
        assert_int_equal(s.messages, s.last);
        most = s.messages;
    }
    assert_true(most > 100);
}

/* A flipped byte costs the frame it lies in and no more; the rest of the file goes on behind it. */
static void damaged(void **state) {
    struct bp_history_store *h;
    uint64_t whole = 0, hurt = 0;
    struct stat st;
    char path[200];

    (void) state;
    h = open_with(on_disk(NULL));
    put_paced(h, source_of(h, 1, 0), 1, 6000, 1000); /* more than one file */
    bp_history_close(h);
    path_of(1, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    for (long at = 100; at < st.st_size; at += st.st_size / 37) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t was, now;
        struct seen s;

        assert_true(fd >= 0);
        assert_int_equal(pread(fd, &was, 1, at), 1);
        now = was ^ 0x55;
        assert_int_equal(pwrite(fd, &now, 1, at), 1);
        s = read_again(NULL);
        assert_int_equal(s.last, 6000);
        whole += s.messages == 6000;
        hurt += s.messages < 6000;
        if (access(path, F_OK) < 0) /* its first frame: then it is of no use */
            return;
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
        (void) close(fd);
    }
    assert_true(hurt > 20 && whole <= 2); /* padding matters to nobody */
    assert_int_equal(read_again(NULL).messages, 6000);
}

/* Latched messages outlive the files they came in, and the process. */
static void latched_on_disk(void **state) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    uint32_t map = source_of(h, 1, 1), load = source_of(h, 2, 0);
    bp_ns_t middle;
    struct bp_history_stats st;

    (void) state;
    assert_int_equal(put(h, map, 5, 4000), 0);
    put_paced(h, load, 1, 1500, 20000);
    middle = bp_history_mono(h, bp_wall_ns());
    assert_int_equal(put(h, map, 6, 4000), 0);
    put_paced(h, load, 1501, 1700, 20000);
    bp_history_stats(h, &st);
    assert_true(st.disk_removed > 0);
    assert_string_equal(latched_at(h, middle), "5");
    assert_string_equal(latched_at(h, bp_mono_ns()), "6");
    bp_history_close(h);
    h = open_with(on_disk(NULL));
    assert_string_equal(latched_at(h, middle), "5");
    assert_string_equal(latched_at(h, bp_mono_ns()), "6");
    bp_history_close(h);
}

static void one_owner(void **state) {
    struct bp_history_store *h = open_with(on_disk(NULL)), *other = NULL;
    struct bp_history_opts o = on_disk(NULL);
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_history_open(&o, &other, &err), BP_EBUSY);
    assert_null(other);
    bp_history_close(h);
    o.disk_max_bytes = MIB;
    assert_int_equal(bp_history_open(&o, &other, &err), -EINVAL);
    o.max_bytes = 4096;
    assert_int_equal(bp_history_open(&o, &other, &err), -EINVAL);
}

/* ---- a failing disk ---- */

static const char *const failing[] = {
    "op=open,errno=EIO,at=",        "op=pwrite,errno=EIO,at=",
    "op=pwrite,errno=EIO,half,at=", "op=pwrite,errno=ENOSPC,at=",
    "op=datasync,errno=EIO,at=",    "op=sync,errno=EIO,at=",
    "op=sync_dir,errno=EIO,at=",    "op=pread,errno=EIO,at=",
    "op=truncate,errno=EIO,at=",    "op=allocate,errno=ENOSPC,at=",
    "op=mkdir,errno=EACCES,at=",    "op=size,errno=EIO,at=",
    "op=pwrite,errno=EIO,every=",   "op=pwrite,errno=EIO,half,every=",
};

/* @return calls that failed */
static uint64_t fail_once(const char *rule, unsigned at) {
    struct bp_io_fault *f = NULL;
    struct bp_history_store *h = open_with(on_disk(NULL)); /* something to take up */
    struct bp_history_opts o;
    char spec[100];
    uint64_t hits;
    struct seen s;

    put_paced(h, source_of(h, 1, 0), 1, 100, 1000);
    bp_history_close(BP_TAKE_PTR(h));
    (void) snprintf(spec, sizeof spec, "%s%u", rule, at);
    assert_int_equal(bp_io_fault_new(&bp_io_posix, spec, &f, NULL), 0);
    o = on_disk(bp_io_fault_io(f));
    if (bp_history_open(&o, &h, NULL) == 0) {
        uint32_t source = source_of(h, 1, 0);
        struct bp_history_reader *r;

        put_paced(h, source, 101, 500, 1000);
        r = read_from(h, 0);
        s = read_all(r, source);
        assert_int_equal(s.last, 500);
        bp_history_reader_close(r);
        bp_history_close(h);
    }
    hits = bp_io_fault_hits(f);
    s = read_again(NULL);
    assert_true(s.bad == 0 && s.last >= 100);
    bp_io_fault_free(f);
    return hits;
}

/* Any one call fails, or every n-th: memory goes on, and the next life reads what was written: in
 * order, whole, each once. */
static void failing_disk(void **state) {
    for (size_t i = 0; i < BP_COUNT(failing); i++) {
        uint64_t hits = 0;

        for (unsigned at = 1; at <= 4; at++) {
            (void) tear_down(state);
            assert_int_equal(set_up(state), 0);
            hits += fail_once(failing[i], at);
        }
        if (hits == 0)
            fail_msg("'%s' never failed", failing[i]);
    }
}

/* ---- frames as bytes ---- */

static void frames(void **state) {
    struct bp_hframe f = { .run = { 1, 2, 3 },
                           .number = 5,
                           .first = 77,
                           .count = 2,
                           .kind = BP_HFRAME_ENTRIES,
                           .bytes = 1234,
                           .offset = -5,
                           .min_log = 3,
                           .max_log = INT64_MAX,
                           .crc = 99 },
                     got;
    uint8_t bytes[BP_HFRAME_HEAD];

    (void) state;
    bp_hframe_encode(&f, bytes);
    assert_int_equal(bp_hframe_decode(bytes, sizeof bytes, &got), 0);
    assert_memory_equal(got.run, f.run, 16);
    assert_true(got.number == 5 && got.first == 77 && got.count == 2 && got.bytes == 1234);
    assert_true(got.offset == -5 && got.min_log == 3 && got.max_log == INT64_MAX && got.crc == 99);
    assert_int_equal(bp_hframe_size(&got), BP_HFRAME_HEAD + 1240);
    assert_int_equal(bp_hframe_decode(bytes, sizeof bytes - 1, &got), BP_ETRUNCATED);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_int_equal(bp_hframe_decode(bytes, sizeof bytes, &got), BP_ECORRUPT);
        bytes[i] ^= 1;
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(evicts_the_oldest),
        CASE(slow_reader),
        CASE(losses_are_told),
        CASE(latched_state),
        CASE(by_age),
        CASE(threads),
        CASE(lives),
        CASE(from_files_into_memory),
        CASE(circular),
        CASE(killed),
        CASE(torn),
        CASE(damaged),
        CASE(latched_on_disk),
        CASE(one_owner),
        CASE(failing_disk),
        CASE(frames),
    };

    return cmocka_run_group_tests_name("bag/history", tests, NULL, NULL);
}
