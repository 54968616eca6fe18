#include "sync/merge.h"

#include <errno.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"

static void decref(json_t **j) {
    json_decref(*j);
}
#define AUTO_JSON BP_CLEANUP(decref) json_t

static json_t *load(const char *text) {
    json_t *j = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (json_is_object(j))
        return j;
    json_decref(j);
    return NULL;
}

/* ---- version vectors ---- */

static json_int_t counter(const json_t *version, const char *device) {
    json_int_t v = json_integer_value(json_object_get(version, device));

    return v > 0 ? v : 0;
}

/* Has `a` an edit that `b` has not seen? */
static bool is_ahead(json_t *a, const json_t *b) {
    const char *device;
    json_t *v;

    json_object_foreach(a, device, v) {
        if (counter(a, device) > counter(b, device))
            return true;
    }
    return false;
}

static json_int_t edits(json_t *version) {
    json_int_t sum = 0;
    const char *device;
    json_t *v;

    json_object_foreach(version, device, v) {
        sum += counter(version, device);
    }
    return sum;
}

int bp_sync_compare(const char *ours, const char *theirs) {
    AUTO_JSON *a = load(ours), *b = load(theirs);
    json_t *va = json_object_get(a, "version"), *vb = json_object_get(b, "version");
    bool ahead, behind;

    if (!a || !b)
        return -EINVAL;
    ahead = is_ahead(va, vb);
    behind = is_ahead(vb, va);
    if (!ahead && !behind) /* same edits: only what is written differently is a conflict */
        return json_equal(a, b) ? BP_SYNC_SAME : BP_SYNC_CONCURRENT;
    return ahead && behind ? BP_SYNC_CONCURRENT : ahead ? BP_SYNC_OURS_NEWER : BP_SYNC_THEIRS_NEWER;
}

/* The later of both for each device, and one edit more. */
static json_t *join_versions(json_t *a, json_t *b, const char *device) {
    json_t *out = json_object(), *v;
    const char *d;
    int r = out ? 0 : -1;

    json_object_foreach(a, d, v) {
        r |= json_object_set_new(out, d, json_integer(BP_MAX(counter(a, d), counter(b, d))));
    }
    json_object_foreach(b, d, v) {
        r |= json_object_set_new(out, d, json_integer(BP_MAX(counter(a, d), counter(b, d))));
    }
    r |= json_object_set_new(out, device, json_integer(counter(out, device) + 1));
    if (r == 0)
        return out;
    json_decref(out);
    return NULL;
}

/* ---- fields ---- */

static bool is_empty(const json_t *v) {
    return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0);
}

/* Theirs, then what ours has besides. */
static json_t *unite(const json_t *ours, const json_t *theirs) {
    json_t *out = json_copy((json_t *) (uintptr_t) theirs);

    for (size_t i = 0; out && i < json_array_size(ours); i++) {
        json_t *v = json_array_get(ours, i);
        bool there = false;

        for (size_t k = 0; k < json_array_size(theirs) && !there; k++)
            there = json_equal(v, json_array_get(theirs, k));
        if (!there && json_array_append(out, v) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

struct merge {
    bool ours_wins, both;
    const char *device;
    struct bp_buf lost; /* lines for the notes */
};

static json_t *merge_field(struct merge *m, const char *key, json_t *ours, json_t *theirs) {
    if (is_empty(theirs) || json_equal(ours, theirs))
        return json_incref(ours);
    if (is_empty(ours))
        return json_incref(theirs);
    if (json_is_array(ours) && json_is_array(theirs))
        return unite(ours, theirs);
    if (m->both && json_is_string(ours)) {
        bp_buf_printf(&m->lost, "%s (%s): %s\n", key, m->device, json_string_value(ours));
        return json_incref(theirs);
    }
    return json_incref(m->ours_wins ? ours : theirs);
}

static int add_lost(json_t *out, struct merge *m) {
    const char *notes = json_string_value(json_object_get(out, "notes"));

    if (m->lost.n == 0)
        return 0;
    return json_object_set_new(out, "notes",
                               json_sprintf("%s%s%.*s", notes ? notes : "", notes ? "\n" : "",
                                            (int) m->lost.n - 1, (const char *) m->lost.p));
}

static int dump(json_t *j, char **ret) {
    *ret = j ? json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    return *ret ? 0 : -ENOMEM;
}

static int merge_all(struct merge *m, json_t *a, json_t *b, char **ret) {
    AUTO_JSON *out = json_copy(b);
    const char *key;
    json_t *v;
    int r = out ? 0 : -1;

    json_object_foreach(a, key, v) {
        r |= json_object_set_new(out, key, merge_field(m, key, v, json_object_get(b, key)));
    }
    r |= json_object_set_new(
        out, "version",
        join_versions(json_object_get(a, "version"), json_object_get(b, "version"), m->device));
    r |= add_lost(out, m);
    return r < 0 || m->lost.failed ? -ENOMEM : dump(out, ret);
}

int bp_sync_merge(const char *ours, const char *theirs, const char *device, bool both, char **ret) {
    AUTO_JSON *a = load(ours), *b = load(theirs);
    struct merge m = { .both = both, .device = device };
    json_int_t by_us, by_them;
    int r;

    if (!a || !b)
        return -EINVAL;
    by_us = edits(json_object_get(a, "version"));
    by_them = edits(json_object_get(b, "version"));
    /* equal: both sides must come to the same, so it cannot depend on who merges */
    m.ours_wins = by_us != by_them ? by_us > by_them : strcmp(ours, theirs) > 0;
    r = merge_all(&m, a, b, ret);
    bp_buf_done(&m.lost);
    return r;
}

int bp_sync_supersede(const char *ours, const char *theirs, const char *device, char **ret) {
    AUTO_JSON *a = load(ours), *b = load(theirs);

    if (!a || !b)
        return -EINVAL;
    if (json_object_set_new(a, "version",
                            join_versions(json_object_get(a, "version"),
                                          json_object_get(b, "version"), device)) < 0)
        return -ENOMEM;
    return dump(a, ret);
}
