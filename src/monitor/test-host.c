#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "monitor/host.h"

/* ---- parsers ---- */

static struct bp_str str(const char *s) {
    return bp_str_of(s);
}

static void numbers_and_names(void **state) {
    static const struct {
        const char *text;
        bool ok;
        int64_t want;
    } cases[] = {
        { "61342\n", true, 61342 }, { "-274000", true, -274000 },
        { " 7 \n", true, 7 },       { "", false, 0 },
        { "\n", false, 0 },         { "12a", false, 0 },
        { "1 2", false, 0 },        { "-", false, 0 },
        { "--1", false, 0 },        { "99999999999999999999", true, INT64_MAX },
        { "0x10", false, 0 },       { "+1", false, 0 },
    };
    char name[BP_HOST_NAME];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int64_t v = 0;

        if (bp_host_parse_number(str(cases[i].text), &v) != cases[i].ok || v != cases[i].want)
            fail_msg("'%s'", cases[i].text);
    }
    assert_true(bp_host_parse_name(str("INT3400 Thermal\nmore\n"), name));
    assert_string_equal(name, "INT3400_Thermal");
    assert_true(bp_host_parse_name(str("a\x01\"\xff"), name));
    assert_string_equal(name, "a_\"_");
    assert_true(bp_host_parse_name(str("012345678901234567890123456789012345"), name));
    assert_int_equal(strlen(name), BP_HOST_NAME - 1);
    assert_false(bp_host_parse_name(str("\nx"), name));
    assert_false(bp_host_parse_name(str(""), name));
}

static void odd_texts(void **state) {
    struct bp_host_ticks all, cores[2];
    struct bp_host_process_row p;
    struct bp_host_disk_row d[2];
    struct bp_host_net_row n[2];
    struct bp_host_memory m;
    double load[3];
    size_t count;

    (void) state;
    assert_false(bp_host_parse_stat(str("cpu0 1 2 3 4\n"), &all, cores, 2, &count));
    assert_int_equal(count, 1);
    assert_false(bp_host_parse_stat(str("cpu 1 2 3\n"), &all, cores, 2, &count)); /* too short */
    assert_true(
        bp_host_parse_stat(str("cpu 1 2 3 4\ncpu9 1 1 1 1\ncpux 1 1 1 1"), &all, cores, 2, &count));
    assert_true(all.total == 10 && all.idle == 4 && count == 0);
    assert_false(bp_host_parse_meminfo(str("MemFree: 1 kB\n"), &m));
    assert_true(bp_host_parse_meminfo(str("MemTotal: 2 kB\nMemAvailable: 9 kB"), &m));
    assert_true(m.total == 2048 && m.available == 2048);
    assert_false(bp_host_parse_loadavg(str("1.00 2.00"), load));
    assert_false(bp_host_parse_loadavg(str("1.5 2.00 3.00"), load));
    assert_true(bp_host_parse_loadavg(str("1.50 22.04 0.00 1/2 3"), load));
    assert_true(load[0] == 1.5 && load[1] > 22.03 && load[2] == 0);
    assert_false(bp_host_parse_process(str("1 (x S 1"), &p));
    assert_int_equal(bp_host_parse_diskstats(str("8 0 sda 1 2 3 4 5 6\n"), d, 2), 0);
    assert_int_equal(bp_host_parse_diskstats(str("a b c\n8 0 s 1 2 3 4 5 6 7 8 9 10\n"), d, 2), 1);
    assert_true(d[0].read_sectors == 3 && d[0].written_sectors == 7 && d[0].busy_ms == 10);
    assert_int_equal(bp_host_parse_netdev(str(" face |bytes packets errs\n x y: 1\n"), n, 2), 0);
    assert_int_equal(bp_host_parse_netdev(str("a:1 2 3 4 5 6 7 8 9 10 11 12\n"
                                              "b: 1 2 3 4 5 6 7 8 9 10 11 12\n"
                                              "c: 1 2 3 4 5 6 7 8 9 10 11 12\n"),
                                          n, 2),
                     2);
    assert_true(n[0].rx_bytes == 1 && n[0].rx_errors == 3 && n[0].rx_dropped == 4 &&
                n[0].tx_bytes == 9 && n[0].tx_errors == 11 && n[0].tx_dropped == 12);
}

/* ---- machines ---- */

static void look_at(const char *machine, struct bp_host_state *ret) {
    BP_CLEANUP(bp_host_closep) struct bp_host *h = NULL;
    char root[512];

    (void) snprintf(root, sizeof root, "%s/fixtures/%s", BP_TEST_SOURCE, machine);
    assert_int_equal(bp_host_open(&(struct bp_host_opts){ .root = root }, &h), 0);
    bp_host_look(h);
    bp_host_get(h, ret);
    assert_int_equal(ret->missing & ~(1u << BP_HOST_PART_CLOCK), 0);
}

static void raspberry_pi(void **state) {
    static struct bp_host_state s;
    char name[2 * BP_HOST_NAME];

    (void) state;
    look_at("pi", &s);
    assert_int_equal(s.ncores, 4);
    assert_true(s.memory.total == 3884292ull * 1024 && s.memory.swap_total == 102396ull * 1024);
    assert_true(s.load[0] > 0.51 && s.load[0] < 0.53);
    assert_int_equal(s.ndisks, 2); /* no partitions, ram or loop disks */
    assert_string_equal(s.disks[0].row.name, "mmcblk0");
    assert_string_equal(s.disks[1].row.name, "sda");
    assert_int_equal(s.nnets, 3);
    assert_true(s.nets[1].row.rx_bytes == 8123123121ull && s.nets[1].row.rx_dropped == 17);
    assert_int_equal(s.ntemps, 2);
    assert_true(bp_host_hottest(&s, name) > 61.3 && bp_host_hottest(&s, name) < 61.4);
    assert_true(bp_host_battery(&s) == -1 && s.nbatteries == 0);
    assert_true(s.process.threads == 14 && s.process.rss == 3412ull * (uint64_t) getpagesize());
}

static void laptop(void **state) {
    static struct bp_host_state s;
    char name[2 * BP_HOST_NAME];

    (void) state;
    look_at("laptop", &s);
    assert_int_equal(s.ncores, 8); /* two of them off */
    assert_int_equal(s.ndisks, 2);
    assert_true(bp_host_hottest(&s, name) == 71);
    assert_true(bp_streq(name, "coretemp/Package_id_0") || bp_streq(name, "coretemp/Core_1"));
    for (size_t i = 0; i < s.ntemps; i++)
        assert_true(s.temps[i].celsius > -50); /* the sensor that is off is left out */
    assert_int_equal(s.nbatteries, 1);         /* not that of the mouse */
    assert_true(s.batteries[0].percent == 37 && s.batteries[0].discharging);
    assert_true(s.batteries[0].watts > 12.3 && s.batteries[0].watts < 12.4);
    assert_true(!s.external_power && bp_host_battery(&s) == 37);
    s.external_power = true;
    assert_true(bp_host_battery(&s) == -1);
    assert_int_equal(s.process.threads, 9); /* whatever the name of the process holds */
}

static void virtual_machine(void **state) {
    static struct bp_host_state s;
    char name[2 * BP_HOST_NAME];

    (void) state;
    look_at("vm", &s);
    assert_int_equal(s.ncores, 2);
    assert_int_equal(s.ndisks, 1);
    assert_string_equal(s.disks[0].row.name, "vda");
    assert_true(s.ntemps == 0 && bp_host_hottest(&s, name) == 0 && !name[0]);
}

/* A machine that tells nothing: everything is missing, nothing fails. */
static void nothing_there(void **state) {
    BP_CLEANUP(bp_host_closep) struct bp_host *h = NULL;
    static struct bp_host_state s;
    BP_AUTO_BUF out = { 0 };
    json_t *o;

    (void) state;
    assert_int_equal(bp_host_open(&(struct bp_host_opts){ .root = "/nowhere" }, &h), 0);
    bp_host_get(h, &s);
    bp_host_metrics(&s, &out);
    assert_true(s.taken_ns == 0 && out.n == 0);
    bp_host_look(h);
    bp_host_get(h, &s);
    assert_true(s.taken_ns != 0 && (s.missing & 1u << BP_HOST_PART_CPU) &&
                (s.missing & 1u << BP_HOST_PART_NET) && s.ntemps == 0);
    o = bp_host_json(&s);
    assert_non_null(o);
    assert_true(json_array_size(json_object_get(o, "missing")) >= 5);
    json_decref(o);
}

/* ---- rates ---- */

static char root[] = "/tmp/bp-host-XXXXXX";

static int set_up(void **state) {
    (void) state;
    (void) snprintf(root, sizeof root, "/tmp/bp-host-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static int tear_down(void **state) {
    (void) state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text) {
    char full[256];
    struct bp_error err = { 0 };

    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        (void) snprintf(full, sizeof full, "%s%.*s", root, (int) (p - path), path);
        (void) mkdir(full, 0755);
    }
    (void) snprintf(full, sizeof full, "%s%s", root, path);
    if (bp_io_replace_file(&bp_io_posix, full, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
}

static void rates(void **state) {
    BP_CLEANUP(bp_host_closep) struct bp_host *h = NULL;
    static struct bp_host_state s;
    bp_ns_t start;
    double seconds;

    (void) state;
    put("/sys/block/sda/size", "1");
    put("/proc/stat", "cpu 100 0 100 800 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0\n");
    put("/proc/diskstats", "8 0 sda 0 0 1000 0 0 0 2000 0 0 0 0\n");
    put("/proc/net/dev", "eth0: 1000 0 0 0 0 0 0 0 500 0 0 0\n");
    assert_int_equal(bp_host_open(&(struct bp_host_opts){ .root = root }, &h), 0);
    start = bp_mono_ns();
    bp_host_look(h);
    bp_host_get(h, &s);
    assert_true(s.cpu == 0 && s.disks[0].busy == 0 && s.nets[0].rx_rate == 0); /* not known yet */
    bp_sleep(100 * BP_MS);
    put("/proc/stat", "cpu 150 0 125 820 5 0 0 0\ncpu0 200 0 100 800 0 0 0 0\n");
    put("/proc/diskstats", "8 0 sda 0 0 1000 0 0 0 2200 0 0 5000000 0\n");
    put("/proc/net/dev", "eth0: 3000 0 0 0 0 0 0 0 400 0 0 0\n"); /* tx: began anew */
    bp_host_look(h);
    seconds = (double) (bp_mono_ns() - start) / 1e9;
    bp_host_get(h, &s);
    assert_true(s.cpu > 0.749 && s.cpu < 0.751 && s.iowait > 0.049 && s.iowait < 0.051);
    assert_true(s.cores[0] == 1);
    assert_true(s.disks[0].write_rate > 200 * 512 / seconds * 0.9 &&
                s.disks[0].write_rate <= 200 * 512 / 0.1);
    assert_true(s.disks[0].read_rate == 0 && s.disks[0].busy == 1); /* never above */
    assert_true(s.nets[0].rx_rate > 2000 / seconds * 0.9 && s.nets[0].tx_rate == 0);
}

/* What a look costs on this machine, with all its devices. */
static void is_cheap(void **state) {
    BP_CLEANUP(bp_host_closep) struct bp_host *h = NULL;
    static struct bp_host_state s;
    double sum = 0;

    (void) state;
    assert_int_equal(bp_host_open(&(struct bp_host_opts){ .data = "/tmp" }, &h), 0);
    for (int i = 0; i < 50; i++) {
        bp_host_look(h);
        bp_host_get(h, &s);
        sum += i ? s.look_s : 0; /* the first one lists devices */
    }
    print_message("# a look takes %.3f ms of CPU time\n", sum / 49 * 1e3);
    assert_true(sum / 49 < 0.05); /* 1 % of a core at one a second, with room for slow machines */
    assert_true(s.disk_size > 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_names),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(raspberry_pi),
        cmocka_unit_test(laptop),
        cmocka_unit_test(virtual_machine),
        cmocka_unit_test(nothing_there),
        CASE(rates),
        cmocka_unit_test(is_cheap),
    };

    return cmocka_run_group_tests_name("monitor/host", tests, NULL, NULL);
}
