/* A session as sync tells it. What people say about it carries a version vector: {device: counter}.
 * Ours counts each change of the content, which is known by its digest; both stand in the
 * catalogue, so that a restart counts nothing. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/agent-priv.h"
#include "agent/sync.h"
#include "bag/manifest.h"
#include "catalog/keep.h"
#include "crypt/digest.h"

void bp_agent_sync_told_done(struct bp_agent_sync_told *t) {
    free(t->dir);
    free(t->name);
    free(t->json);
    for (size_t i = 0; i < t->nwords; i++)
        free(t->words[i]);
    free(t->words);
    free(t->tags);
    free(t->robots);
    free(t->topics);
    *t = (struct bp_agent_sync_told){ 0 };
}

/* ---- lists ---- */

/* A NULL-ended list of the texts of a JSON array; the texts are the told one's. */
static int take_list(struct bp_agent_sync_told *t, const json_t *list, const char ***ret) {
    size_t n = json_array_size(list), k = 0;
    char **grown = realloc(t->words, (t->nwords + n + 1) * sizeof *grown);
    const char **v = calloc(n + 1, sizeof *v);

    if (grown)
        t->words = grown;
    if (!grown || !v) {
        free(v);
        return -ENOMEM;
    }
    *ret = v;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        if (!text)
            continue;
        t->words[t->nwords] = strdup(text);
        if (!t->words[t->nwords])
            return -ENOMEM;
        v[k++] = t->words[t->nwords++];
    }
    return 0;
}

static void add_once(json_t *list, const char *text) {
    if (!text || !*text)
        return;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (bp_streq(json_string_value(json_array_get(list, i)), text))
            return;
    (void) json_array_append_new(list, json_string(text));
}

/* Robots and topics of a session that runs, or by its manifest. */
static void find_topics(struct bp_agent *a, const char *id, const char *dir, bool running,
                        json_t *robots, json_t *topics) {
    BP_AUTO_MANIFEST m = { 0 };
    json_t *live = running ? bp_sessions_topics(a->sessions, id) : NULL;
    const json_t *list = json_object_get(live, "topics");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);

        add_once(topics, json_string_value(json_object_get(t, "topic")));
        add_once(robots, json_string_value(json_object_get(t, "robot")));
    }
    json_decref(live);
    if (running || bp_manifest_read(&bp_io_posix, dir, &m, NULL) < 0)
        return;
    for (size_t i = 0; i < m.nchannels; i++) {
        add_once(topics, m.channels[i].topic);
        add_once(robots, m.channels[i].robot);
    }
}

/* ---- what is said ---- */

static json_t *marks_of(const json_t *session) {
    const json_t *marks = json_object_get(session, "marks");
    json_t *list = json_array();

    for (size_t i = 0; i < json_array_size(marks); i++) {
        const json_t *m = json_array_get(marks, i);

        (void) json_array_append_new(
            list, json_pack("{s:O*, s:O*, s:O*}", "wall_ns", json_object_get(m, "time_ns"), "text",
                            json_object_get(m, "text"), "values", json_object_get(m, "values")));
    }
    return list;
}

static json_t *content_of(const json_t *session, const char *device, json_t *robots) {
    json_t *o =
        json_pack("{s:O*, s:s, s:O, s:O*, s:O*, s:O*, s:O*, s:O*, s:o}", "name",
                  json_object_get(session, "name"), "device", device, "robots", robots,
                  "started_ns", json_object_get(session, "started_ns"), "mission",
                  json_object_get(session, "mission"), "operator",
                  json_object_get(session, "operator"), "notes", json_object_get(session, "notes"),
                  "tags", json_object_get(session, "tags"), "marks", marks_of(session));
    const char *key;
    json_t *v;
    void *next;

    json_object_foreach_safe(o, next, key, v) {
        if (json_is_null(v)) /* what nobody said is not there */
            (void) json_object_del(o, key);
    }
    return o;
}

static bool digest_of(const json_t *o, char ret[static BP_SHA256_HEX]) {
    BP_AUTO_FREE char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    uint8_t digest[BP_SHA256_LEN];

    if (!text)
        return false;
    bp_sha256_of(text, strlen(text), digest);
    (void) bp_sha256_hex(digest, ret);
    return true;
}

/* What the catalogue keeps for us: {"digest", "version"}. Owned; an empty one at first. */
static json_t *memory_of(struct bp_agent *a, const char *id) {
    BP_AUTO_FREE char *text = NULL;
    json_t *o = NULL;

    if (bp_catalog_get_sync(a->catalog, id, &text, NULL) == 0)
        o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    return o ? o : json_object();
}

static int remember(struct bp_agent *a, const char *id, const char *digest, json_t *version,
                    struct bp_error *err) {
    json_t *o = json_pack("{s:s, s:O}", "digest", digest, "version", version);
    BP_AUTO_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text ? bp_catalog_set_sync(a->catalog, id, text, err)
                : bp_fail(err, -ENOMEM, "out of memory");
}

/* Puts the version vector into `content`; counts when it has changed. */
static int add_version(struct bp_agent *a, const char *id, const char *device, json_t *content,
                       struct bp_error *err) {
    json_t *memory = memory_of(a, id), *version = json_object_get(memory, "version");
    const char *was = json_string_value(json_object_get(memory, "digest"));
    char digest[BP_SHA256_HEX];
    int r = 0;

    version = json_is_object(version) ? json_deep_copy(version) : json_object();
    if (!version || !digest_of(content, digest)) {
        r = bp_fail(err, -ENOMEM, "out of memory");
    } else if (!was || !bp_streq(was, digest)) {
        json_int_t n = json_integer_value(json_object_get(version, device));

        (void) json_object_set_new(version, device, json_integer(n + 1));
        r = remember(a, id, digest, version, err);
    }
    (void) json_object_set(content, "version", version);
    json_decref(version);
    json_decref(memory);
    return r;
}

static int fill(struct bp_agent *a, const json_t *session, const char *device,
                struct bp_agent_sync_told *t, struct bp_error *err) {
    const char *status = json_string_value(json_object_get(session, "status"));
    const char *started = json_string_value(json_object_get(session, "started_ns"));
    const char *uploaded = json_string_value(json_object_get(session, "uploaded_ns"));
    json_t *robots = json_array(), *topics = json_array(), *content = NULL;
    int r = t->dir && t->name && status ? 0 : -ENOMEM;

    t->running = status && (bp_streq(status, "recording") || bp_streq(status, "paused"));
    t->finished = status && bp_streq(status, "finished");
    t->started_ns = started ? strtoll(started, NULL, 10) : 0;
    t->uploaded_ns = uploaded ? strtoll(uploaded, NULL, 10) : 0;
    t->marked = json_array_size(json_object_get(session, "marks")) > 0;
    if (r == 0) {
        find_topics(a, t->id, t->dir, t->running, robots, topics);
        content = content_of(session, device, robots);
        r = content ? add_version(a, t->id, device, content, err) : -ENOMEM;
    }
    if (r == 0)
        r = take_list(t, json_object_get(session, "tags"), &t->tags);
    if (r == 0)
        r = take_list(t, robots, &t->robots);
    if (r == 0)
        r = take_list(t, topics, &t->topics);
    t->json = r == 0 ? json_dumps(content, JSON_COMPACT) : NULL;
    json_decref(robots);
    json_decref(topics);
    json_decref(content);
    if (r == 0 && !t->json)
        r = -ENOMEM;
    return r == -ENOMEM ? bp_fail(err, r, "out of memory") : r;
}

static char *copy_of(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));

    return text ? strdup(text) : NULL;
}

int bp_agent_sync_tell(struct bp_agent *a, const char *id, const char *device,
                       struct bp_agent_sync_told *ret, struct bp_error *err) {
    BP_CLEANUP(bp_agent_sync_told_done) struct bp_agent_sync_told t = { 0 };
    json_t *session = bp_sessions_get(a->sessions, id);
    int r;

    if (!session)
        return bp_fail(err, -ENOENT, "there is no session '%s'", id);
    (void) snprintf(t.id, sizeof t.id, "%s", id);
    t.dir = copy_of(session, "dir");
    t.name = copy_of(session, "name");
    r = fill(a, session, device, &t, err);
    json_decref(session);
    if (r < 0)
        return r;
    *ret = BP_TAKE(t, ((struct bp_agent_sync_told){ 0 }));
    return 0;
}

/* ---- what the other side says ---- */

int bp_agent_sync_take(struct bp_agent *a, const char *id, const char *text, struct bp_error *err) {
    static const char *const fields[] = { "mission", "operator", "notes", "tags" };
    json_t *theirs = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *patch = json_object();
    json_t *version = json_object_get(theirs, "version"), *session, *content;
    const char *device = json_string_value(json_object_get(theirs, "device"));
    char digest[BP_SHA256_HEX];
    int r = 0;

    for (size_t i = 0; i < BP_COUNT(fields); i++)
        (void) json_object_set(patch, fields[i], json_object_get(theirs, fields[i]));
    if (json_object_size(patch))
        r = bp_sessions_edit(a->sessions, id, patch, err);
    session = r == 0 ? bp_sessions_get(a->sessions, id) : NULL;
    content = session ? content_of(session, device ? device : "", json_object_get(theirs, "robots"))
                      : NULL;
    /* what came from them is no change of ours */
    if (content && json_is_object(version) && digest_of(content, digest))
        r = remember(a, id, digest, version, err);
    json_decref(content);
    json_decref(session);
    json_decref(patch);
    json_decref(theirs);
    return r;
}
