#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/config.h"
#include "bag/writer.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"

static char dir[32];
static char file[64];

static int set_up(void **state) {
    static const char *const gone[] = { "STATE_DIRECTORY", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
                                        "BAGPIPE_HTTP__WORKERS", "BAGPIPE_LOG__LEVEL" };

    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-config-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(file, sizeof file, "%s/agent.yaml", dir);
    for (size_t i = 0; i < BP_COUNT(gone); i++)
        (void) unsetenv(gone[i]);
    return setenv("HOME", dir, 1);
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static int tear_down(void **state) {
    (void) state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *text) {
    struct bp_error err = { 0 };

    if (bp_io_replace_file(&bp_io_posix, file, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- values ---- */

static void defaults(void **state) {
    struct bp_agent_config c;
    struct bp_error err = { 0 };

    (void) state;
    write_file("");
    if (bp_agent_config_load(file, NULL, 0, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(c.discovery.domains.n, 0);
    assert_true(c.record.topics.n == 0 && !c.record.hidden && !c.record.services);
    assert_true(c.record.segment_size == 1 << 30 && c.record.segment_time == 0);
    assert_true(c.record.commit_interval == 100 * BP_MS);
    assert_true(c.record.compression == BP_COMPRESS_NONE && c.record.profile == BP_PROFILE_AUTO);
    assert_true(c.record.durability == BP_SYNC_COMMIT && c.storage.on_full == BP_FULL_WAIT);
    assert_true(c.buffer.ring_size == 256 << 20 && c.storage.min_free == 0);
    assert_string_equal(c.record.regex, "");
    assert_string_equal(c.storage.dir, "");
    assert_string_equal(c.session.name, "{robot}_{date}_{time}");
    assert_string_equal(c.session.operator_, "");
    assert_true(bp_streq(c.session.begin, "false") && c.session.max_time == 0);
    assert_int_equal(c.http.listen.n, 1);
    assert_string_equal(c.http.listen.v[0], "127.0.0.1:9090");
    assert_true(c.http.workers == 4 && c.http.max_connections == 1024);
    assert_int_equal(c.log.level, BP_LOG_NOTICE);
    bp_agent_config_done(&c);
}

static void later_sources_win(void **state) {
    static const char *const set[] = { "http.workers=3", "record.priority=/a=high, /b*=low" };
    struct bp_agent_config c;
    struct bp_error err = { 0 };

    (void) state;
    write_file("http:\n  workers: 1\n  max_connections: 99\nlog:\n  level: debug\n"
               "session.operator: O'Brien\n");
    assert_int_equal(setenv("BAGPIPE_HTTP__WORKERS", "2", 1), 0);
    assert_int_equal(setenv("BAGPIPE_LOG__LEVEL", "error", 1), 0);
    if (bp_agent_config_load(file, set, BP_COUNT(set), &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(c.http.workers == 3 && c.http.max_connections == 99);
    assert_int_equal(c.log.level, BP_LOG_ERROR);
    assert_string_equal(c.session.operator_, "O'Brien");
    assert_int_equal(c.record.priority.n, 2);
    assert_string_equal(c.record.priority.v[1], "/b*=low");
    bp_agent_config_done(&c);
}

static void refuses(void **state) {
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "http:\n  workers: 65\n", "line 2: http.workers: '65' is not a whole number, 1 to 64" },
        { "record:\n  segment_size: 1k\n",
          "line 2: record.segment_size: '1k' is not a size, 1.0 MiB to 1.0 TiB" },
        { "record:\n\n  compresion: lz4\n",
          "line 3: unknown key 'record.compresion', did you mean 'record.compression'?" },
        { "record:\n  compression: gzip\n", "'gzip' is not one of none|lz4|zstd" },
        { "discovery:\n  domains: [0, 233]\n",
          "discovery.domains: '233' is not a number from 0 to 232" },
        { "discovery:\n  domains: [-1]\n", "discovery.domains: '-1' is not a number" },
        { "record:\n  max_rate: [/a]\n", "record.max_rate: " },
        { "record:\n  max_rate: [/a=0]\n", "record.max_rate: " },
        { "record:\n  keep_every: ['/a=x']\n", "record.keep_every: " },
        { "record:\n  priority: [/a=urgent]\n", "record.priority: " },
        { "record:\n  budget: [/a=5X]\n", "record.budget: " },
        { "record:\n  regex: '('\n", "record.regex: '(': missing" },
        { "record:\n  exclude_regex: '[a'\n", "record.exclude_regex: '[a': missing" },
        { "session:\n  name: '{robot}_{day}'\n", "session.name: " },
        { "session:\n  name: ''\n", "session.name: " },
        { "session:\n  auto_start: sometimes\n", "session.auto_start: 'sometimes' is not" },
        { "robots:\n  rules: ['a=~(']\n", "robots.rules: '(': missing" },
        { "robots:\n  rules: ['a=domain:300']\n", "robots.rules: 'domain:300': a domain" },
        { "robots:\n  rules: [a]\n", "robots.rules: 'a': expected NAME=" },
        { "degrade:\n  cpu: {enter: 80, leave: 90}\n", "degrade.cpu.leave: must be less" },
        { "http:\n  listen: [nonsense]\n", "http.listen: " },
        { "http:\n  listen: ['127.0.0.1:99999']\n", "http.listen: " },
        { "a: [b\n", "agent.yaml" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_agent_config c;
        struct bp_error err = { 0 };
        int r;

        write_file(cases[i].text);
        r = bp_agent_config_load(file, NULL, 0, &c, &err);
        if (!strstr(err.text, cases[i].want) || (r != BP_ECONFIG && r != BP_EFORMAT))
            fail_msg("%s: %d, %s", cases[i].text, r, err.text);
        bp_agent_config_done(&c);
    }
}

static void no_file(void **state) {
    struct bp_agent_config c;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(bp_agent_config_load(file, NULL, 0, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, file));
    bp_agent_config_done(&c);
}

/* ---- places ---- */

static void data_dir(void **state) {
    static const struct {
        const char *dir, *state, *xdg, *want; /* '@' is the test's own folder */
    } cases[] = {
        { "@/conf/a/b", "@/state", "@/xdg", "@/conf/a/b" },
        { "~/rec", NULL, NULL, "@/rec" },
        { "", "@/state", "@/xdg", "@/state" },
        { "", "@/one:@/two", NULL, "@/one" },
        { "", "relative", "@/xdg", "@/xdg/bagpipe" },
        { "", NULL, "relative", "@/.local/share/bagpipe" },
        { "", NULL, NULL, "@/.local/share/bagpipe" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        const char *const texts[] = { cases[i].dir, cases[i].state, cases[i].xdg, cases[i].want };
        char made[BP_COUNT(texts)][200] = { { 0 } }, got[200];
        struct bp_agent_config c = { 0 };
        struct bp_error err = { 0 };
        struct stat st;

        for (size_t k = 0; k < BP_COUNT(texts); k++)
            for (const char *p = texts[k]; p && *p; p++) {
                size_t n = strlen(made[k]);

                (void) snprintf(made[k] + n, sizeof made[k] - n, *p == '@' ? "%s" : "%.1s",
                                *p == '@' ? dir : p);
            }
        (void) unsetenv("STATE_DIRECTORY");
        (void) unsetenv("XDG_DATA_HOME");
        if (cases[i].state)
            assert_int_equal(setenv("STATE_DIRECTORY", made[1], 1), 0);
        if (cases[i].xdg)
            assert_int_equal(setenv("XDG_DATA_HOME", made[2], 1), 0);
        c.storage.dir = made[0];
        if (bp_agent_data_dir(&c, got, sizeof got, &err) < 0)
            fail_msg("%s", err.text);
        assert_string_equal(got, made[3]);
        assert_int_equal(stat(got, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(bp_agent_data_dir(&c, got, sizeof got, &err), 0); /* again */
    }
}

static void no_data_dir(void **state) {
    struct bp_agent_config c = { 0 };
    struct bp_error err = { 0 };
    char in_the_way[100], got[200], tiny[10];

    (void) state;
    write_file("a file");
    (void) snprintf(in_the_way, sizeof in_the_way, "%s/below", file);
    c.storage.dir = in_the_way;
    assert_int_equal(bp_agent_data_dir(&c, got, sizeof got, &err), -ENOTDIR);
    c.storage.dir = file;
    assert_int_equal(bp_agent_data_dir(&c, got, sizeof got, &err), -ENOTDIR);
    assert_int_equal(bp_agent_data_dir(&c, tiny, sizeof tiny, &err), -ENAMETOOLONG);
    c.storage.dir = NULL;
    (void) unsetenv("HOME");
    assert_int_equal(bp_agent_data_dir(&c, got, sizeof got, &err), BP_ECONFIG);
    c.storage.dir = (char[]){ "~/x" };
    assert_int_equal(bp_agent_data_dir(&c, got, sizeof got, &err), BP_ECONFIG);
    assert_string_equal(err.text, "storage.dir: '~/x', but $HOME is not set");
}

static void make_socket(const char *path) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    (void) snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
    (void) close(fd);
}

static void socket_path(void **state) {
    struct bp_agent_config c = { 0 };
    struct bp_error err = { 0 };
    char want[100], got[200], longer[200];

    (void) state;
    (void) snprintf(want, sizeof want, "%s/deep/er/s.sock", dir);
    c.http.socket = want;
    assert_int_equal(bp_agent_socket_path(&c, got, sizeof got, &err), 0);
    assert_string_equal(got, want);
    make_socket(got); /* its folder is there */
    assert_int_equal(bp_agent_socket_find(&c, got, sizeof got, &err), 0);
    assert_string_equal(got, want);

    (void) snprintf(longer, sizeof longer, "%s/%0120d", dir, 0);
    c.http.socket = longer;
    assert_int_equal(bp_agent_socket_path(&c, got, sizeof got, &err), BP_ECONFIG);
    assert_non_null(strstr(err.text, "is longer than 107 bytes"));
}

/* As somebody to whom the system's folder does not belong. */
static void socket_of_a_user(void **state) {
    bool root = geteuid() == 0, agent_runs = access("/run/bagpipe/agent.sock", F_OK) == 0;
    struct bp_agent_config c = { 0 };
    struct bp_error err = { 0 };
    char want[100], got[200];

    (void) state;
    if (root) {
        assert_int_equal(chown(dir, 65534, 65534), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    (void) snprintf(want, sizeof want, "%s/.local/share/bagpipe/agent.sock", dir);
    if (!agent_runs)
        assert_int_equal(bp_agent_socket_find(&c, got, sizeof got, &err), -ENOENT);
    assert_int_equal(bp_agent_socket_path(&c, got, sizeof got, &err), 0);
    assert_string_equal(got, want);
    make_socket(got);
    if (!agent_runs) {
        assert_int_equal(bp_agent_socket_find(&c, got, sizeof got, &err), 0);
        assert_string_equal(got, want);
    }
    (void) setenv("XDG_RUNTIME_DIR", dir, 1);
    (void) snprintf(want, sizeof want, "%s/bagpipe/agent.sock", dir);
    assert_int_equal(bp_agent_socket_path(&c, got, sizeof got, &err), 0);
    assert_string_equal(got, want);
    if (root)
        assert_int_equal(seteuid(0), 0);
}

/* ---- pages ---- */

/* docs/config.md ends in the table that the rows give. */
static void reference_page(void **state) {
    BP_AUTO_FREE char *page = NULL;
    BP_AUTO_BUF table = { 0 };
    struct bp_error err = { 0 };
    size_t n;

    (void) state;
    if (bp_io_read_file(&bp_io_posix, BP_TEST_SOURCE "/docs/config.md", 1 << 20, &page, &n, &err) <
        0)
        fail_msg("%s", err.text);
    bp_config_put_reference(&table, &bp_agent_config_table);
    if (!strstr(page, bp_buf_cstr(&table)))
        fail_msg("docs/config.md is not what `bagpipe config reference` prints");
}

/* Takes away the comment sign of every key that has a value; the line before each is its help. */
static unsigned uncomment(char *text, struct bp_buf *out) {
    char *save = NULL;
    bool help = false;
    unsigned keys = 0;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *sign = strstr(line, "# "), *colon = sign ? strstr(sign, ": ") : NULL;

        help = sign && !help;
        if (sign && !help && colon) {
            memmove(sign, sign + 2, strlen(sign + 2) + 1);
            keys++;
        }
        bp_buf_printf(out, "%s\n", line);
    }
    return keys;
}

/* The sample is a file: as it is, and with every key set to its default. */
static void sample_is_read(void **state) {
    BP_AUTO_BUF sample = { 0 };
    BP_AUTO_BUF set = { 0 };
    struct bp_error err = { 0 };
    char *text;

    (void) state;
    bp_config_put_sample(&sample, &bp_agent_config_table);
    text = bp_buf_take_cstr(&sample);
    for (int round = 0; round < 2; round++) {
        struct bp_agent_config c;

        write_file(round == 0 ? text : bp_buf_cstr(&set));
        if (bp_agent_config_load(file, NULL, 0, &c, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(c.record.segment_size, 1 << 30);
        assert_string_equal(c.http.listen.v[0], "127.0.0.1:9090");
        bp_agent_config_done(&c);
        if (round == 0)
            assert_true(uncomment(text, &set) > 25);
    }
    free(text);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(defaults),       CASE(later_sources_win), CASE(refuses),     CASE(no_file),
        CASE(data_dir),       CASE(no_data_dir),       CASE(socket_path), CASE(socket_of_a_user),
        CASE(reference_page), CASE(sample_is_read),
    };

    return cmocka_run_group_tests_name("agent/config", tests, NULL, NULL);
}
