#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent-priv.h"
#include "agent/openapi.h"
#include "daemon/test-openapi.h"

static void every_route(void **state) {
    (void) state;
    check_routes(&bp_agent_api, bp_agent_routes, bp_agent_routes_count);
    check_docs(&bp_agent_api, bp_agent_routes, bp_agent_routes_count);
}

static void every_name(void **state) {
    (void) state;
    check_names(&bp_agent_api);
}

static void page(void **state) {
    (void) state;
    check_page(bp_agent_openapi(), BP_TEST_SOURCE "/docs/api/openapi.json",
               "bagpipe config openapi");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route),
        cmocka_unit_test(every_name),
        cmocka_unit_test(page),
    };

    return cmocka_run_group_tests_name("agent/openapi", tests, NULL, NULL);
}
