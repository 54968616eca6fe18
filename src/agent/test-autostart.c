#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/autostart.h"
#include "base/buf.h"

static void words(void **state) {
    static const struct {
        const char *word;
        int want;
    } cases[] = {
        { "", BP_AUTOSTART_NEVER },
        { "false", BP_AUTOSTART_NEVER },
        { "true", BP_AUTOSTART_BOOT },
        { "boot", BP_AUTOSTART_BOOT },
        { "first_topic", BP_AUTOSTART_FIRST_TOPIC },
        { "/robot1/*", BP_AUTOSTART_PATTERN },
        { "*scan*", BP_AUTOSTART_PATTERN },
        { "first", BP_ECONFIG },
        { "TRUE", BP_ECONFIG },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_autostart_kind(cases[i].word, NULL) != cases[i].want)
            fail_msg("'%s'", cases[i].word);
}

/* Looks one after the other; of each whether the topic is there (t), gone (-), or a session runs
 * (capital). A '!' is expected where one begins. */
static const struct {
    const char *word, *topic, *looks, *want;
} cases[] = {
    { "first_topic", "/scan", "--ttt", "--!  " },
    { "first_topic", "/rosout", "--ttt", "--   " },
    { "first_topic", "/parameter_events", "-ttt", "-   " },
    { "first_topic", "/a/_hidden/b", "-ttt", "-   " },
    { "first_topic", "/scan", "t", "!" },
    { "first_topic", "/scan", "tTTtt-tT", "!    -! " }, /* stopped by hand, then off and on */
    { "first_topic", "/scan", "-Ttt", "-   " },         /* one runs already */
    { "/robot1/*", "/robot1/scan", "-t", "-!" },
    { "/robot1/*", "/robot2/scan", "-t", "- " },
    { "boot", "/scan", "-t", "- " },
    { "false", "/scan", "-t", "- " },
};

static void looks(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_autostart a = { 0 };

        for (size_t k = 0; cases[i].looks[k]; k++) {
            char c = cases[i].looks[k];
            struct bp_recorder_topic t = { .topic = cases[i].topic, .writers = c != '-' };
            bool due = bp_autostart_due(&a, cases[i].word, &t, 1, c == 'T');

            if (due != (cases[i].want[k] == '!'))
                fail_msg("%s, %s: look %zu", cases[i].word, cases[i].looks, k);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(looks),
    };

    return cmocka_run_group_tests_name("agent/autostart", tests, NULL, NULL);
}
