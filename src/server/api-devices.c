/* Devices enrol, are let in or refused, and get their tokens. */
#include "server/api-devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "catalog/archive.h"
#include "catalog/enrol.h"
#include "crypt/secret.h"
#include "server/api-archive.h"
#include "server/devices.h"
#include "server/guard.h"
#include "server/scope.h"

static const bp_ns_t ENROLMENT_TIME = 86400 * BP_SEC;
static const bp_ns_t ENROLMENT_MOST = 365 * (86400 * BP_SEC);

enum { NAME_MAX = 128, GROUPS_MAX = 32, GROUP_MAX = 64 };

/* ---- as JSON ---- */

static json_t *loads(const char *text, json_t *otherwise) {
    json_t *v = text && *text ? json_loads(text, 0, NULL) : NULL;

    if (!v)
        return otherwise;
    json_decref(otherwise);
    return v;
}

static json_t *device_json(const struct bp_archive_device *d) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "device", d->id,
                     "name", d->name, "kind", d->kind, "state",
                     bp_archive_device_state_name(d->state), "public_key", d->public_key, "groups",
                     loads(d->groups, json_array()), "info", loads(d->info, json_object()),
                     "approved_by", d->approved_by, "first_ns", bp_json_time(d->first_ns),
                     "seen_ns", bp_json_time(d->seen_ns), "approved_ns",
                     bp_json_time(d->approved_ns));
}

static void tell(struct bp_server *s, const char *event, const struct bp_archive_device *d) {
    bp_bus_publish(s->bus, "devices",
                   json_pack("{s:s, s:o}", "event", event, "device", device_json(d)));
}

/* ---- reading bodies ---- */

/* A text of the body, "" when it is not there; printable and not too long. */
static int text_of(const json_t *body, const char *key, size_t max, const char **ret,
                   struct bp_error *err) {
    const json_t *v = json_object_get(body, key);

    *ret = "";
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v) || json_string_length(v) > max ||
        strlen(json_string_value(v)) != json_string_length(v))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a text of at most %zu bytes", key, max);
    *ret = json_string_value(v);
    return 0;
}

/* {"a", "b"} as the text of a JSON array; NULL (owned by nobody) when it was not said. */
static int groups_of(const json_t *body, char **ret, struct bp_error *err) {
    const json_t *v = json_object_get(body, "groups");

    *ret = NULL;
    if (!v)
        return 0;
    if (!json_is_array(v) || json_array_size(v) > GROUPS_MAX)
        return bp_fail(err, BP_EUSAGE, "'groups' must be a list of at most %d names", GROUPS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *g = json_string_value(json_array_get(v, i));

        if (!g || strlen(g) > GROUP_MAX || bp_device_check_id(g, NULL) < 0)
            return bp_fail(err, BP_EUSAGE,
                           "'groups' holds what is no name: letters, digits, '.', '_', ':', '@', "
                           "'-'");
    }
    *ret = json_dumps(v, JSON_COMPACT);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- enrolment ---- */

struct wish {
    const char *id, *name, *kind, *token; /* borrowed from the body */
    char key[BP_PUBLIC_KEY_TEXT];
};

static int read_wish(const json_t *body, struct wish *ret, struct bp_error *err) {
    uint8_t key[BP_PUBLIC_KEY_LEN];
    const char *text = "";
    int r = text_of(body, "device", 200, &ret->id, err);

    if (r == 0)
        r = bp_device_check_id(ret->id, err);
    if (r == 0)
        r = text_of(body, "name", NAME_MAX, &ret->name, err);
    if (r == 0)
        r = text_of(body, "kind", 32, &ret->kind, err);
    if (r == 0)
        r = text_of(body, "token", 200, &ret->token, err);
    if (r == 0)
        r = text_of(body, "public_key", 1000, &text, err);
    if (r == 0 && bp_public_key_parse(bp_str_of(text), key) < 0)
        r = bp_fail(err, BP_EUSAGE,
                    "'public_key' is no Ed25519 key: hex or base64 of 32 bytes, or PEM");
    if (r == 0)
        (void) bp_public_key_text(key, ret->key);
    return r;
}

struct count {
    unsigned pending;
};

static int count_pending(void *ctx, const struct bp_archive_device *d) {
    struct count *c = ctx;

    c->pending += d->state == BP_ARCHIVE_DEVICE_PENDING;
    return 0;
}

/* Does a stranger come in without anybody being asked? */
static bool lets_strangers_in(struct bp_server *s) {
    switch (s->config->auth.devices) {
    case BP_SERVER_DEVICES_ACCEPT:
        return true;
    case BP_SERVER_DEVICES_APPROVE:
        return false;
    default:
        return bp_access_is_open(s->access);
    }
}

/* Uses its one-time token, if it brings one. @return 1 used, 0 none, or what is wrong with it */
static int use_token(struct bp_server *s, const struct wish *w, struct bp_catalog_enrolment *ret,
                     struct bp_error *err) {
    uint8_t digest[BP_SHA256_LEN];
    int r;

    if (!*w->token)
        return 0;
    if (bp_token_digest(w->token, digest) < 0)
        return bp_fail(err, -EACCES, "the one-time token is not known here, or was used");
    r = bp_catalog_take_enrolment(s->catalog, digest, bp_wall_ns(), ret, err);
    return r == -ENOENT ? -EACCES : r < 0 ? r : 1;
}

static char *copy(const char *text) {
    return strdup(text ? text : "");
}

/* Fills what is new or asked for. */
static int fill(struct bp_archive_device *d, const struct wish *w, struct bp_error *err) {
    char **texts[] = { &d->id,     &d->name, &d->kind,       &d->public_key,
                       &d->groups, &d->info, &d->approved_by };
    const char *with[] = {
        w->id, *w->name ? w->name : NULL, *w->kind ? w->kind : NULL, w->key, NULL, NULL, NULL
    };
    static const char *const otherwise[] = { "", "", "robot", "", "[]", "{}", "" };

    for (size_t i = 0; i < BP_COUNT(texts); i++) {
        if (!with[i] && *texts[i])
            continue;
        free(*texts[i]);
        *texts[i] = copy(with[i] ? with[i] : otherwise[i]);
        if (!*texts[i])
            return bp_fail(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static int let_in(struct bp_archive_device *d, const char *by, const char *groups,
                  struct bp_error *err) {
    char *text = copy(by), *list = groups ? copy(groups) : NULL;

    if (!text || (groups && !list)) {
        free(text);
        free(list);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    free(d->approved_by);
    d->approved_by = text;
    if (list) {
        free(d->groups);
        d->groups = list;
    }
    d->state = BP_ARCHIVE_DEVICE_ACCEPTED;
    d->approved_ns = bp_wall_ns();
    return 0;
}

/* May this key have this name? */
static int check_known(const struct bp_archive_device *d, const struct wish *w,
                       struct bp_error *err) {
    if (d->state == BP_ARCHIVE_DEVICE_REFUSED)
        return bp_fail(err, -EACCES, "'%s' was refused here", w->id);
    if (!*d->public_key || bp_streq(d->public_key, w->key))
        return 0;
    return bp_fail(err, -EEXIST,
                   "'%s' is known with another key: take another name, or an admin removes it",
                   w->id);
}

static int decide(struct bp_server *s, struct bp_archive_device *d, const struct wish *w,
                  bool known, struct bp_error *err) {
    struct bp_catalog_enrolment e;
    struct count n = { 0 };
    char by[80];
    bool same = known && bp_streq(d->public_key, w->key);
    int r;

    if (same && d->state == BP_ARCHIVE_DEVICE_ACCEPTED)
        return 0; /* as it is; a token it may bring stays good */
    r = use_token(s, w, &e, err);
    if (r < 0)
        return r;
    d->state = BP_ARCHIVE_DEVICE_PENDING;
    if (r > 0) {
        (void) snprintf(by, sizeof by, "token:%s", e.name);
        r = let_in(d, by, e.groups, err);
    } else if (lets_strangers_in(s)) {
        r = let_in(d, "first contact", NULL, err);
    } else if (!known) {
        r = bp_archive_each_device(s->archive, count_pending, &n, err);
        if (r == 0 && n.pending >= BP_DEVICES_PENDING_MAX)
            r = bp_fail(err, -EAGAIN, "%u devices wait for an admin, and no more may", n.pending);
    }
    return r < 0 ? r : fill(d, w, err);
}

static int put_enrolled(struct bp_server *s, struct bp_http_req *req,
                        const struct bp_archive_device *d, struct bp_error *err) {
    int r = bp_server_audit(s, req, "device.enroll", d->id,
                            json_pack("{s:s, s:s, s:s}", "state",
                                      bp_archive_device_state_name(d->state), "by", d->approved_by,
                                      "public_key", d->public_key),
                            err);

    if (r == 0)
        r = bp_archive_put_device(s->archive, d, err);
    if (r < 0)
        return r;
    bp_log(BP_LOG_NOTICE, "a device has enrolled", BP_F_TEXT("device", d->id),
           BP_F_TEXT("state", bp_archive_device_state_name(d->state)),
           BP_F_TEXT("by", d->approved_by), BP_F_TEXT("key", d->public_key));
    tell(s, "enrolled", d);
    return 0;
}

/* One at a time: two that bring the same name must not both be the first. */
static int enroll_locked(struct bp_server *s, struct bp_http_req *req, const struct wish *w,
                         struct bp_archive_device *d, struct bp_error *err)
    BP_REQUIRES(s->devices_turn) {
    bool known = true, same;
    int r = bp_archive_get_device(s->archive, w->id, d, NULL);

    if (r == -ENOENT) {
        known = false;
        d->first_ns = bp_wall_ns();
        r = 0;
    } else if (r < 0) {
        return bp_fail(err, r, "devices cannot be read");
    } else {
        r = check_known(d, w, err);
    }
    same = known && r == 0 && bp_streq(d->public_key, w->key) &&
           d->state == BP_ARCHIVE_DEVICE_ACCEPTED;
    if (r == 0)
        r = decide(s, d, w, known, err);
    if (r < 0 || same)
        return r < 0 ? r : 200;
    d->seen_ns = bp_wall_ns();
    r = put_enrolled(s, req, d, err);
    return r < 0 ? r : known ? 200 : 201;
}

/* Replies with the 429 that a limit said. */
static int too_many(struct bp_http_reply *reply, const struct bp_error *err) {
    bp_http_reply_problem(reply, 429, err);
    return 0;
}

static int enroll(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    struct wish w = { 0 };
    json_t *body = NULL;
    int r;

    if (bp_server_limit_peer(s, req, reply, err))
        return too_many(reply, err);
    r = bp_api_body(req, &body, err);
    if (r == 0)
        r = read_wish(body, &w, err);
    if (r == 0) {
        bp_mutex_lock(&s->devices_turn);
        r = enroll_locked(s, req, &w, &d, err);
        bp_mutex_unlock(&s->devices_turn);
    }
    json_decref(body);
    if (r > 0)
        bp_http_reply_json(reply, r, device_json(&d));
    return r < 0 ? r : 0;
}

/* ---- tokens of devices ---- */

static int challenge(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    char nonce[BP_DEVICE_NONCE_TEXT];
    const char *id = "";
    json_t *body = NULL;
    int r;

    if (bp_server_limit_peer(s, req, reply, err))
        return too_many(reply, err);
    r = bp_api_body(req, &body, err);
    if (r == 0)
        r = text_of(body, "device", 200, &id, err);
    if (r == 0)
        r = bp_devices_challenge(s->devices, id, nonce, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(
            reply, 200,
            json_pack("{s:s, s:o}", "nonce", nonce, "time_ns", bp_json_time(bp_wall_ns())));
    return r;
}

/* Host of an URL; "" when it is none. */
static struct bp_str host_of(const char *url) {
    const char *p = strstr(url, "://");

    p = p ? p + 3 : url;
    return (struct bp_str){ p, strcspn(p, "/?#") };
}

/* What a device must have meant when it signed: the host it talks to, so that a server in the
 * middle cannot pass its answer on. Behind a proxy that hides the name server.url says it. */
static void audience_of(const struct bp_server *s, const struct bp_http_req *req, char *ret,
                        size_t cap) {
    const char *host = bp_http_header(req, "Host");
    struct bp_str url = host_of(s->config->server.url);

    if (url.n > 0)
        (void) snprintf(ret, cap, "%.*s", (int) BP_MIN(url.n, (size_t) 255), url.p);
    else
        (void) snprintf(ret, cap, "%s", host ? host : "");
}

static int read_answer(const json_t *body, struct bp_device_answer *ret, struct bp_error *err) {
    const json_t *t = json_object_get(body, "time_ns");
    const char *text = "";
    char *end = NULL;
    int r = text_of(body, "device", 200, &ret->id, err);

    if (r == 0)
        r = bp_device_check_id(ret->id, err);
    if (r == 0)
        r = text_of(body, "nonce", 100, &ret->nonce, err);
    if (r == 0)
        r = text_of(body, "audience", 300, &ret->audience, err);
    if (r == 0)
        r = text_of(body, "signature", 200, &ret->signature, err);
    if (r == 0)
        r = json_is_integer(t) ? 0 : text_of(body, "time_ns", 20, &text, err);
    if (r < 0)
        return r;
    errno = 0;
    ret->time_ns = json_is_integer(t) ? json_integer_value(t) : strtoll(text, &end, 10);
    if (ret->time_ns <= 0 || errno || (end && (end == text || *end)))
        return bp_fail(err, BP_EUSAGE, "'time_ns' must be your clock: nanoseconds since 1970");
    return 0;
}

/* @param ret_key  of an accepted device; strangers learn the same as those with a wrong key */
static int key_of(struct bp_server *s, const char *id, uint8_t ret_key[static BP_PUBLIC_KEY_LEN],
                  enum bp_archive_device_state *ret_state, struct bp_error *err) {
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    int r = bp_archive_get_device(s->archive, id, &d, NULL);

    if (r < 0 && r != -ENOENT)
        return bp_fail(err, r, "devices cannot be read");
    if (r < 0 || bp_public_key_parse(bp_str_of(d.public_key), ret_key) < 0)
        return bp_fail(err, -EACCES, "the signature is not by the key that '%s' enrolled", id);
    *ret_state = d.state;
    return 0;
}

static int check_state(enum bp_archive_device_state state, const char *id, struct bp_error *err) {
    if (state == BP_ARCHIVE_DEVICE_PENDING)
        return bp_fail(err, -EPERM, "'%s' waits for an admin to let it in", id);
    if (state == BP_ARCHIVE_DEVICE_REFUSED)
        return bp_fail(err, -EPERM, "'%s' was refused here", id);
    return 0;
}

static int answer_challenge(struct bp_server *s, struct bp_http_req *req,
                            const struct bp_device_answer *a, char ret[static BP_DEVICE_TOKEN_TEXT],
                            struct bp_error *err) {
    enum bp_archive_device_state state = BP_ARCHIVE_DEVICE_REFUSED;
    uint8_t key[BP_PUBLIC_KEY_LEN];
    char audience[300];
    int r = key_of(s, a->id, key, &state, err);

    if (r < 0)
        return r;
    audience_of(s, req, audience, sizeof audience);
    /* revoking takes the turn, too: no token is made behind its back */
    bp_mutex_lock(&s->devices_turn);
    r = bp_devices_answer(s->devices, a, key, audience, bp_wall_ns(), ret, err);
    if (r == 0 && (r = key_of(s, a->id, key, &state, err)) == 0 &&
        (r = check_state(state, a->id, err)) < 0)
        bp_devices_revoke(s->devices, a->id);
    bp_mutex_unlock(&s->devices_turn);
    return r;
}

static void reply_token(struct bp_server *s, struct bp_http_reply *reply, const char *token) {
    bp_ns_t now = bp_wall_ns(), life = s->config->auth.device_token;

    bp_http_reply_json(reply, 200,
                       json_pack("{s:s, s:f, s:o, s:o}", "token", token, "lifetime_s",
                                 (double) life / 1e9, "expires_ns", bp_json_time(now + life),
                                 "time_ns", bp_json_time(now)));
}

static void note_seen(struct bp_server *s, struct bp_http_req *req, const char *id) {
    char peer[BP_ACCESS_PEER];
    json_t *info;
    struct bp_error why = { 0 };
    char *text;

    bp_access_peer(s->access, req, peer);
    info = json_pack("{s:s}", "address", peer);
    text = info ? json_dumps(info, JSON_COMPACT) : NULL;
    if (text && bp_archive_device_seen(s->archive, id, text, bp_wall_ns(), &why) < 0)
        bp_log(BP_LOG_WARNING, "when a device was seen cannot be written down",
               BP_F_TEXT("device", id), BP_F_TEXT("error", why.text));
    free(text);
    json_decref(info);
}

static int get_token(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    char token[BP_DEVICE_TOKEN_TEXT];
    struct bp_device_answer a = { 0 };
    json_t *body = NULL;
    int r;

    if (bp_server_limit_peer(s, req, reply, err))
        return too_many(reply, err);
    r = bp_api_body(req, &body, err);
    if (r == 0)
        r = read_answer(body, &a, err);
    if (r == 0)
        r = answer_challenge(s, req, &a, token, err);
    if (r == 0) {
        note_seen(s, req, a.id);
        reply_token(s, reply, token);
    }
    bp_wipe(token, sizeof token);
    json_decref(body);
    if (r == -EACCES) { /* not 403: it may prove itself still */
        bp_http_reply_header(reply, "WWW-Authenticate", "Bearer realm=\"bagpipe\"");
        bp_http_reply_problem(reply, 401, err);
        return 0;
    }
    return r;
}

/* ---- devices under management ---- */

static int add_device(void *ctx, const struct bp_archive_device *d) {
    (void) json_array_append_new(ctx, device_json(d));
    return 0;
}

static int list_devices(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    json_t *list = json_array();
    int r = bp_archive_each_device(bp_server_of(req)->archive, add_device, list, err);

    if (r == 0)
        r = bp_server_cut_list(bp_server_of(req), req, list, "device", err);
    if (r < 0)
        json_decref(list);
    else
        bp_http_reply_json(reply, 200, json_pack("{s:o}", "devices", list));
    return r;
}

static int get_device(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    int r = bp_archive_get_device(bp_server_of(req)->archive, bp_http_param(req, "id"), &d, err);

    if (r == 0)
        bp_http_reply_json(reply, 200, device_json(&d));
    return r;
}

struct edit {
    const char *name, *state;
    char *groups; /* owned */
};

static int read_edit(const json_t *body, struct edit *ret, struct bp_error *err) {
    static const char *const keys[] = { "name", "state", "groups" };
    const char *key;
    json_t *v;
    int r;

    json_object_foreach((json_t *) (uintptr_t) body, key, v) {
        size_t i = 0;

        while (i < BP_COUNT(keys) && !bp_streq(keys[i], key))
            i++;
        if (i == BP_COUNT(keys))
            return bp_fail(err, BP_EUSAGE, "'%.60s' is not known here: name, state, groups", key);
    }
    r = text_of(body, "name", NAME_MAX, &ret->name, err);
    if (r == 0)
        r = text_of(body, "state", 20, &ret->state, err);
    if (r == 0 && *ret->state && !bp_streq(ret->state, "accepted") &&
        !bp_streq(ret->state, "refused"))
        r = bp_fail(err, BP_EUSAGE, "'state' must be accepted or refused");
    return r < 0 ? r : groups_of(body, &ret->groups, err);
}

static int apply_edit(struct bp_archive_device *d, const struct edit *e, const char *who,
                      struct bp_error *err) {
    if (*e->name) {
        free(d->name);
        d->name = copy(e->name);
    }
    if (e->groups) {
        free(d->groups);
        d->groups = copy(e->groups);
    }
    if (!d->name || !d->groups)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (bp_streq(e->state, "accepted") && d->state != BP_ARCHIVE_DEVICE_ACCEPTED)
        return let_in(d, who, NULL, err);
    if (bp_streq(e->state, "refused"))
        d->state = BP_ARCHIVE_DEVICE_REFUSED;
    return 0;
}

static int edit_locked(struct bp_server *s, struct bp_http_req *req, const struct edit *e,
                       json_t *details, struct bp_archive_device *d, struct bp_error *err)
    BP_REQUIRES(s->devices_turn) {
    int r = bp_archive_get_device(s->archive, bp_http_param(req, "id"), d, err);

    if (r == 0)
        r = apply_edit(d, e, bp_http_user(req), err);
    if (r == 0)
        r = bp_server_audit(s, req, "device.edit", d->id, json_incref(details), err);
    if (r == 0)
        r = bp_archive_put_device(s->archive, d, err);
    if (r == 0 && d->state != BP_ARCHIVE_DEVICE_ACCEPTED)
        bp_devices_revoke(s->devices, d->id);
    return r;
}

static int patch_device(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    struct edit e = { 0 };
    json_t *body = NULL;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = read_edit(body, &e, err);
    if (r == 0) {
        bp_mutex_lock(&s->devices_turn);
        r = edit_locked(s, req, &e, body, &d, err);
        bp_mutex_unlock(&s->devices_turn);
    }
    free(e.groups);
    json_decref(body);
    if (r < 0)
        return r;
    tell(s, "changed", &d);
    bp_http_reply_json(reply, 200, device_json(&d));
    return 0;
}

static int delete_device(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    int r;

    bp_mutex_lock(&s->devices_turn);
    r = bp_archive_get_device(s->archive, bp_http_param(req, "id"), &d, err);
    if (r == 0)
        r = bp_server_audit(s, req, "device.remove", d.id,
                            json_pack("{s:s}", "public_key", d.public_key), err);
    if (r == 0)
        r = bp_archive_remove_device(s->archive, d.id, err);
    if (r == 0)
        bp_devices_revoke(s->devices, d.id);
    bp_mutex_unlock(&s->devices_turn);
    if (r < 0)
        return r;
    tell(s, "removed", &d);
    bp_http_reply_empty(reply, 204);
    return 0;
}

/* ---- one-time tokens ---- */

static void add_enrolment(void *ctx, const struct bp_catalog_enrolment *e) {
    (void) json_array_append_new(ctx, json_pack("{s:s, s:o, s:o, s:o}", "name", e->name, "groups",
                                                loads(e->groups, json_array()), "created_ns",
                                                bp_json_time(e->created_ns), "expires_ns",
                                                bp_json_time(e->expires_ns)));
}

static int list_enrolments(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err) {
    json_t *list = json_array();
    int r = bp_catalog_each_enrolment(bp_server_of(req)->catalog, add_enrolment, list, err);

    if (r < 0)
        json_decref(list);
    else
        bp_http_reply_json(reply, 200, json_pack("{s:o}", "enrolments", list));
    return r;
}

static int read_enrolment(const json_t *body, struct bp_catalog_enrolment *ret,
                          struct bp_error *err) {
    const json_t *life = json_object_get(body, "lifetime_s");
    double s = life ? json_number_value(life) : (double) ENROLMENT_TIME / 1e9;
    const char *name = "";
    char *groups = NULL;
    int r = text_of(body, "name", BP_ACCOUNT_NAME - 1, &name, err);

    if (r == 0)
        r = bp_device_check_id(name, err);
    if (r == 0 && (!(s >= 1) || s > (double) ENROLMENT_MOST / 1e9))
        r = bp_fail(err, BP_EUSAGE, "'lifetime_s' must be a number from 1 to %lld",
                    (long long) (ENROLMENT_MOST / BP_SEC));
    if (r == 0)
        r = groups_of(body, &groups, err);
    if (r < 0)
        return r;
    (void) snprintf(ret->name, sizeof ret->name, "%s", name);
    if (snprintf(ret->groups, sizeof ret->groups, "%s", groups ? groups : "[]") >=
        (int) sizeof ret->groups)
        r = bp_fail(err, BP_EUSAGE, "'groups' is too long");
    free(groups);
    ret->created_ns = bp_wall_ns();
    ret->expires_ns = ret->created_ns + (bp_ns_t) (s * 1e9);
    return r;
}

static int post_enrolment(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    struct bp_catalog_enrolment e = { 0 };
    char token[BP_TOKEN_TEXT];
    json_t *body = NULL;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = read_enrolment(body, &e, err);
    json_decref(body);
    if (r == 0 && (bp_token_new(token) < 0 || bp_token_digest(token, e.digest) < 0))
        r = bp_fail(err, -EIO, "no randomness");
    if (r == 0)
        r = bp_server_audit(s, req, "enrolment.new", e.name,
                            json_pack("{s:o}", "groups", loads(e.groups, json_array())), err);
    if (r == 0)
        r = bp_catalog_put_enrolment(s->catalog, &e, err);
    if (r == 0)
        bp_http_reply_json(reply, 201,
                           json_pack("{s:s, s:s, s:o}", "name", e.name, "token", token,
                                     "expires_ns", bp_json_time(e.expires_ns)));
    bp_wipe(token, sizeof token);
    return r;
}

static int delete_enrolment(struct bp_http_req *req, struct bp_http_reply *reply,
                            struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    const char *name = bp_http_param(req, "name");
    int r = bp_server_audit(s, req, "enrolment.remove", name, NULL, err);

    if (r == 0)
        r = bp_catalog_remove_enrolment(s->catalog, name, err);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

/* ---- the part ---- */

static const struct bp_http_route routes[] = {
    { "POST", "/api/v1/devices/enroll", enroll, BP_HTTP_PUBLIC,
      "A device tells its name and key, and brings a one-time token if it has one." },
    { "POST", "/api/v1/devices/challenge", challenge, BP_HTTP_PUBLIC,
      "What a device signs to get a token." },
    { "POST", "/api/v1/devices/token", get_token, BP_HTTP_PUBLIC,
      "A device's token for a signed challenge, good for minutes." },
    { "GET", "/api/v1/devices", list_devices, BP_HTTP_VIEWER, "Devices, those that wait too." },
    { "GET", "/api/v1/devices/:id", get_device, BP_HTTP_VIEWER, "One device." },
    { "PATCH", "/api/v1/devices/:id", patch_device, BP_HTTP_ADMIN,
      "Lets it in or refuses it, names it, puts it into groups." },
    { "DELETE", "/api/v1/devices/:id", delete_device, BP_HTTP_ADMIN,
      "Forgets it; its sessions stay." },
    { "GET", "/api/v1/enrolments", list_enrolments, BP_HTTP_ADMIN,
      "One-time tokens for devices, without what they are." },
    { "POST", "/api/v1/enrolments", post_enrolment, BP_HTTP_ADMIN,
      "Makes a one-time token for a device and tells it, once." },
    { "DELETE", "/api/v1/enrolments/:name", delete_enrolment, BP_HTTP_ADMIN,
      "Takes a one-time token back." },
};
static const size_t nroutes = BP_COUNT(routes);

static int devices_open(struct bp_server *s, struct bp_error *err) {
    bp_mutex_init(&s->devices_turn);
    return bp_devices_open(s, &s->devices, err);
}

static void devices_close(struct bp_server *s) {
    bp_devices_close(s->devices);
    bp_mutex_done(&s->devices_turn);
}

static void devices_tick(struct bp_server *s) {
    bp_devices_tick(s->devices);
}

static void devices_metrics(struct bp_server *s, struct bp_buf *out) {
    bp_metrics_family(out, "bagpipe_device_tokens", BP_METRIC_GAUGE,
                      "Devices' tokens that are good now: how many robots have been here lately?");
    bp_metrics_sample(out, "bagpipe_device_tokens", NULL, 0,
                      (double) bp_devices_tokens(s->devices));
}

const struct bp_server_part bp_server_part_devices = {
    .name = "devices",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &bp_server_devices_docs,
    .open = devices_open,
    .close = devices_close,
    .tick = devices_tick,
    .metrics = devices_metrics,
};
