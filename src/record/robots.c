#include "record/robots.h"

#include <errno.h>
#include <stdio.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/units.h"

enum { MAX_NAME = 128, MAX_NAMES = 4096 };

struct space { /* a first-level namespace, or "domain7" */
    char name[MAX_NAME];
    bool node, marker;
    UT_hash_handle hh;
};

struct rule {
    char *name;     /* owned; may hold $1 */
    int64_t domain; /* -1 = any */
    char *space;    /* owned: namespace with its first slash and no last one, or NULL */
    pcre2_code *re; /* owned, or NULL */
};

struct bp_robots {
    struct rule *rules; /* owned */
    size_t nrules;
    bool many_domains;
    char host[MAX_NAME];
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

static void rule_done(struct rule *x) {
    free(x->name);
    free(x->space);
    pcre2_code_free(x->re);
    *x = (struct rule){ 0 };
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
        rule_done(&r->rules[i]);
    free(r->rules);
    free(r);
}

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

/* ---- rules ---- */

static int compile(const char *text, pcre2_code **ret, struct bp_error *err) {
    PCRE2_UCHAR why[120] = "";
    PCRE2_SIZE at;
    int code;

    *ret = pcre2_compile((PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
    if (*ret)
        return 0;
    (void) pcre2_get_error_message(code, why, sizeof why);
    return bp_fail(err, BP_EUSAGE, "'%s': %s at character %zu", text, (const char *) why, at + 1);
}

static int read_rule(const char *what, struct rule *x, struct bp_error *err) {
    size_t n = strlen(what);

    x->domain = -1;
    if (*what == '~')
        return compile(what + 1, &x->re, err);
    if (bp_starts_with(what, "domain:")) {
        if (bp_parse_int(what + strlen("domain:"), &x->domain) < 0 || x->domain < 0 ||
            x->domain > 232)
            return bp_fail(err, BP_EUSAGE, "'%s': a domain is a number from 0 to 232", what);
        return 0;
    }
    if (*what != '/' || n < 2)
        return bp_fail(err, BP_EUSAGE, "'%s': expected domain:N, a namespace or ~REGEX", what);
    x->space = strndup(what, n - (what[n - 1] == '/'));
    return x->space ? 0 : bp_fail(err, -ENOMEM, "no memory for rules");
}

int bp_robots_add_rule(struct bp_robots *r, const char *word, struct bp_error *err) {
    const char *eq = strchr(word, '=');
    struct rule x = { 0 }, *grown;
    int k;

    if (!eq || eq == word || eq - word >= MAX_NAME)
        return bp_fail(err, BP_EUSAGE,
                       "'%s': expected NAME=domain:N, NAME=/namespace or NAME=~REGEX", word);
    k = read_rule(eq + 1, &x, err);
    if (k == 0) {
        x.name = strndup(word, (size_t) (eq - word));
        grown = x.name ? realloc(r->rules, (r->nrules + 1) * sizeof *grown) : NULL;
        if (grown) {
            r->rules = grown;
            r->rules[r->nrules++] = x;
            return 0;
        }
        k = bp_fail(err, -ENOMEM, "no memory for rules");
    }
    rule_done(&x);
    return k;
}

/* $1 becomes what the first group matched. */
static void expand(const char *name, const char *topic, const PCRE2_SIZE *v, int groups,
                   char ret[static MAX_NAME]) {
    const char *sign = strstr(name, "$1");

    if (sign && groups > 1 && v[2] != PCRE2_UNSET)
        (void) snprintf(ret, MAX_NAME, "%.*s%.*s%s", (int) (sign - name), name, (int) (v[3] - v[2]),
                        topic + v[2], sign + 2);
    else
        (void) snprintf(ret, MAX_NAME, "%s", name);
}

static bool fits_regex(const struct rule *x, const char *topic, char ret[static MAX_NAME]) {
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(x->re, NULL);
    int groups = m ? pcre2_match(x->re, (PCRE2_SPTR) topic, PCRE2_ZERO_TERMINATED, 0, 0, m, NULL)
                   : PCRE2_ERROR_NOMEMORY;

    if (groups > 0)
        expand(x->name, topic, pcre2_get_ovector_pointer(m), groups, ret);
    pcre2_match_data_free(m);
    return groups > 0;
}

static bool fits(const struct rule *x, uint32_t domain, const char *topic,
                 char ret[static MAX_NAME]) {
    size_t n;

    if (x->re)
        return fits_regex(x, topic, ret);
    n = x->space ? strlen(x->space) : 0;
    if (x->space ? strncmp(topic, x->space, n) != 0 || topic[n] != '/' : domain != x->domain)
        return false;
    (void) snprintf(ret, MAX_NAME, "%s", x->name);
    return true;
}

const char *bp_robots_of(struct bp_robots *r, uint32_t domain, const char *topic) {
    char name[MAX_NAME];
    struct space *s;
    const char *rest;

    for (size_t i = 0; i < r->nrules; i++)
        if (fits(&r->rules[i], domain, topic, name)) {
            s = find(r, name, true);
            return s ? s->name : r->host;
        }
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
