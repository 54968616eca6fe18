#include "cli/domains.h"

#include <errno.h>

#include "base/macro.h"

enum { DOMAIN_MAX = 232 }; /* beyond it RTPS has no port numbers */

static int add(const char *text, uint32_t *ret, size_t *n, size_t cap, struct bp_error *err) {
    for (const char *p = text;;) {
        char *end;
        unsigned long id = strtoul(p, &end, 10);
        bool known = false;

        if (end == p || *p < '0' || *p > '9' || (*end && *end != ',') || id > DOMAIN_MAX)
            return bp_fail(err, BP_EUSAGE, "--domain '%s': expected numbers from 0 to %d", text,
                           DOMAIN_MAX);
        for (size_t i = 0; i < *n; i++)
            known = known || ret[i] == id;
        if (!known && *n == cap)
            return bp_fail(err, BP_EUSAGE, "--domain: at most %zu domains", cap);
        if (!known)
            ret[(*n)++] = (uint32_t) id;
        if (!*end)
            return 0;
        p = end + 1;
    }
}

int bp_cli_domains(const struct bp_opt_list *words, uint32_t *ret, size_t cap,
                   struct bp_error *err) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    const char *env = getenv("ROS_DOMAIN_ID");
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < words->n; i++)
        r = add(words->v[i], ret, &n, cap, err);
    if (r >= 0 && n == 0)
        r = add(env && *env ? env : "0", ret, &n, cap, err);
    return r < 0 ? r : (int) n;
}
