/* Keys, where they come from, and renewing them before they end. What is known is one immutable
 * object with references: requests copy it outside of the lock. One thread at a time asks anew;
 * the others go on with what is still good, or wait. */
#include <errno.h>
#include <stdio.h>

#include "crypt/secret.h"
#include "net/s3-priv.h"

#define EARLY   (BP_SEC * 5 * 60) /* renewed so long before the end */
#define PATIENT (BP_SEC * 30)     /* until a source that failed is asked again */

enum source { GIVEN, ENVIRONMENT, WEB_IDENTITY, FILES, CONTAINER, INSTANCE, SOURCES_N };

static const struct {
    bp_s3_source_get *get;
    const char *name;
    bool renews; /* asked anew it may give others */
} sources[] = {
    [GIVEN] = { NULL, "given by hand", false },
    [ENVIRONMENT] = { bp_s3_from_environment, "environment", false },
    [WEB_IDENTITY] = { bp_s3_from_web_identity, "web identity", true },
    [FILES] = { bp_s3_from_files, "shared files", true },
    [CONTAINER] = { bp_s3_from_container, "container", true },
    [INSTANCE] = { bp_s3_from_instance, "instance metadata", true },
};

struct known {
    unsigned refs; /* [lock] */
    enum source from;
    struct bp_s3_keys keys; /* constant */
};

struct bp_s3_creds {
    struct bp_fetch *fetch; /* borrowed */
    char *profile;          /* constant; owned, or NULL: by environment */
    struct bp_mutex lock;   /* leaf */
    pthread_cond_t changed;
    struct known *known;     /* [lock] a reference, or NULL */
    bool asking;             /* [lock] some thread is at it */
    bp_ns_t retry_mono;      /* [lock] not asked again before */
    struct bp_error failure; /* [lock] of the last asking */
};

void bp_s3_keys_done(struct bp_s3_keys *k) {
    if (k->secret)
        bp_wipe(k->secret, strlen(k->secret));
    if (k->token)
        bp_wipe(k->token, strlen(k->token));
    free(k->access);
    free(k->secret);
    free(k->token);
    *k = (struct bp_s3_keys){ 0 };
}

/* What goes into a header or an URL is one word. */
static bool is_word(const char *text) {
    for (; *text; text++)
        if ((unsigned char) *text <= ' ' || *text == 127)
            return false;
    return true;
}

int bp_s3_keys_set(struct bp_s3_keys *k, const char *access, const char *secret, const char *token,
                   bp_ns_t expires) {
    bool has_token = token && token[0];

    bp_s3_keys_done(k);
    if (!is_word(access) || (has_token && !is_word(token)))
        return -EINVAL;
    k->access = strdup(access);
    k->secret = strdup(secret);
    k->token = has_token ? strdup(token) : NULL;
    k->expires = expires;
    if (k->access && k->secret && (!has_token || k->token))
        return 0;
    bp_s3_keys_done(k);
    return -ENOMEM;
}

/* ---- what is known ---- */

static struct known *known_new(enum source from) {
    struct known *n = calloc(1, sizeof *n);

    if (n) {
        n->refs = 1;
        n->from = from;
    }
    return n;
}

static void known_free(struct known *n) {
    if (!n)
        return;
    bp_s3_keys_done(&n->keys);
    free(n);
}
BP_DEFINE_CLEANUP(struct known, known_free)

static void unref(struct bp_s3_creds *c, struct known *n) {
    bool last;

    if (!n)
        return;
    bp_mutex_lock(&c->lock);
    last = --n->refs == 0;
    bp_mutex_unlock(&c->lock);
    if (last)
        known_free(n);
}

static int read_options(struct bp_s3_creds *c, const struct bp_s3_creds_options *o,
                        struct bp_error *err) {
    BP_CLEANUP(known_freep) struct known *n = NULL;
    int r = 0;

    if (!o->access_key != !o->secret_key)
        return bp_fail(err, -EINVAL, "an access key and a secret key belong together");
    if (o->profile && o->profile[0] && !(c->profile = strdup(o->profile)))
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!o->access_key && !o->anonymous)
        return 0;
    n = known_new(GIVEN);
    if (!n)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!o->anonymous)
        r = bp_s3_keys_set(&n->keys, o->access_key, o->secret_key, o->session_token, 0);
    if (r < 0)
        return bp_fail(err, r, "the keys for S3 cannot be used: %s", bp_strerror(r));
    c->known = BP_TAKE_PTR(n);
    return 0;
}

int bp_s3_creds_open(const struct bp_s3_creds_options *options, struct bp_fetch *fetch,
                     struct bp_s3_creds **ret, struct bp_error *err) {
    BP_CLEANUP(bp_s3_creds_closep) struct bp_s3_creds *c = calloc(1, sizeof *c);
    int r;

    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    c->fetch = fetch;
    bp_mutex_init(&c->lock);
    (void) pthread_cond_init(&c->changed, NULL);
    r = read_options(c, options, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(c);
    return 0;
}

void bp_s3_creds_close(struct bp_s3_creds *c) {
    if (!c)
        return;
    known_free(c->known);
    (void) pthread_cond_destroy(&c->changed);
    bp_mutex_done(&c->lock);
    free(c->profile);
    free(c);
}

static const char *profile_of(const struct bp_s3_creds *c) {
    const char *p = c->profile ? c->profile : bp_s3_env("AWS_PROFILE");

    return p ? p : "default";
}

char *bp_s3_creds_region(const struct bp_s3_creds *c) {
    char *text = NULL;
    int r = bp_s3_profile_value(true, profile_of(c), "region", &text, NULL);

    return r > 0 ? text : NULL;
}

/* ---- asking ---- */

/* The first source that is set up here. @return 0; -EACCES when none is; its failure */
static int ask(const struct bp_s3_creds *c, struct known **ret, struct bp_error *err) {
    BP_CLEANUP(known_freep) struct known *n = known_new(GIVEN);

    if (!n)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (int i = ENVIRONMENT; i < SOURCES_N; i++) {
        int r;

        if (c->profile && i != FILES) /* whoever names a profile means it */
            continue;
        r = sources[i].get(profile_of(c), c->fetch, &n->keys, err);
        if (r < 0)
            return bp_prefix(err, r, "credentials for S3 from %s", sources[i].name);
        if (r > 0) {
            n->from = (enum source) i;
            *ret = BP_TAKE_PTR(n);
            return 0;
        }
    }
    if (c->profile)
        return bp_fail(err, -EACCES, "no credentials for S3: profile '%s' has none", c->profile);
    return bp_fail(err, -EACCES,
                   "no credentials for S3: not in the environment, a web identity, profile '%s', a "
                   "container or the instance's metadata",
                   profile_of(c));
}

static bool good_for(const struct known *n, bp_ns_t wall, bp_ns_t time) {
    return n && (n->keys.expires == 0 || n->keys.expires - wall > time);
}

/* Asks with the lock released; afterwards `known` or `failure` is new. */
static void ask_locked(struct bp_s3_creds *c) BP_REQUIRES(c->lock) {
    struct bp_error err = { 0 };
    struct known *n = NULL, *old = NULL;

    c->asking = true;
    bp_mutex_unlock(&c->lock);
    (void) ask(c, &n, &err);
    bp_mutex_lock(&c->lock);
    c->asking = false;
    c->failure = err;
    c->retry_mono = good_for(n, bp_wall_ns(), EARLY) ? 0 : bp_mono_ns() + PATIENT;
    if (n) {
        old = c->known;
        c->known = n;
    }
    (void) pthread_cond_broadcast(&c->changed);
    bp_mutex_unlock(&c->lock);
    unref(c, old);
    bp_mutex_lock(&c->lock);
}

/* A reference to what may be used now; NULL: `err` says why there is nothing. */
static struct known *present(struct bp_s3_creds *c, struct bp_error *err) {
    struct known *n = NULL;

    bp_mutex_lock(&c->lock);
    while (!good_for(c->known, bp_wall_ns(), EARLY)) {
        bool usable = good_for(c->known, bp_wall_ns(), 0);

        if (c->asking && !usable) {
            bp_mutex_wait(&c->lock, &c->changed);
            continue;
        }
        if (c->asking || bp_mono_ns() < c->retry_mono)
            break;
        ask_locked(c);
        if (bp_mono_ns() < c->retry_mono || !good_for(c->known, bp_wall_ns(), EARLY))
            break; /* what is new may be short-lived: it is used as long as it lasts */
    }
    if (good_for(c->known, bp_wall_ns(), 0)) {
        n = c->known;
        n->refs++;
    } else if (err) {
        *err = c->failure;
        if (!err->code)
            (void) bp_fail(err, -EACCES, "the credentials for S3 have expired");
    }
    bp_mutex_unlock(&c->lock);
    return n;
}

int bp_s3_creds_get(struct bp_s3_creds *c, struct bp_s3_keys *ret, struct bp_error *err) {
    struct bp_error e = { 0 };
    struct known *n = present(c, &e);
    int r = 0;

    if (!n)
        return bp_fail(err, e.code, "%s", e.text);
    if (n->keys.access)
        r = bp_s3_keys_set(ret, n->keys.access, n->keys.secret, n->keys.token, n->keys.expires);
    unref(c, n);
    return r < 0 ? bp_fail(err, r, "credentials for S3: %s", bp_strerror(r)) : 0;
}

bool bp_s3_creds_expired(struct bp_s3_creds *c, const char *access) {
    struct known *old = NULL;
    bool renews;

    bp_mutex_lock(&c->lock);
    renews = !c->known || sources[c->known->from].renews;
    if (renews && c->known && bp_streq(c->known->keys.access, access)) {
        old = c->known;
        c->known = NULL;
        c->retry_mono = 0;
    }
    bp_mutex_unlock(&c->lock);
    unref(c, old);
    return renews;
}

int bp_s3_creds_check(struct bp_s3_creds *c, struct bp_error *err) {
    struct bp_s3_keys keys = { 0 };
    int r = bp_s3_creds_get(c, &keys, err);

    bp_s3_keys_done(&keys);
    return r;
}

const char *bp_s3_creds_source(struct bp_s3_creds *c) {
    const char *name;

    bp_mutex_lock(&c->lock);
    name = c->known ? c->known->keys.access ? sources[c->known->from].name : "none: anonymous" : "";
    bp_mutex_unlock(&c->lock);
    return name;
}
