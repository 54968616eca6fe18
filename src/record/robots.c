#include "record/robots.h"

#include <errno.h>
#include <stdio.h>

#include <uthash.h>

#include "base/buf.h"
#include "base/units.h"
#include "record/select.h"

enum { MAX_NAME = 128, MAX_NAMES = 4096 };

struct space { /* a first-level namespace, or "domain7" */
    char name[MAX_NAME];
    bool node, marker;
    UT_hash_handle hh;
};

struct rule {
    int64_t domain; /* -1 = by pattern */
    char *text;     /* owned: pattern and name */
    const char *pattern, *name;
};

struct bp_robots {
    bool many_domains;
    char host[MAX_NAME];
    struct rule *rules; /* owned */
    size_t nrules;
    struct space *spaces; /* owned, by name */
};

static const char *const MARKERS[] = { "tf",           "tf_static", "odom",
                                       "joint_states", "imu",       "battery_state" };

struct bp_robots *bp_robots_new(bool many_domains) {
    struct bp_robots *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;

    r->many_domains = many_domains;
    if (gethostname(r->host, sizeof r->host - 1) < 0 || !r->host[0])
        (void) snprintf(r->host, sizeof r->host, "robot");
    return r;
}

void bp_robots_free(struct bp_robots *r) {
    struct space *s, *next;

    if (!r)
        return;

    HASH_ITER(hh, r->spaces, s, next) {
        HASH_DEL(r->spaces, s);
        free(s);
    }
    for (size_t i = 0; i < r->nrules; i++)
        free(r->rules[i].text);
    free(r->rules);
    free(r);
}

/* ---- rules ---- */

static int rule_parse(const char *text, struct rule *ret, struct bp_error *err) {
    static const char domain[] = "domain:";
    struct rule r = { .domain = -1, .text = strdup(text) };
    char *eq = r.text ? strrchr(r.text, '=') : NULL;

    if (!r.text)
        return bp_fail(err, -ENOMEM, "no memory for rules");
    if (eq)
        *eq = 0;
    r.pattern = r.text;
    r.name = eq ? eq + 1 : "";
    if (bp_starts_with(r.text, domain) &&
        (bp_parse_int(r.text + sizeof domain - 1, &r.domain) < 0 || r.domain < 0 || r.domain > 232))
        eq = NULL;
    if (!eq || eq == r.text || !*r.name || strlen(r.name) >= MAX_NAME || strchr(r.name, '/')) {
        free(r.text);
        return bp_fail(err, BP_EUSAGE, "'%s': expected TOPIC=ROBOT or domain:N=ROBOT", text);
    }
    *ret = r;
    return 0;
}

int bp_robots_rule_check(const char *rule, struct bp_error *err) {
    struct rule r;
    int k = rule_parse(rule, &r, err);

    if (k == 0)
        free(r.text);
    return k;
}

int bp_robots_configure(struct bp_robots *r, const char *host, const char *const *rules, size_t n) {
    if (host && *host)
        (void) snprintf(r->host, sizeof r->host, "%s", host);
    r->rules = calloc(n + 1, sizeof *r->rules);
    if (!r->rules)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        int k = rule_parse(rules[i], &r->rules[r->nrules], NULL);

        if (k < 0)
            return k;
        r->nrules++;
    }
    return 0;
}

static const char *by_rule(const struct bp_robots *r, uint32_t domain, const char *topic) {
    for (size_t i = 0; i < r->nrules; i++) {
        const struct rule *x = &r->rules[i];

        if (x->domain >= 0 ? x->domain == domain : bp_topic_match(x->pattern, topic))
            return x->name;
    }
    return NULL;
}

/* ---- namespaces ---- */

static struct space *find(struct bp_robots *r, const char *name, bool add) {
    struct space *s;

    HASH_FIND_STR(r->spaces, name, s);
    if (s || !add || HASH_COUNT(r->spaces) >= MAX_NAMES)
        return s;

    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    (void) snprintf(s->name, sizeof s->name, "%s", name);
    HASH_ADD_STR(r->spaces, name, s);
    return s;
}

/* "/robot1/imu" -> "robot1"; false for names without a namespace. */
static bool first_level(const char *name, char space[static MAX_NAME], const char **ret_rest) {
    const char *start = *name == '/' ? name + 1 : name;
    const char *slash = strchr(start, '/');

    if (!slash || slash == start || slash - start >= MAX_NAME)
        return false;

    memcpy(space, start, (size_t) (slash - start));
    space[slash - start] = 0;
    *ret_rest = slash + 1;
    return true;
}

static bool has_marker(const char *rest) {
    while (*rest) {
        size_t n = strcspn(rest, "/");

        for (size_t i = 0; i < BP_COUNT(MARKERS); i++)
            if (strlen(MARKERS[i]) == n && memcmp(MARKERS[i], rest, n) == 0)
                return true;
        rest += n + (rest[n] == '/');
    }
    return false;
}

static bool see(struct bp_robots *r, const char *name, bool node) {
    char space[MAX_NAME];
    struct space *s;
    const char *rest;
    bool was;

    if (r->many_domains || !first_level(name, space, &rest) || (!node && !has_marker(rest)))
        return false;

    s = find(r, space, true);
    if (!s)
        return false;

    was = s->node && s->marker;
    s->node |= node;
    s->marker |= !node;
    return !was && s->node && s->marker;
}

bool bp_robots_see_topic(struct bp_robots *r, const char *topic) {
    return see(r, topic, false);
}

bool bp_robots_see_node(struct bp_robots *r, const char *node) {
    return see(r, node, true);
}

const char *bp_robots_of(struct bp_robots *r, uint32_t domain, const char *topic) {
    const char *rest, *told = by_rule(r, domain, topic);
    char name[MAX_NAME];
    struct space *s;

    if (told)
        return told;
    if (r->many_domains) {
        (void) snprintf(name, sizeof name, "domain%u", domain);
        s = find(r, name, true);
        return s ? s->name : r->host;
    }

    if (!first_level(topic, name, &rest))
        return r->host;
    s = find(r, name, false);
    return s && s->node && s->marker ? s->name : r->host;
}
