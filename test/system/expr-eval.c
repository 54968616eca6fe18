/* Judges conditions over messages: a line "TYPE TAB CONDITION TAB HEX" of stdin, answered with
 * true, false, unknown, or "! " and why not. Topics of the condition are /t. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/expr.h"
#include "wire/schema.h"

enum { LINE = 1 << 20 };

static struct bp_schema *schema_of(const char *type) {
    static struct known {
        char type[80];
        struct bp_schema *schema;
    } known[32];
    BP_AUTO_BUF text = { 0 };
    size_t i = 0;

    while (i < BP_COUNT(known) - 1 && known[i].schema && strcmp(known[i].type, type) != 0)
        i++;
    if (known[i].schema)
        return known[i].schema;
    (void) snprintf(known[i].type, sizeof known[i].type, "%s", type);
    if (bp_typedb_text(type, &text, NULL) < 0 ||
        bp_schema_parse(type, "ros2msg", (struct bp_str){ (char *) text.p, text.n },
                        &known[i].schema, NULL) < 0)
        return NULL;
    return known[i].schema;
}

static const char *judge(const char *type, const char *when, const char *hex,
                         struct bp_error *err) {
    static const char *const words[] = { "false", "true", "unknown" };
    static uint8_t cdr[LINE];
    BP_CLEANUP(bp_expr_freep) struct bp_expr *e = NULL;
    BP_CLEANUP(bp_program_freep) struct bp_program *p = NULL;
    BP_CLEANUP(bp_state_freep) struct bp_state *s = NULL;
    struct bp_expr_bound bound[BP_EXPR_MAX_TOPICS] = { { "/t", schema_of(type) } };
    size_t n = 0;
    unsigned v;

    /* NOLINTNEXTLINE(cert-err34-c): two digits always fit */
    for (; hex[2 * n] && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        cdr[n] = (uint8_t) v;
    if (!bound[0].schema || bp_expr_parse(when, &e, err) < 0)
        return NULL;
    for (size_t i = 1; i < bp_expr_topics(e); i++)
        bound[i] = bound[0];
    if (bp_program_new(e, bound, &p, err) < 0)
        return NULL;
    s = bp_state_new(e);
    for (size_t i = 0; s && i < bp_expr_topics(e); i++)
        if (bp_program_feed(p, s, i, cdr, n, 0, err) < 0)
            return NULL;
    return s ? words[bp_program_when(p, s, NULL)] : NULL;
}

int main(void) {
    static char line[LINE];

    while (fgets(line, sizeof line, stdin)) {
        char *save = NULL, *type = strtok_r(line, "\t\n", &save);
        char *when = strtok_r(NULL, "\t\n", &save), *hex = strtok_r(NULL, "\t\n", &save);
        struct bp_error err = { 0 };
        const char *word = type && when && hex ? judge(type, when, hex, &err) : NULL;

        (void) printf("%s%s\n", word ? word : "! ", word ? "" : err.text);
        (void) fflush(stdout);
    }
    return 0;
}
