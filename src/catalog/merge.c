/* Merging what people wrote (see the header for why this is a maximum). Everything that came from
 * outside may be malformed: such parts count as not there. */
#include "catalog/merge.h"

#include <errno.h>

#include "base/buf.h"

struct stamp {
    json_int_t n;
    const char *by, *value;
};

static bool read_stamp(const json_t *field, struct stamp *ret) {
    const json_t *n = json_object_get(field, "n");
    const char *by = json_string_value(json_object_get(field, "by"));
    const char *value = json_string_value(json_object_get(field, "value"));

    if (!json_is_integer(n) || json_integer_value(n) < 0 || !by || !value)
        return false;
    *ret = (struct stamp){ json_integer_value(n), by, value };
    return true;
}

/* A total order that later changes stand higher in than those they knew. Equal stamps with other
 * values come from a device that counts wrongly; any order will do that everybody has. */
static int compare(const struct stamp *a, const struct stamp *b) {
    int r;

    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    r = strcmp(a->by, b->by);
    return r != 0 ? r : strcmp(a->value, b->value);
}

static bool knows(const json_t *version, const struct stamp *s) {
    return json_integer_value(json_object_get(version, s->by)) >= s->n;
}

static int merge_versions(json_t *into, const json_t *from) {
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) from, key, v) {
        const json_t *have = json_object_get(into, key);

        if (json_is_integer(v) && json_integer_value(v) >= 0 &&
            (!have || json_integer_value(have) < json_integer_value(v)) &&
            json_object_set_new(into, key, json_integer(json_integer_value(v))) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int put_field(json_t *fields, const char *name, const struct stamp *s) {
    return json_object_set_new(
        fields, name, json_pack("{s:s, s:I, s:s}", "value", s->value, "n", s->n, "by", s->by));
}

/* The fields of `doc` that are well formed, into `fields` where they are higher. */
static int take_fields(json_t *fields, const json_t *doc) {
    const char *name;
    json_t *v;

    json_object_foreach(json_object_get(doc, "fields"), name, v) {
        struct stamp s, have;

        if (read_stamp(v, &s) &&
            (!read_stamp(json_object_get(fields, name), &have) || compare(&have, &s) < 0) &&
            put_field(fields, name, &s) < 0)
            return -ENOMEM;
    }
    return 0;
}

static void tell_conflicts(const json_t *ours, const json_t *theirs,
                           void (*conflict)(void *ctx, const struct bp_merge_conflict *c),
                           void *ctx) {
    const json_t *their_fields = json_object_get(theirs, "fields");
    const json_t *our_version = json_object_get(ours, "version");
    const json_t *their_version = json_object_get(theirs, "version");
    const char *name;
    json_t *v;

    json_object_foreach(json_object_get(ours, "fields"), name, v) {
        struct stamp a, b;

        if (read_stamp(v, &a) && read_stamp(json_object_get(their_fields, name), &b) &&
            !bp_streq(a.value, b.value) && !knows(their_version, &a) && !knows(our_version, &b))
            conflict(ctx, &(struct bp_merge_conflict){ .field = name,
                                                       .ours = a.value,
                                                       .theirs = b.value,
                                                       .took_theirs = compare(&a, &b) < 0 });
    }
}

json_t *bp_merge(const json_t *ours, const json_t *theirs,
                 void (*conflict)(void *ctx, const struct bp_merge_conflict *c), void *ctx) {
    json_t *version = json_object(), *fields = json_object();

    if (!version || !fields || merge_versions(version, json_object_get(ours, "version")) < 0 ||
        merge_versions(version, json_object_get(theirs, "version")) < 0 ||
        take_fields(fields, ours) < 0 || take_fields(fields, theirs) < 0) {
        json_decref(version);
        json_decref(fields);
        return NULL;
    }
    if (conflict)
        tell_conflicts(ours, theirs, conflict, ctx);
    return json_pack("{s:o, s:o}", "version", version, "fields", fields);
}

static json_t *object_of(json_t *doc, const char *name) {
    json_t *o = json_object_get(doc, name);

    if (!json_is_object(o)) {
        o = json_object();
        if (json_object_set_new(doc, name, o) < 0)
            return NULL;
    }
    return o;
}

int bp_merge_set(json_t *doc, const char *field, const char *value, const char *who) {
    json_t *version = object_of(doc, "version"), *fields = object_of(doc, "fields"), *v;
    struct stamp s = { .by = who, .value = value }, have;
    const char *key;

    if (!version || !fields)
        return -ENOMEM;
    if (read_stamp(json_object_get(fields, field), &have) && bp_streq(have.value, value))
        return 0;

    json_object_foreach(version, key, v) s.n = BP_MAX(s.n, json_integer_value(v));
    s.n++;
    return put_field(fields, field, &s) < 0 ||
                   json_object_set_new(version, who, json_integer(s.n)) < 0
               ? -ENOMEM
               : 0;
}

const char *bp_merge_get(const json_t *doc, const char *field) {
    struct stamp s;

    return read_stamp(json_object_get(json_object_get(doc, "fields"), field), &s) ? s.value : NULL;
}

bool bp_merge_knows(const json_t *a, const json_t *b) {
    const json_t *version = json_object_get(a, "version");
    const char *key;
    json_t *v;

    json_object_foreach(json_object_get(b, "version"), key,
                        v) if (json_integer_value(json_object_get(version, key)) <
                               json_integer_value(v)) return false;
    return true;
}
