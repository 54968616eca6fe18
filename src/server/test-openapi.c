#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/test-openapi.h"
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
        cmocka_unit_test(every_name),
        cmocka_unit_test(page),
    };

    return cmocka_run_group_tests_name("server/openapi", tests, set_up, tear_down);
}
