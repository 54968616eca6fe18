#include "access/access-priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const proxies[] = { "127.0.0.1", "::1", "unix", NULL };

static void clients(void **state) {
    static const struct {
        const char *peer, *header, *want;
    } cases[] = {
        { "192.0.2.7:51234", NULL, "192.0.2.7" },
        { "[2001:db8:1:2:3:4:5:6]:80", NULL, "2001:db8:1:2::" }, /* a host has a /64 */
        { "[::ffff:192.0.2.7]:80", NULL, "192.0.2.7" },
        { "unix", NULL, "unix" },
        { "unknown", NULL, "unknown" },
        /* who is no proxy of ours is not believed */
        { "192.0.2.7:1", "198.51.100.1", "192.0.2.7" },
        { "127.0.0.2:1", "198.51.100.1", "127.0.0.2" },
        { "127.0.0.1:1", "198.51.100.1", "198.51.100.1" },
        { "[::1]:1", "198.51.100.1", "198.51.100.1" },
        { "unix", "2001:db8::1", "2001:db8::" },
        /* of a list the last, which the proxy has seen */
        { "127.0.0.1:1", "10.0.0.1, 198.51.100.1", "198.51.100.1" },
        { "127.0.0.1:1", "10.0.0.1,\t198.51.100.1 ", "198.51.100.1" },
        { "127.0.0.1:1", ",,, 198.51.100.1", "198.51.100.1" },
        /* no address at all */
        { "127.0.0.1:1", "", "127.0.0.1" },
        { "127.0.0.1:1", "198.51.100.1,", "127.0.0.1" },
        { "127.0.0.1:1", "somebody", "127.0.0.1" },
        { "127.0.0.1:1", "198.51.100.1:80", "127.0.0.1" },
        { "127.0.0.1:1", "[2001:db8::1]", "127.0.0.1" },
        { "127.0.0.1:1", "198.51.100.999", "127.0.0.1" },
        { "127.0.0.1:1",
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
          "127.0.0.1" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        char got[BP_THROTTLE_KEY];

        bp_access_client_of(cases[i].peer, proxies, cases[i].header, got);
        if (!bp_streq(got, cases[i].want))
            fail_msg("%s, %s: '%s', expected '%s'", cases[i].peer,
                     cases[i].header ? cases[i].header : "-", got, cases[i].want);
    }
}

static void roles(void **state) {
    (void) state;
    assert_int_equal(bp_access_role("viewer"), BP_HTTP_VIEWER);
    assert_int_equal(bp_access_role("admin"), BP_HTTP_ADMIN);
    assert_int_equal(bp_access_role("public"), BP_HTTP_PUBLIC); /* that is no role */
    assert_int_equal(bp_access_role("Admin"), BP_HTTP_PUBLIC);
    assert_int_equal(bp_access_role(""), BP_HTTP_PUBLIC);
    assert_int_equal(bp_access_role(NULL), BP_HTTP_PUBLIC);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(clients), cmocka_unit_test(roles) };

    return cmocka_run_group_tests_name("access/peer", tests, NULL, NULL);
}
