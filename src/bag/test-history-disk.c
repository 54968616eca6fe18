/* The history's files: they continue the memory, outlive a process, stay within their bound; what
 * is torn, damaged or could not be written costs itself and nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bag/history-frame.h"
#include "bag/sealed.h"
#include "bag/test-history.h"
#include "base/io-fault.h"

static char dir[64], files[96];
static struct bp_keyring *sealing; /* of the tests that are run again with sealed files */
static char notices[1000];

static void on_notice(void *ctx, const char *text) {
    size_t n = strlen(notices);

    (void) ctx;
    (void) snprintf(notices + n, sizeof notices - n, "%s\n", text);
}

static void add_key(struct bp_keyring *k, const char *text) {
    struct bp_error err = { 0 };

    if (bp_keyring_add_text(k, bp_str_of(text), "test", &err) < 0)
        fail_msg("%s", err.text);
}

static const char a_key[] =
    "bagpipe-key:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

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

static int set_up_sealed(void **state) {
    sealing = bp_keyring_new();
    add_key(sealing, a_key);
    return set_up(state);
}

static int tear_down_sealed(void **state) {
    bp_keyring_free(BP_TAKE_PTR(sealing));
    return tear_down(state);
}

static struct bp_history_opts on_disk(const struct bp_io *io) {
    return (struct bp_history_opts){ .max_bytes = MIB,
                                     .dir = files,
                                     .disk_max_bytes = 16 * MIB,
                                     .write_interval = 2 * BP_MS,
                                     .sync_interval = 10 * BP_MS,
                                     .io = io,
                                     .seal = sealing,
                                     .notice = on_notice };
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
        struct bp_history_store *h = NULL;
        struct bp_history_opts o;

        if (sealing) { /* secrets are not there in a child */
            sealing = bp_keyring_new();
            add_key(sealing, a_key);
        }
        o = on_disk(NULL);
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
    for (long at = 100 + (sealing ? BP_SEALED_HEADER : 0); at < st.st_size; at += st.st_size / 37) {
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

/* ---- sealed ---- */

/* Does a text lie in one of the files? */
static bool lies_there(const char *text) {
    char command[400];

    (void) snprintf(command, sizeof command, "grep -rqaF '%s' '%s'", text, files);
    return system(command) == 0; /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

/* In the clear the search finds what it must not find later. */
static void search_finds(void) {
    struct bp_history_store *h = open_with(on_disk(NULL));
    char command[120];

    put_paced(h, source_of(h, 1, 0), 1, 100, 1000);
    bp_history_close(h);
    assert_true(lies_there("/topic1") && lies_there("std_msgs"));
    (void) snprintf(command, sizeof command, "rm -r '%s'", files);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
}

/* Another life: content keys of files that were made are known to the ring that made them. */
static void forget(const char *key) {
    bp_keyring_free(sealing);
    sealing = bp_keyring_new();
    add_key(sealing, key);
}

/* Sealed to somebody else: this life reads what it wrote, the next one cannot, says so and goes on;
 * whoever has the key reads all of it. What is changed is not believed. */
static void sealed_to_another(void **state) {
    struct bp_keyring *both = bp_keyring_new();
    struct bp_history_store *h;
    struct bp_history_stats st;
    struct bp_key_info info;
    char path[96], text[200], hex[2 * BP_KEY_LEN + 1];
    struct seen s;
    uint32_t source;

    (void) state;
    (void) snprintf(path, sizeof path, "%s/key", dir);
    assert_int_equal(bp_key_create(path, false, &info, NULL), 0);
    assert_int_equal(bp_keyring_add_file(both, path, NULL), 0);

    search_finds();
    bp_hex(info.public_key, BP_KEY_LEN, hex);
    (void) snprintf(text, sizeof text, "bagpipe-x25519-public:%s\n", hex);
    forget(text);
    h = open_with(on_disk(NULL));
    source = source_of(h, 1, 0);
    put_paced(h, source, 1, 10000, 1000); /* ten times its memory */
    {
        BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, 0);

        s = read_all(r, source);
        assert_true(s.messages == 10000 && s.first == 1 && s.missed == 0 && s.bad == 0);
    }
    bp_history_close(h);
    assert_false(lies_there("/topic1") || lies_there("std_msgs") || lies_there("/talker"));

    notices[0] = 0;
    forget(text);
    h = open_with(on_disk(NULL));
    source = source_of(h, 1, 0);
    bp_history_stats(h, &st);
    assert_true(st.disk_files > 1);
    assert_int_equal(st.disk_locked, st.disk_files);
    assert_int_equal(st.disk_oldest_ns, 0);
    assert_non_null(strstr(notices, "no key here opens it"));
    put_paced(h, source, 10001, 11000, 1000);
    bp_history_close(h);
    forget(text);
    s = read_again(NULL); /* a third life: knows neither */
    assert_int_equal(s.messages, 0);

    bp_keyring_free(sealing);
    sealing = both;
    notices[0] = 0;
    s = read_again(NULL);
    assert_true(s.messages == 11000 && s.first == 1 && s.last == 11000 && s.bad == 0);
    assert_string_equal(notices, "");
    sealing = NULL; /* nothing is sealed any more: what was is kept all the same */
    s = read_again(NULL);
    assert_int_equal(s.messages, 0);
    assert_non_null(strstr(notices, "no key here opens it"));
    bp_keyring_free(both);
}

/* Frames of one file put into another's place, or with another head: none is believed. */
static void sealed_and_moved(void **state) {
    struct bp_hframe f;
    struct bp_history_store *h;
    uint8_t head[BP_HFRAME_HEAD];
    uint64_t off = BP_SEALED_HEADER;
    char path[200];
    struct seen s;
    int fd;

    (void) state;
    sealing = bp_keyring_new();
    add_key(sealing, a_key);
    h = open_with(on_disk(NULL));
    put_paced(h, source_of(h, 1, 0), 1, 1000, 1000);
    bp_history_close(h);
    path_of(1, path, sizeof path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < 3; i++) { /* the third frame: entries */
        assert_int_equal(pread(fd, head, sizeof head, (off_t) off), sizeof head);
        assert_int_equal(bp_hframe_decode(head, sizeof head, &f), 0);
        assert_true(f.sealed);
        off += i < 2 ? bp_hframe_size(&f) : 0;
    }
    s = read_again(NULL);
    assert_int_equal(s.messages, 1000);
    f.min_log += BP_SEC; /* a head that fits its own sum */
    bp_hframe_encode(&f, head);
    assert_int_equal(pwrite(fd, head, sizeof head, (off_t) off), sizeof head);
    (void) close(fd);
    s = read_again(NULL);
    assert_true(s.messages == 1000 - f.count && s.bad == 1);
    bp_keyring_free(BP_TAKE_PTR(sealing));
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

#define CASE(f)   cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define SEALED(f) cmocka_unit_test_setup_teardown(f, set_up_sealed, tear_down_sealed)

int main(void) {
    const struct CMUnitTest tests[] = { CASE(lives),
                                        CASE(from_files_into_memory),
                                        CASE(circular),
                                        CASE(killed),
                                        CASE(torn),
                                        CASE(damaged),
                                        CASE(latched_on_disk),
                                        CASE(one_owner),
                                        CASE(failing_disk),
                                        CASE(sealed_to_another),
                                        CASE(sealed_and_moved),
                                        CASE(frames),
                                        SEALED(lives),
                                        SEALED(from_files_into_memory),
                                        SEALED(killed),
                                        SEALED(torn),
                                        SEALED(damaged),
                                        SEALED(latched_on_disk),
                                        SEALED(circular) };

    return cmocka_run_group_tests_name("bag/history-disk", tests, NULL, NULL);
}
