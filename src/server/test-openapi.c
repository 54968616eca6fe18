#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/test-openapi.h"
#include "server/scope.h"
#include "server/server-priv.h"

static const struct bp_api_part *parts[BP_SERVER_PARTS_MAX + 1];
static struct bp_http_route *routes;
static size_t nroutes;
static struct bp_api api;

static int set_up(void **state) {
    (void) state;
    return bp_server_describe(&api, parts, &routes, &nroutes);
}

static int tear_down(void **state) {
    (void) state;
    free(routes);
    return 0;
}

static void every_route(void **state) {
    (void) state;
    check_routes(&api, routes, nroutes);
    check_docs(&api, routes, nroutes);
}

/* Whoever has a scope is refused where nobody has thought of him; that should have been on purpose.
 */
static void every_scope(void **state) {
    unsigned missing = 0;

    (void) state;
    for (size_t i = 0; i < nroutes; i++)
        if ((routes[i].access == BP_HTTP_VIEWER || routes[i].access == BP_HTTP_OPERATOR) &&
            !bp_server_scope_knows(routes[i].pattern)) {
            print_error("%s %s: not in the table of scope.c\n", routes[i].method,
                        routes[i].pattern);
            missing++;
        }
    assert_int_equal(missing, 0);
}

static void every_name(void **state) {
    (void) state;
    check_names(&api);
}

static void page(void **state) {
    (void) state;
    check_page(bp_server_openapi(), BP_TEST_SOURCE "/docs/api/openapi-server.json",
               "bagpipe config --server openapi");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route),
        cmocka_unit_test(every_scope),
        cmocka_unit_test(every_name),
        cmocka_unit_test(page),
    };

    return cmocka_run_group_tests_name("server/openapi", tests, set_up, tear_down);
}
