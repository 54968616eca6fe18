/* Everything that is read from /proc and /sys; the first byte says as what. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "monitor/host-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name) {
    assert(strnlen(name, BP_HOST_NAME) < BP_HOST_NAME);
    for (; *name; name++)
        assert(*name > ' ' && *name < 127);
}

static void rows(struct bp_str text, bool disks) {
    struct bp_host_disk_row d[4];
    struct bp_host_net_row n[4];
    size_t got = disks ? bp_host_parse_diskstats(text, d, 4) : bp_host_parse_netdev(text, n, 4);

    assert(got <= 4);
    for (size_t i = 0; i < got; i++)
        check_name(disks ? d[i].name : n[i].name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bp_host_ticks all, cores[4];
    struct bp_host_memory m;
    struct bp_host_process_row p;
    char name[BP_HOST_NAME];
    struct bp_str text;
    double load[3];
    int64_t v;
    size_t n;

    if (size == 0)
        return 0;
    text = (struct bp_str){ (const char *) data + 1, size - 1 };
    switch (data[0] % 8) {
    case 0:
        if (bp_host_parse_stat(text, &all, cores, 4, &n))
            assert(n <= 4 && all.idle <= all.total);
        break;
    case 1:
        if (bp_host_parse_meminfo(text, &m))
            assert(m.available <= m.total && m.swap_free <= m.swap_total);
        break;
    case 2:
        if (bp_host_parse_loadavg(text, load))
            assert(isfinite(load[0]) && load[2] >= 0);
        break;
    case 3:
    case 4:
        rows(text, data[0] % 8 == 3);
        break;
    case 5:
        (void) bp_host_parse_process(text, &p);
        break;
    case 6:
        (void) bp_host_parse_number(text, &v);
        break;
    default:
        if (bp_host_parse_name(text, name))
            check_name(name);
        break;
    }
    return 0;
}
