/* What devices there are and which groups they are in is kept in memory: it is asked for by whoever
 * tells news, who must not wait for a disk. */
#include "server/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "server/guard.h"

struct device {
    UT_hash_handle hh;
    char *groups; /* owned: JSON array */
    char id[];
};

struct bp_scopes {
    pthread_rwlock_t lock;  /* leaf */
    struct device *devices; /* [lock] by id */
};

/* ---- routes ---- */

enum reach {
    SITE,    /* concerns all devices: not for who has a scope */
    HANDLER, /* the handler shows what is theirs, or finds what it is about itself */
    DEVICE,  /* the device that the route names must be theirs */
};

/* Also what is below one that ends in a parameter. */
static const struct {
    const char *pattern;
    enum reach reach;
} reaches[] = {
    { "/", HANDLER }, /* events, at any path of their own door */
    { "/*path", HANDLER },
    { "/api/v1/events", HANDLER },
    { "/api/v1/status", HANDLER },
    { "/api/v1/openapi.json", HANDLER },
    { "/api/v1/config/schema", HANDLER },
    { "/api/v1/sessions", HANDLER },
    { "/api/v1/sessions/:id", HANDLER },
    { "/api/v1/decisions", HANDLER },
    { "/api/v1/decisions/:id", HANDLER },
    { "/api/v1/ingest/sessions/:id", HANDLER },
    { "/api/v1/uploads", HANDLER },
    { "/api/v1/uploads/:id", HANDLER },
    { "/api/v1/objects/:sha256", HANDLER },
    { "/api/v1/robots", HANDLER },
    { "/api/v1/devices", HANDLER },
    { "/api/v1/devices/:id", DEVICE },
    { "/api/v1/devices/:device", DEVICE },
    { "/metrics", SITE },
    { "/api/v1/alerts", SITE },
    { "/api/v1/alerts/:key", SITE },
    { "/api/v1/config", SITE },
    { "/api/v1/jobs", SITE },
    { "/api/v1/jobs/:id", SITE },
    { "/api/v1/logs", SITE },
    { "/api/v1/sync", SITE },
    { "/api/v1/sync/files", SITE },
    { "/api/v1/sync/now", SITE },
    { "/api/v1/sync/pause", SITE },
    { "/api/v1/sync/resume", SITE },
    { "/api/v1/sync/retry", SITE },
    { "/api/v1/sync/gc", SITE },
};

static bool fits(const char *row, const char *pattern) {
    const char *last = strrchr(row, '/');
    size_t n = strlen(row);

    return bp_streq(row, pattern) ||
           (last[1] == ':' && bp_starts_with(pattern, row) && pattern[n] == '/');
}

/* @return the row, or -1 */
static int row_of(const char *pattern) {
    for (size_t i = 0; i < BP_COUNT(reaches); i++)
        if (fits(reaches[i].pattern, pattern))
            return (int) i;
    return -1;
}

bool bp_server_scope_knows(const char *pattern) {
    return row_of(pattern) >= 0;
}

static const char *device_named(const struct bp_http_req *req) {
    const char *id = bp_http_param(req, "device");

    return id ? id : bp_http_param(req, "id");
}

int bp_server_judge_scope(struct bp_server *s, struct bp_http_req *req, struct bp_error *err) {
    const char *pattern = bp_http_route(req)->pattern, *device;
    char scope[BP_SCOPE];
    int row;

    if (bp_server_scope(s, req, scope, err) < 0)
        return 401;
    if (!*scope)
        return 0;
    row = row_of(pattern);
    if (row < 0 || reaches[row].reach == SITE) {
        (void) bp_fail(err, -EACCES, "this concerns all devices, and '%s' may see '%s'",
                       bp_http_user(req), scope);
        return 403;
    }
    device = reaches[row].reach == DEVICE ? device_named(req) : NULL;
    if (device && !bp_server_sees(s, scope, device)) {
        (void) bp_fail(err, -ENOENT, "there is no device '%.100s'", device);
        return 404;
    }
    return 0;
}

/* ---- who sees what ---- */

int bp_server_scope(struct bp_server *s, struct bp_http_req *req, char ret[static BP_SCOPE],
                    struct bp_error *err) {
    struct bp_device_who who;

    if (bp_server_device(s, req, &who)) {
        *ret = '\0';
        return 0;
    }
    return bp_access_scope(s->access, req, ret, err);
}

bool bp_server_sees(struct bp_server *s, const char *scope, const char *device) {
    struct device *d = NULL;
    bool sees;

    if (!*scope)
        return true;
    (void) pthread_rwlock_rdlock(&s->scopes->lock);
    HASH_FIND_STR(s->scopes->devices, device, d);
    sees = bp_scope_has(scope, device, d ? d->groups : "");
    (void) pthread_rwlock_unlock(&s->scopes->lock);
    return sees;
}

bool bp_server_sees_device(void *ctx, const char *scope, const char *device) {
    return bp_server_sees(ctx, scope, device);
}

/* A device that has just been removed is not in our table any more: news of it say its groups. */
static bool sees_removed(const char *scope, const json_t *device) {
    BP_AUTO_FREE char *groups = json_dumps(json_object_get(device, "groups"), JSON_COMPACT);
    const char *id = json_string_value(json_object_get(device, "device"));

    return id && bp_scope_has(scope, id, groups ? groups : "");
}

/* Of these topics each news is about one device, or about none and then not for who has a scope. */
bool bp_server_sees_news(void *ctx, const char *scope, const char *topic, const json_t *payload) {
    static const char *const topics[] = { "sessions", "robots", "devices", "alerts", "ingest" };
    const json_t *device = json_object_get(payload, "device");
    bool known = false;

    for (size_t i = 0; i < BP_COUNT(topics); i++)
        known |= bp_streq(topic, topics[i]);
    if (bp_starts_with(topic, "device:")) { /* "device:ID/status" */
        BP_AUTO_FREE char *id = strndup(topic + 7, strcspn(topic + 7, "/"));

        return id && bp_server_sees(ctx, scope, id);
    }
    if (!known || !payload)
        return known;
    if (json_is_object(device))
        return sees_removed(scope, device);
    if (!device)
        device = json_object_get(json_object_get(payload, "data"), "device");
    return json_is_string(device) && bp_server_sees(ctx, scope, json_string_value(device));
}

/* ---- for handlers ---- */

int bp_server_find_session(struct bp_server *s, struct bp_http_req *req,
                           struct bp_archive_session *ret, struct bp_error *err) {
    const char *key = bp_http_param(req, "id");
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    char scope[BP_SCOPE];
    int r = bp_server_scope(s, req, scope, err);

    if (r == 0)
        r = bp_archive_get(s->archive, key, &row, err);
    if (r == 0 && !bp_server_sees(s, scope, row.device))
        r = bp_fail(err, -ENOENT, "there is no session '%s'", key);
    if (r == 0)
        *ret = BP_TAKE(row, ((struct bp_archive_session){ 0 }));
    return r;
}

int bp_server_cut_list(struct bp_server *s, struct bp_http_req *req, json_t *list, const char *key,
                       struct bp_error *err) {
    char scope[BP_SCOPE];
    int r = bp_server_scope(s, req, scope, err);

    for (size_t i = json_array_size(list); r == 0 && *scope && i-- > 0;) {
        const char *device = json_string_value(json_object_get(json_array_get(list, i), key));

        if (!device || !bp_server_sees(s, scope, device))
            (void) json_array_remove(list, i);
    }
    return r;
}

/* ---- the part ---- */

static void forget_locked(struct bp_scopes *x, const char *id) {
    struct device *d = NULL;

    HASH_FIND_STR(x->devices, id, d);
    if (!d)
        return;
    HASH_DEL(x->devices, d);
    free(d->groups);
    free(d);
}

/* @param groups  taken over */
static int put(struct bp_scopes *x, const char *id, char *groups) {
    size_t n = strlen(id) + 1;
    struct device *d = groups ? calloc(1, sizeof *d + n) : NULL;

    if (!d) {
        free(groups);
        return -ENOMEM;
    }
    d->groups = groups;
    memcpy(d->id, id, n);
    (void) pthread_rwlock_wrlock(&x->lock);
    forget_locked(x, id);
    HASH_ADD_KEYPTR(hh, x->devices, d->id, n - 1, d);
    (void) pthread_rwlock_unlock(&x->lock);
    return 0;
}

static int take_up(void *ctx, const struct bp_archive_device *d) {
    return put(ctx, d->id, strdup(d->groups));
}

/* Devices as they come, are changed and go. */
static void on_device(void *ctx, const char *topic, const json_t *payload) {
    struct bp_scopes *x = ((struct bp_server *) ctx)->scopes;
    const json_t *device = json_object_get(payload, "device");
    const char *id = json_string_value(json_object_get(device, "device"));
    const char *event = json_string_value(json_object_get(payload, "event"));

    if (!bp_streq(topic, "devices") || !id || !event)
        return;
    /* out of memory: in no group */
    if (bp_streq(event, "removed") ||
        put(x, id, json_dumps(json_object_get(device, "groups"), JSON_COMPACT)) < 0) {
        (void) pthread_rwlock_wrlock(&x->lock);
        forget_locked(x, id);
        (void) pthread_rwlock_unlock(&x->lock);
    }
}

static int scope_open(struct bp_server *s, struct bp_error *err) {
    int r;

    s->scopes = calloc(1, sizeof *s->scopes);
    if (!s->scopes)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) pthread_rwlock_init(&s->scopes->lock, NULL);
    r = bp_bus_listen(s->bus, on_device, s);
    if (r < 0)
        return bp_fail(err, r, "too many listen to the news");
    r = bp_archive_each_device(s->archive, take_up, s->scopes, err);
    return r == -ENOMEM ? bp_fail(err, r, "out of memory") : r;
}

static void scope_close(struct bp_server *s) {
    struct device *d, *next;

    if (!s->scopes)
        return;
    bp_bus_unlisten(s->bus, on_device, s);
    HASH_ITER(hh, s->scopes->devices, d, next) {
        HASH_DEL(s->scopes->devices, d);
        free(d->groups);
        free(d);
    }
    (void) pthread_rwlock_destroy(&s->scopes->lock);
    free(BP_TAKE_PTR(s->scopes));
}

const struct bp_server_part bp_server_part_scope = {
    .name = "scope",
    .open = scope_open,
    .close = scope_close,
};
