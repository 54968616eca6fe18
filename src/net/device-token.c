#include "net/device-token.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "base/mutex.h"
#include "base/time.h"
#include "crypt/secret.h"
#include "net/fetch.h"

enum { REPLY_MAX = 64 * 1024, TIMEOUT_S = 20 };

struct bp_device_tokens {
    struct bp_fetch *fetch;
    const struct bp_sign_key *key;
    char *url, *device, *name, *enrolment;
    char audience[300];              /* host and port, as they stand in the header Host */
    struct bp_mutex turn;            /* held while talking to the server */
    char token[BP_DEVICE_TOKEN_MAX]; /* [turn] "" = none */
    bp_ns_t mono_until;              /* [turn] it is asked for anew from then on */
    bool stopped;                    /* [atomic] */
};

/* "https://host:443/base" → "host": as libcurl says it. */
static int set_audience(struct bp_device_tokens *t, const char *url) {
    const char *p = strstr(url, "://");
    size_t n, port;
    const char *usual = bp_starts_with(url, "https:") ? ":443" : ":80";

    if (!p)
        return -EINVAL;
    p += 3;
    n = strcspn(p, "/?#");
    port = strlen(usual);
    if (n > port && memcmp(p + n - port, usual, port) == 0)
        n -= port;
    if (n == 0 || n >= sizeof t->audience)
        return -EINVAL;
    (void) snprintf(t->audience, sizeof t->audience, "%.*s", (int) n, p);
    return 0;
}

/* "ws" and "wss" are the same hosts. */
static char *base_of(const char *url) {
    size_t n = strlen(url);
    char *base = NULL;
    const char *scheme = bp_starts_with(url, "wss:")  ? "https"
                         : bp_starts_with(url, "ws:") ? "http"
                                                      : NULL;
    const char *rest = scheme ? strchr(url, ':') : url;

    while (n > 0 && url[n - 1] == '/')
        n--;
    n -= (size_t) (rest - url);
    return asprintf(&base, "%s%.*s", scheme ? scheme : "", (int) n, rest) < 0 ? NULL : base;
}

int bp_device_tokens_open(const struct bp_device_tokens_options *o, struct bp_device_tokens **ret,
                          struct bp_error *err) {
    BP_CLEANUP(bp_device_tokens_closep) struct bp_device_tokens *t = calloc(1, sizeof *t);
    int r;

    if (!t)
        return bp_fail(err, -ENOMEM, "out of memory");
    bp_mutex_init(&t->turn);
    t->key = o->key;
    t->url = base_of(o->url);
    t->device = strdup(o->device);
    t->name = strdup(o->name ? o->name : "");
    t->enrolment = strdup(o->enrolment ? o->enrolment : "");
    if (!t->url || !t->device || !t->name || !t->enrolment)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (set_audience(t, t->url) < 0)
        return bp_fail(err, -EINVAL, "'%.200s' is no URL of a server", o->url);
    r = bp_fetch_open(
        &(struct bp_fetch_options){ .ca_file = o->ca_file && *o->ca_file ? o->ca_file : NULL,
                                    .proxy = o->proxy && *o->proxy ? o->proxy : NULL },
        &t->fetch, err);
    if (r == 0)
        *ret = BP_TAKE_PTR(t);
    return r;
}

void bp_device_tokens_close(struct bp_device_tokens *t) {
    if (!t)
        return;
    bp_fetch_close(t->fetch);
    bp_wipe(t->token, sizeof t->token);
    if (t->enrolment)
        bp_wipe(t->enrolment, strlen(t->enrolment));
    free(t->url);
    free(t->device);
    free(t->name);
    free(t->enrolment);
    bp_mutex_done(&t->turn);
    free(t);
}

/* ---- talking ---- */

/* What a refusal means. */
static int code_of(int status) {
    return status == 401   ? -EACCES
           : status == 403 ? -EPERM
           : status == 404 ? -ENOENT
           : status == 409 ? -EEXIST
           : status == 429 ? -EAGAIN
           : status >= 500 ? -EIO
                           : BP_EFORMAT;
}

/* POSTs JSON. @param body  taken over
 *  @param ret  what was answered, owned by the caller */
static int post(struct bp_device_tokens *t, const char *path, json_t *body, const bool *cancel,
                json_t **ret, struct bp_error *err) {
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    BP_AUTO_FREE char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    BP_AUTO_FREE char *url = NULL;
    struct bp_fetch_reply reply = { 0 };
    json_t *o;
    int r;

    json_decref(body);
    if (asprintf(&url, "%s/api/v1/devices/%s", t->url, path) < 0)
        url = NULL;
    if (!text || !url)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_fetch(t->fetch,
                 &(struct bp_fetch_request){ .method = "POST",
                                             .url = url,
                                             .headers = headers,
                                             .body = { text, strlen(text) },
                                             .max_body_bytes = REPLY_MAX,
                                             .timeout = TIMEOUT_S * BP_SEC,
                                             .cancel = cancel ? cancel : &t->stopped },
                 &reply, err);
    bp_wipe(text, strlen(text));
    o = r == 0 ? json_loadb((const char *) reply.body.p, reply.body.n, 0, NULL) : NULL;
    if (r == 0 && reply.status >= 300) {
        const char *detail = json_string_value(json_object_get(o, "detail"));

        r = bp_fail(err, code_of(reply.status), "the server answers %d%s%.200s", reply.status,
                    detail ? ": " : "", detail ? detail : "");
    } else if (r == 0 && !json_is_object(o)) {
        r = bp_fail(err, BP_EFORMAT, "the server's answer is no JSON object");
    }
    if (reply.body.p)
        bp_wipe(reply.body.p, reply.body.n);
    bp_fetch_reply_done(&reply);
    if (r < 0)
        json_decref(o);
    else
        *ret = o;
    return r;
}

static int enrol(struct bp_device_tokens *t, const bool *cancel, struct bp_error *err) {
    char key[BP_PUBLIC_KEY_TEXT];
    json_t *answer = NULL;
    int r = post(t, "enroll",
                 json_pack("{s:s, s:s, s:s, s:s*}", "device", t->device, "name", t->name,
                           "public_key", bp_public_key_text(bp_sign_key_public(t->key), key),
                           "token", *t->enrolment ? t->enrolment : NULL),
                 cancel, &answer, err);

    json_decref(answer);
    return r;
}

/* As bp_device_put_signed() of the server. Signed with the server's clock: a robot without a
 * network has often none that is right. */
static json_t *answer_of(const struct bp_device_tokens *t, const char *nonce, long long time_ns) {
    uint8_t sig[BP_SIGNATURE_LEN];
    char hex[2 * BP_SIGNATURE_LEN + 1];
    BP_AUTO_BUF text = { 0 };

    bp_buf_printf(&text, "bagpipe device token v1\n%s\n%s\n%lld\n%s\n", t->device, nonce, time_ns,
                  t->audience);
    if (text.failed || bp_sign(t->key, text.p, text.n, sig) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof sig; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", sig[i]);
    return json_pack("{s:s, s:s, s:s, s:o, s:s}", "device", t->device, "nonce", nonce, "audience",
                     t->audience, "time_ns", json_sprintf("%lld", time_ns), "signature", hex);
}

static int take(struct bp_device_tokens *t, const json_t *o, struct bp_error *err) {
    const char *token = json_string_value(json_object_get(o, "token"));
    double life = json_number_value(json_object_get(o, "lifetime_s"));

    if (!token || !*token || strlen(token) >= sizeof t->token || strpbrk(token, "\r\n \t"))
        return bp_fail(err, BP_EFORMAT, "the server's answer has no token");
    (void) snprintf(t->token, sizeof t->token, "%s", token);
    /* a fifth of its life is for using it */
    t->mono_until = bp_mono_ns() + (bp_ns_t) (BP_MIN(BP_MAX(life, 1), 86400.0) * 0.8e9);
    return 0;
}

static int sign_for_it(struct bp_device_tokens *t, const bool *cancel, struct bp_error *err) {
    json_t *o = NULL, *token = NULL;
    const char *nonce, *time;
    int r = post(t, "challenge", json_pack("{s:s}", "device", t->device), cancel, &o, err);

    if (r < 0)
        return r;
    nonce = json_string_value(json_object_get(o, "nonce"));
    time = json_string_value(json_object_get(o, "time_ns"));
    if (!nonce || strlen(nonce) > 100 || strpbrk(nonce, "\r\n"))
        r = bp_fail(err, BP_EFORMAT, "the server's challenge has no nonce");
    if (r == 0)
        r = post(t, "token", answer_of(t, nonce, time ? strtoll(time, NULL, 10) : bp_wall_ns()),
                 cancel, &token, err);
    if (r == 0)
        r = take(t, token, err);
    json_decref(token);
    json_decref(o);
    return r;
}

int bp_device_token(struct bp_device_tokens *t, const bool *cancel,
                    char ret[static BP_DEVICE_TOKEN_MAX], struct bp_error *err) {
    int r = 0;

    bp_mutex_lock(&t->turn);
    if (__atomic_load_n(&t->stopped, __ATOMIC_RELAXED)) {
        r = bp_fail(err, -ECANCELED, "given up");
    } else if (!*t->token || bp_mono_ns() >= t->mono_until) {
        t->token[0] = '\0';
        r = sign_for_it(t, cancel, err);
        if (r == -EACCES && (r = enrol(t, cancel, err)) == 0) /* it is not known there */
            r = sign_for_it(t, cancel, err);
    }
    if (r == 0)
        (void) snprintf(ret, BP_DEVICE_TOKEN_MAX, "%s", t->token);
    bp_mutex_unlock(&t->turn);
    return r;
}

void bp_device_token_forget(struct bp_device_tokens *t, const char *token) {
    bp_mutex_lock(&t->turn);
    if (bp_streq(t->token, token))
        bp_wipe(t->token, sizeof t->token);
    bp_mutex_unlock(&t->turn);
}

void bp_device_tokens_stop(struct bp_device_tokens *t) {
    if (t)
        __atomic_store_n(&t->stopped, true, __ATOMIC_RELAXED);
}

bool bp_device_tokens_are_for(const struct bp_device_tokens *t, const char *url) {
    BP_AUTO_FREE char *base = base_of(url);

    return base && bp_streq(base, t->url);
}
