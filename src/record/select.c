#include "record/select.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"

struct bp_select {
    struct bp_select_opts o;       /* lists and words owned; the regexes are not kept as text */
    pcre2_code *include, *exclude; /* owned, or NULL */
};

static const char SERVICE_EVENT[] = "/_service_event";

bool bp_topic_match(const char *pattern, const char *topic) {
    return fnmatch(pattern, topic, 0) == 0;
}

static int compile(const char *option, const char *text, pcre2_code **ret, struct bp_error *err) {
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR why[160];
    int code = 0;

    if (!text || !*text)
        return 0;

    *ret = pcre2_compile((PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
    if (*ret)
        return 0;

    if (pcre2_get_error_message(code, why, sizeof why) < 0)
        why[0] = 0;
    return bp_fail(err, BP_EUSAGE, "%s '%s': %s at character %zu", option, text, (const char *) why,
                   (size_t) at + 1);
}

/* Puts a copy of the list in its place; false when out of memory. */
static bool copy_words(const char *const **v, size_t n) {
    const char *const *from = *v;
    char **to = calloc(n + 1, sizeof *to);
    bool ok = to != NULL;

    for (size_t i = 0; ok && i < n; i++) {
        to[i] = strdup(from[i]);
        ok = to[i] != NULL;
    }
    *v = (const char *const *) to; /* what was copied is freed with the rest */
    return ok;
}

static void free_words(const char *const *v) {
    char **own = (char **) (uintptr_t) v;

    for (size_t i = 0; own && own[i]; i++)
        free(own[i]);
    free(own);
}

static bool copy_lists(struct bp_select_opts *o) {
    bool ok = copy_words(&o->topics, o->ntopics);

    ok = copy_words(&o->types, o->ntypes) && ok;
    ok = copy_words(&o->services, o->nservices) && ok;
    ok = copy_words(&o->not_topics, o->nnot_topics) && ok;
    return copy_words(&o->not_types, o->nnot_types) && ok;
}

int bp_select_new(const struct bp_select_opts *o, struct bp_select **ret, struct bp_error *err) {
    BP_CLEANUP(bp_select_freep) struct bp_select *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "no memory for the topic selection");

    s->o = *o;
    s->o.regex = s->o.not_regex = NULL;
    if (!copy_lists(&s->o))
        return bp_fail(err, -ENOMEM, "no memory for the topic selection");
    r = compile("--regex", o->regex, &s->include, err);
    if (r < 0)
        return r;

    r = compile("--exclude-regex", o->not_regex, &s->exclude, err);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(s);
    return 0;
}

void bp_select_free(struct bp_select *s) {
    if (!s)
        return;

    pcre2_code_free(s->include);
    pcre2_code_free(s->exclude);
    free_words(s->o.topics);
    free_words(s->o.types);
    free_words(s->o.services);
    free_words(s->o.not_topics);
    free_words(s->o.not_types);
    free(s);
}

static bool search(const pcre2_code *re, const char *text) {
    pcre2_match_data *m;
    int n;

    if (!re)
        return false;

    m = pcre2_match_data_create(1, NULL);
    if (!m)
        return false;

    n = pcre2_match(re, (PCRE2_SPTR) text, PCRE2_ZERO_TERMINATED, 0, 0, m, NULL);
    pcre2_match_data_free(m);
    return n >= 0;
}

/* A topic may be given without its leading slash, and as a pattern with '*'. */
static bool listed(const char *const *v, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (bp_topic_match(v[i], name) || (v[i][0] != '/' && bp_topic_match(v[i], name + 1)))
            return true;

    return false;
}

static bool listed_type(const char *const *v, size_t n, const char *type) {
    for (size_t i = 0; i < n; i++)
        if (bp_streq(v[i], type))
            return true;

    return false;
}

static bool is_hidden(const char *topic) {
    return strstr(topic, "/_") != NULL;
}

static bool is_service_event(const char *topic) {
    size_t n = strlen(topic), k = sizeof SERVICE_EVENT - 1;

    return n > k && bp_streq(topic + n - k, SERVICE_EVENT);
}

static bool selects_service(const struct bp_select *s, const char *topic) {
    char service[512];
    size_t n = strlen(topic) - (sizeof SERVICE_EVENT - 1);

    if (s->o.all_services)
        return true;
    if (n >= sizeof service)
        return false;

    memcpy(service, topic, n);
    service[n] = 0;
    return listed(s->o.services, s->o.nservices, service) || search(s->include, service);
}

bool bp_select_topic(const struct bp_select *s, const char *topic, const char *type) {
    bool named;

    if (listed(s->o.not_topics, s->o.nnot_topics, topic) || search(s->exclude, topic) ||
        listed_type(s->o.not_types, s->o.nnot_types, type))
        return false;

    named = listed(s->o.topics, s->o.ntopics, topic);
    if (named)
        return true;
    if (is_service_event(topic))
        return selects_service(s, topic);
    if (is_hidden(topic) && !s->o.hidden)
        return false;

    return s->o.all || search(s->include, topic) || listed_type(s->o.types, s->o.ntypes, type);
}
