#include "agent/trigger-rule.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"

static const char *const action_names[] = {
    [BP_ACTION_MARK] = "mark",
    [BP_ACTION_SNAPSHOT] = "snapshot",
    [BP_ACTION_START_SESSION] = "start_session",
    [BP_ACTION_STOP_SESSION] = "stop_session",
    [BP_ACTION_ALERT] = "alert",
    [BP_ACTION_WEBHOOK] = "webhook",
};
_Static_assert(BP_COUNT(action_names) == BP_ACTION_N_, "every action has a name");

const char *bp_trigger_action_text(enum bp_trigger_action_kind kind) {
    return action_names[kind];
}

/* What is being read. */
struct reading {
    const char *where; /* "agent.yaml, line 12" or "triggers" */
    const char *name;
    struct bp_error *err;
};

#define COMPLAIN(r, key, fmt, ...)                                                          \
    bp_fail((r)->err, BP_ECONFIG, "%s: trigger '%s': " key ": " fmt, (r)->where, (r)->name, \
            __VA_ARGS__)

static void actions_done(struct bp_trigger_action *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(v[i].arg);
        for (size_t k = 0; k < v[i].nheaders; k++) {
            free(v[i].headers[k].name);
            free(v[i].headers[k].value);
        }
    }
}

void bp_trigger_rule_done(struct bp_trigger_rule *rule) {
    bp_expr_free(rule->expr);
    free(rule->when);
    free(rule->text);
    actions_done(rule->actions, rule->nactions);
    actions_done(rule->end, rule->nend);
    *rule = (struct bp_trigger_rule){ 0 };
}

void bp_trigger_rules_done(struct bp_trigger_rules *rules) {
    for (size_t i = 0; i < rules->n; i++)
        bp_trigger_rule_done(&rules->v[i]);
    free(rules->v);
    *rules = (struct bp_trigger_rules){ 0 };
}

/* ---- values ---- */

static int text_of(const struct reading *r, const json_t *o, const char *key, const char **ret) {
    const json_t *v = json_object_get(o, key);

    if (!v)
        return 0;
    if (!json_is_string(v))
        return bp_fail(r->err, BP_ECONFIG, "%s: trigger '%s': %s: expected one value", r->where,
                       r->name, key);
    *ret = json_string_value(v);
    return 0;
}

static int span_of(const struct reading *r, const json_t *o, const char *key, bp_ns_t *ret) {
    const char *text = NULL;
    int k = text_of(r, o, key, &text);

    if (k < 0 || !text)
        return k;
    if (bp_parse_duration(text, ret) < 0 || *ret < 0 || *ret > BP_SEC * 86400 * 7)
        return bp_fail(r->err, BP_ECONFIG,
                       "%s: trigger '%s': %s: '%s' is not a duration from 0 to 7d", r->where,
                       r->name, key, text);
    return 0;
}

static int enabled_of(const struct reading *r, const json_t *o, bool *ret) {
    const char *text = NULL;
    int k = text_of(r, o, "enabled", &text);

    if (k < 0 || !text)
        return k;
    *ret = bp_streq(text, "true") || bp_streq(text, "yes") || bp_streq(text, "on");
    if (!*ret && !bp_streq(text, "false") && !bp_streq(text, "no") && !bp_streq(text, "off"))
        return COMPLAIN(r, "enabled", "'%s' is not true or false", text);
    return 0;
}

/* ---- actions ---- */

static int severity_of(const char *text, enum bp_severity *ret) {
    for (int i = 0; i < BP_SEVERITY_COUNT_; i++)
        if (bp_streq(bp_severity_text((enum bp_severity) i), text)) {
            *ret = (enum bp_severity) i;
            return 0;
        }
    return -EINVAL;
}

/* "$NAME" or "${NAME}" stands for a variable of the environment: for tokens in addresses. */
static char *resolve(const char *arg) {
    const char *value;
    char name[128];
    size_t n;

    if (*arg != '$')
        return strdup(arg);
    n = strcspn(arg, "}");
    (void) snprintf(name, sizeof name, "%.*s", (int) (n - (arg[1] == '{' ? 2 : 1)),
                    arg + (arg[1] == '{' ? 2 : 1));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    value = getenv(name);
    return strdup(value ? value : "");
}

/* "secret:NAME", with a name that the vault may have. */
static bool is_secret(const char *text) {
    size_t n = strlen(text);

    if (!bp_starts_with(text, "secret:") || n == 7 || n > 7 + 64)
        return false;
    for (text += 7; *text; text++)
        if (!isalnum((unsigned char) *text) && !strchr("._-", *text))
            return false;
    return true;
}

static bool is_token(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char) s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i]))
            return false;
    return n > 0;
}

/* "bearer=VALUE" or "header:NAME=VALUE". */
static int add_header(const struct reading *r, struct bp_trigger_action *a, const char *word) {
    bool bearer = bp_starts_with(word, "bearer="), other = bp_starts_with(word, "header:");
    const char *name = word + (bearer ? 0 : 7), *is = strchr(word, '=');
    struct bp_trigger_header *h = &a->headers[a->nheaders];

    if (a->nheaders == BP_TRIGGER_HEADERS)
        return COMPLAIN(r, "do", "webhook: at most %d headers", BP_TRIGGER_HEADERS);
    if ((!bearer && !other) || !is || (other && !is_token(name, (size_t) (is - name))))
        return COMPLAIN(r, "do", "%s",
                        "webhook: behind the address bearer=VALUE or header:NAME=VALUE are "
                        "expected");
    if (bearer && is[1] != '$' && !is_secret(is + 1))
        return COMPLAIN(r, "do", "%s",
                        "webhook: a token in the clear: put it into the vault (bagpipe secret set "
                        "NAME) and write bearer=secret:NAME, or bearer=$NAME for a variable of the "
                        "environment");
    a->nheaders++;
    h->bearer = bearer;
    h->name = bearer ? strdup("Authorization") : strndup(name, (size_t) (is - name));
    h->value = resolve(is + 1);
    if (!h->name || !h->value)
        return bp_fail(r->err, -ENOMEM, "out of memory");
    if (bp_starts_with(h->value, "secret:") && !is_secret(h->value))
        return COMPLAIN(r, "do", "webhook: '%s' is no name of a secret", h->value + 7);
    return 0;
}

/* Words behind the address are headers. */
static int read_webhook(const struct reading *r, struct bp_trigger_action *a, const char *text) {
    BP_AUTO_FREE char *copy = strdup(text);
    char *save = NULL, *word = copy ? strtok_r(copy, " ", &save) : NULL;
    int k = 0;

    a->arg = copy ? resolve(word ? word : "") : NULL;
    if (!a->arg)
        return bp_fail(r->err, -ENOMEM, "out of memory");
    while (k == 0 && word && (word = strtok_r(NULL, " ", &save)))
        k = add_header(r, a, word);
    return k;
}

static int check_action(const struct reading *r, struct bp_trigger_rule *rule,
                        const struct bp_trigger_action *a) {
    switch (a->kind) {
    case BP_ACTION_ALERT:
        if (*a->arg && severity_of(a->arg, &rule->severity) < 0)
            return COMPLAIN(r, "do", "alert '%s': expected info, warning or critical", a->arg);
        return 0;
    case BP_ACTION_WEBHOOK:
        if (!bp_starts_with(a->arg, "http://") && !bp_starts_with(a->arg, "https://") &&
            !is_secret(a->arg))
            return COMPLAIN(r, "do", "%s",
                            "webhook: expected http://… or https://…, secret:NAME of the vault, or "
                            "$NAME of a variable of the environment that holds it");
        return 0;
    case BP_ACTION_SNAPSHOT:
        if (*a->arg)
            return COMPLAIN(r, "do", "%s", "snapshot takes no words");
        return 0;
    default:
        return 0;
    }
}

static int add_action(const struct reading *r, struct bp_trigger_rule *rule, const char *text,
                      struct bp_trigger_action *v, size_t *n) {
    size_t len = strcspn(text, " ");
    struct bp_trigger_action *a = &v[*n];
    int kind = 0;

    if (*n == BP_TRIGGER_ACTIONS)
        return COMPLAIN(r, "do", "at most %d actions", BP_TRIGGER_ACTIONS);
    while (kind < BP_ACTION_N_ &&
           (strlen(action_names[kind]) != len || memcmp(action_names[kind], text, len) != 0))
        kind++;
    if (kind == BP_ACTION_N_)
        return COMPLAIN(r, "do",
                        "unknown action '%.*s'; there are mark, snapshot, start_session, "
                        "stop_session, alert and webhook",
                        (int) BP_MIN(len, (size_t) 40), text);
    text += len;
    text += strspn(text, " ");
    *a = (struct bp_trigger_action){ .kind = (enum bp_trigger_action_kind) kind };
    ++*n;
    if (kind == BP_ACTION_WEBHOOK) {
        int e = read_webhook(r, a, text);

        return e < 0 ? e : check_action(r, rule, a);
    }
    a->arg = resolve(text);
    return a->arg ? check_action(r, rule, a) : bp_fail(r->err, -ENOMEM, "out of memory");
}

static int actions_of(const struct reading *r, const json_t *o, const char *key,
                      struct bp_trigger_rule *rule, struct bp_trigger_action *v, size_t *n) {
    const json_t *list = json_object_get(o, key);
    int k = 0;

    if (json_is_string(list))
        return add_action(r, rule, json_string_value(list), v, n);
    for (size_t i = 0; i < json_array_size(list) && k == 0; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        k = text ? add_action(r, rule, text, v, n) : COMPLAIN(r, "do", "%s", "expected words");
    }
    return k;
}

/* ---- a rule ---- */

static int check_keys(const struct reading *r, const json_t *o) {
    static const char *const known[] = { "name", "when", "for",      "debounce", "cooldown", "text",
                                         "do",   "_at",  "severity", "enabled",  "on_clear" };
    const char *key, *best;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) o, key, v) {
        size_t i = 0;

        while (i < BP_COUNT(known) && !bp_streq(known[i], key))
            i++;
        if (i < BP_COUNT(known))
            continue;
        best = known[0];
        for (i = 1; i < BP_COUNT(known); i++)
            if (bp_edit_distance(key, known[i]) < bp_edit_distance(key, best))
                best = known[i];
        return bp_fail(r->err, BP_ECONFIG, "%s: trigger '%s': unknown key '%s'%s%s%s", r->where,
                       r->name, key, bp_is_likely_typo(key, best) ? ", did you mean '" : "",
                       bp_is_likely_typo(key, best) ? best : "",
                       bp_is_likely_typo(key, best) ? "'?" : "");
    }
    return 0;
}

static bool is_name(const char *s) {
    size_t n = strlen(s);

    for (; *s; s++)
        if (!isalnum((unsigned char) *s) && !strchr("_-.", *s))
            return false;
    return n > 0 && n < BP_TRIGGER_NAME;
}

/* A text where a number is needed is found without a graph. */
static int check_types(const struct bp_expr *e, struct bp_error *err) {
    struct bp_expr_bound none[BP_EXPR_MAX_TOPICS] = { 0 };
    struct bp_program *p = NULL;
    int r = bp_program_new(e, none, &p, err);

    bp_program_free(p);
    return r;
}

int bp_trigger_rule_of(const char *name, const char *when, struct bp_trigger_rule *ret,
                       struct bp_error *err) {
    int r;

    *ret = (struct bp_trigger_rule){ .enabled = true, .severity = BP_SEVERITY_WARNING };
    (void) snprintf(ret->name, sizeof ret->name, "%s", name);
    ret->when = strdup(when);
    ret->text = strdup("");
    if (!ret->when || !ret->text)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_expr_parse(when, &ret->expr, err);
    if (r == 0)
        r = check_types(ret->expr, err);
    if (r == 0)
        ret->hold = bp_expr_for(ret->expr);
    return r;
}

static int read_severity(const struct reading *r, const json_t *o, struct bp_trigger_rule *rule) {
    const char *text = NULL;
    int k = text_of(r, o, "severity", &text);

    if (k == 0 && text && severity_of(text, &rule->severity) < 0)
        return COMPLAIN(r, "severity", "'%s' is not one of info, warning, critical", text);
    return k;
}

static int read_times(const struct reading *r, const json_t *o, struct bp_trigger_rule *rule) {
    bp_ns_t hold = 0;
    int k = span_of(r, o, "for", &hold);

    if (k == 0)
        k = span_of(r, o, "debounce", &rule->debounce);
    if (k == 0)
        k = span_of(r, o, "cooldown", &rule->cooldown);
    rule->hold = BP_MAX(BP_MAX(rule->hold, hold), rule->debounce);
    return k;
}

static int read_rest(const struct reading *r, const json_t *o, struct bp_trigger_rule *rule) {
    const char *text = NULL;
    int k = text_of(r, o, "text", &text);

    if (k == 0 && text) {
        free(rule->text);
        rule->text = strdup(text);
        if (!rule->text)
            return bp_fail(r->err, -ENOMEM, "out of memory");
    }
    if (k == 0)
        k = read_times(r, o, rule);
    if (k == 0)
        k = enabled_of(r, o, &rule->enabled);
    if (k == 0)
        k = read_severity(r, o, rule);
    if (k == 0)
        k = actions_of(r, o, "do", rule, rule->actions, &rule->nactions);
    if (k == 0)
        k = actions_of(r, o, "on_clear", rule, rule->end, &rule->nend);
    if (k == 0 && rule->nactions == 0)
        return COMPLAIN(r, "do", "%s",
                        "say what to do: mark, snapshot, start_session, "
                        "stop_session, alert or webhook");
    return k;
}

static int read_rule(const json_t *o, struct bp_trigger_rule *rule, struct bp_error *err) {
    const char *where = json_string_value(json_object_get(o, "_at"));
    const char *name = json_string_value(json_object_get(o, "name")), *when = NULL;
    struct reading r = { where ? where : "triggers", name ? name : "", err };
    int k;

    if (!name || !is_name(name))
        return bp_fail(err, BP_ECONFIG,
                       "%s: trigger '%s': name: expected letters, digits, '_', '-' and '.', at "
                       "most %d",
                       r.where, r.name, BP_TRIGGER_NAME - 1);
    if (bp_streq(name, "test"))
        return COMPLAIN(&r, "name", "%s",
                        "this is what trying a condition is called; take another");
    k = check_keys(&r, o);
    if (k == 0)
        k = text_of(&r, o, "when", &when);
    if (k < 0)
        return k;
    if (!when)
        return COMPLAIN(&r, "when", "%s", "is missing: what must be the case?");
    k = bp_trigger_rule_of(name, when, rule, err);
    if (k < 0)
        return bp_prefix(err, k == BP_EUSAGE || k == BP_ELIMIT ? BP_ECONFIG : k,
                         "%s: trigger '%s': when", r.where, r.name);
    return read_rest(&r, o, rule);
}

static int check_double(const struct bp_trigger_rules *rules, struct bp_error *err) {
    const struct bp_trigger_rule *last = &rules->v[rules->n - 1];

    for (size_t i = 0; i + 1 < rules->n; i++)
        if (bp_streq(rules->v[i].name, last->name))
            return bp_fail(err, BP_ECONFIG, "triggers: there are two named '%s'", last->name);
    return 0;
}

int bp_trigger_rules_parse(const struct bp_config_list *list, struct bp_trigger_rules *ret,
                           struct bp_error *err) {
    int r = 0;

    *ret = (struct bp_trigger_rules){ .v = calloc(list->n + 1, sizeof *ret->v) };
    if (!ret->v)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (list->n > BP_TRIGGERS_MAX)
        return bp_fail(err, BP_ECONFIG, "triggers: at most %d", BP_TRIGGERS_MAX);
    for (size_t i = 0; i < list->n && r == 0; i++) {
        json_error_t why;
        json_t *o = json_loads(list->v[i], JSON_REJECT_DUPLICATES, &why);

        if (!json_is_object(o))
            r = bp_fail(err, BP_ECONFIG, "triggers: '%.60s' is no JSON object: %s", list->v[i],
                        o ? "" : why.text);
        else
            r = read_rule(o, &ret->v[ret->n++], err);
        if (r == 0)
            r = check_double(ret, err);
        json_decref(o);
    }
    return r;
}

const char *bp_trigger_webhook_shown(const char *url, char *ret, size_t cap) {
    const char *host = strstr(url, "://"), *at;
    size_t scheme = host ? (size_t) (host + 3 - url) : 0, n;

    host = url + scheme;
    n = strcspn(host, "/?#");
    at = memchr(host, '@', n); /* "user:password@" */
    if (at) {
        n -= (size_t) (at + 1 - host);
        host = at + 1;
    }
    (void) snprintf(ret, cap, "%.*s%.*s%s", (int) scheme, url, (int) n, host, host[n] ? "/…" : "");
    return ret;
}

/* "bearer=…": references may be seen, values not. */
static void put_header(struct bp_buf *out, const char *word) {
    const char *value = strchr(word, '=');
    bool is_ref = value && (value[1] == '$' || is_secret(value + 1));

    bp_buf_printf(out, " %.*s%s", value ? (int) (value + 1 - word) : 0, word,
                  is_ref ? value + 1 : "********");
}

char *bp_trigger_shown(const char *text) {
    static const char webhook[] = "webhook ";
    BP_AUTO_FREE char *copy = strdup(text);
    BP_AUTO_BUF out = { 0 };
    char *save = NULL, *word, shown[300];

    if (!copy || !bp_starts_with(text, webhook))
        return BP_TAKE_PTR(copy);
    bp_buf_put_str(&out, "webhook");
    word = strtok_r(copy + sizeof webhook - 1, " ", &save);
    if (word)
        bp_buf_printf(&out, " %s", bp_trigger_webhook_shown(word, shown, sizeof shown));
    while (word && (word = strtok_r(NULL, " ", &save)))
        put_header(&out, word);
    return bp_buf_take_cstr(&out);
}
