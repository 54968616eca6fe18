/* What people say about a session: it may change while it runs and afterwards. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sessions-priv.h"

struct field {
    const char *key;
    const json_t *value; /* borrowed, NULL = stays */
    char *text;          /* owned: the new one */
};

enum { MISSION, OPERATOR, NOTES, TAGS, FIELDS };

struct edit {
    struct field fields[FIELDS];
};

static void edit_done(struct edit *e) {
    for (size_t i = 0; i < FIELDS; i++)
        free(e->fields[i].text);
}

static int check_tags(const json_t *v, struct bp_error *err) {
    if (!json_is_array(v))
        return bp_fail(err, BP_EUSAGE, "'tags' must be a list of texts");
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_string(json_array_get(v, i)))
            return bp_fail(err, BP_EUSAGE, "'tags' must be a list of texts");
    return 0;
}

static int take_field(struct field *f, bool tags, const json_t *v, struct bp_error *err) {
    int r = 0;

    f->value = v;
    if (tags)
        r = check_tags(v, err);
    else if (!json_is_string(v))
        r = bp_fail(err, BP_EUSAGE, "'%s' must be a text", f->key);
    if (r < 0)
        return r;
    f->text = tags ? json_dumps(v, JSON_COMPACT) : strdup(json_string_value(v));
    return f->text ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static int read_patch(const json_t *patch, struct edit *e, struct bp_error *err) {
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) patch, key, v) {
        size_t i = 0;
        int r;

        while (i < FIELDS && !bp_streq(e->fields[i].key, key))
            i++;
        if (i == FIELDS)
            return bp_fail(err, BP_EUSAGE,
                           "'%s' cannot be changed: only mission, operator, notes, "
                           "tags and keep",
                           key);
        r = take_field(&e->fields[i], i == TAGS, v, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Into the places of a row, or of a session that runs; what stood there is in `e` afterwards. */
static void exchange(struct edit *e, char **places[static FIELDS]) {
    for (size_t i = 0; i < FIELDS; i++) {
        char *was = *places[i];

        if (!e->fields[i].value)
            continue;
        *places[i] = e->fields[i].text;
        e->fields[i].text = was;
    }
}

static int edit_running(struct bp_sessions *s, struct running *r, struct edit *e,
                        struct bp_error *err) {
    char **places[FIELDS] = { &r->mission, &r->operator_, &r->notes, &r->tags };
    struct bp_catalog_session row;
    int k;

    exchange(e, places);
    row = bp_running_row(r);
    k = bp_catalog_put(s->catalog, &row, err);
    if (k < 0)
        exchange(e, places); /* nothing or all */
    return k;
}

static int edit_row(struct bp_sessions *s, const char *key, struct edit *e, char ret_id[static 27],
                    struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    char **places[FIELDS] = { &row.mission, &row.operator_, &row.notes, &row.tags };
    int k = bp_catalog_get(s->catalog, key, &row, err);

    if (k < 0)
        return k;
    memcpy(ret_id, row.id, sizeof row.id);
    exchange(e, places);
    return bp_catalog_put(s->catalog, &row, err);
}

int bp_sessions_edit(struct bp_sessions *s, const char *key, const json_t *patch,
                     struct bp_error *err) {
    BP_CLEANUP(edit_done)
    struct edit e = { { [MISSION] = { .key = "mission" },
                        [OPERATOR] = { .key = "operator" },
                        [NOTES] = { .key = "notes" },
                        [TAGS] = { .key = "tags" } } };
    struct running *r;
    char id[27];
    int k = read_patch(patch, &e, err);

    if (k < 0)
        return k;
    (void) pthread_mutex_lock(&s->turn);
    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, key);
    (void) pthread_mutex_unlock(&s->lock);
    if (r) {
        memcpy(id, r->id, sizeof id);
        k = edit_running(s, r, &e, err);
    } else {
        k = edit_row(s, key, &e, id, err);
    }
    (void) pthread_mutex_unlock(&s->turn);
    if (k >= 0)
        bp_sessions_tell(s, "edited", id);
    return k;
}
