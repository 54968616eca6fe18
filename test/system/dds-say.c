/* Publishes what it is told on stdin, one command a line; answers each with a line:
 *
 *     advertise N TOPIC TYPE reliable|best_effort|latched NODE|-     ok
 *     write N HEX                                                    ok, or why not
 *     matched N                                                      a number
 *     close N                                                        ok; its node goes, too
 *
 * dds-say DOMAIN. The bytes are CDR with their encapsulation header, made by somebody else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dds/dds.h"

enum { PUBS = 64, LINE = 1 << 22 };

static struct say {
    struct bp_dds *own; /* a participant each, so that a node can go away */
    struct bp_node *node;
    struct bp_pub *pub;
} pubs[PUBS];

static const char *advertise(unsigned domain, struct say *s, char *words) {
    char *save = NULL, *topic = strtok_r(words, " ", &save), *type = strtok_r(NULL, " ", &save);
    char *qos = strtok_r(NULL, " ", &save), *node = strtok_r(NULL, " ", &save);
    struct bp_pub_opts o = { .topic = topic, .type = type, .qos = bp_qos_default };
    struct bp_dds_opts d = { .domain = domain, .localhost_only = true };
    static struct bp_error err;

    if (!topic || !type || !qos || !node)
        return "words are missing";
    if (strcmp(qos, "best_effort") == 0)
        o.qos.reliability = BP_RELIABILITY_BEST_EFFORT;
    if (strcmp(qos, "latched") == 0)
        o.qos.durability = BP_DURABILITY_TRANSIENT_LOCAL;
    if (bp_dds_open(&d, NULL, &s->own, &err) < 0)
        return err.text;
    if (strcmp(node, "-") != 0 && bp_dds_node(s->own, "/", node, &s->node, &err) < 0)
        return err.text;
    o.node = s->node;
    return bp_dds_advertise(s->own, &o, &s->pub, &err) < 0 ? err.text : "ok";
}

static const char *put(struct say *s, const char *hex) {
    static uint8_t cdr[LINE / 2];
    size_t n = 0;
    unsigned v;

    /* NOLINTNEXTLINE(cert-err34-c): two digits always fit */
    for (; hex[2 * n] && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        cdr[n] = (uint8_t) v;
    return s->pub && bp_pub_write(s->pub, cdr, n, 0) > 0 ? "ok" : "not written";
}

static const char *obey(unsigned domain, char *line) {
    static char number[32];
    char *save = NULL, *what = strtok_r(line, " \n", &save), *id = strtok_r(NULL, " \n", &save);
    struct say *s = id ? &pubs[strtoul(id, NULL, 10) % PUBS] : NULL;
    char *rest = strtok_r(NULL, "\n", &save);

    if (!what || !s)
        return "what?";
    if (strcmp(what, "advertise") == 0)
        return advertise(domain, s, rest ? rest : id);
    if (strcmp(what, "write") == 0)
        return put(s, rest ? rest : "");
    if (strcmp(what, "matched") == 0) {
        (void) snprintf(number, sizeof number, "%d", s->pub ? bp_pub_matched(s->pub) : 0);
        return number;
    }
    bp_dds_close(s->own);
    *s = (struct say){ 0 };
    return "ok";
}

int main(int argc, char *argv[]) {
    static char line[LINE];
    unsigned domain = argc > 1 ? (unsigned) strtoul(argv[1], NULL, 10) : 0;

    while (fgets(line, sizeof line, stdin)) {
        (void) puts(obey(domain, line));
        (void) fflush(stdout);
    }
    for (size_t i = 0; i < PUBS; i++)
        bp_dds_close(pubs[i].own);
    return 0;
}
