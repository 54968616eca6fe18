#include "cli/top-poll.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "cli/agent-client.h"

/* Two threads, since stopping a session may take long and the picture should go on meanwhile. Each
 * has a connection of its own, which is made anew after a failure: the agent may have been
 * restarted, or its socket be another file now. */

static const bp_ns_t ask_timeout = 5 * BP_SEC, do_timeout = 120 * BP_SEC, patience = BP_SEC / 3;

struct bp_top_poll {
    const char *url; /* constant, like the next three */
    bp_ns_t interval;
    int told, wake_ask, wake_do; /* eventfds: for the main thread, and for the others */
    pthread_t ask, act;          /* main thread */
    bool asking, acting;         /* main thread: started */

    struct bp_mutex lock;    /* leaf */
    bool ending;             /* [lock] */
    struct bp_top_news news; /* [lock] */
    bool fresh;              /* [lock] `news` was not taken yet */
    bool busy;               /* [lock] a request waits or is made */
    char path[128];          /* [lock] changes only while not busy */
    char done[128];          /* [lock] the same */
    json_t *body;            /* [lock] the same */
    char reply[256];         /* [lock] "": none */
    bool bad;                /* [lock] */
};

void bp_top_news_done(struct bp_top_news *n) {
    for (size_t i = 0; i < BP_TOP_DOCS; i++)
        json_decref(n->doc[i]);
    *n = (struct bp_top_news){ 0 };
}

static int ask_all(struct bp_client *c, struct bp_top_news *n, struct bp_error *err) {
    static const char *const paths[BP_TOP_DOCS] = {
        [BP_TOP_DOC_STATUS] = "/api/v1/status",
        [BP_TOP_DOC_TOPICS] = "/api/v1/topics",
        [BP_TOP_DOC_RECORDING] = "/api/v1/sessions?status=recording&limit=32",
        [BP_TOP_DOC_PAUSED] = "/api/v1/sessions?status=paused&limit=32",
        [BP_TOP_DOC_ALERTS] = "/api/v1/alerts",
        [BP_TOP_DOC_LOGS] = "/api/v1/logs?tail=50&level=info",
        [BP_TOP_DOC_HOST] = "/api/v1/host",
    };
    int r = 0;

    n->mono = bp_mono_ns();
    for (size_t i = 0; r == 0 && i < BP_TOP_DOCS; i++) {
        r = bp_client_json(c, "GET", paths[i], NULL, &n->doc[i], err);
        if (r == -ENOENT && i != BP_TOP_DOC_STATUS) /* an agent of an earlier version */
            r = 0;
    }
    return r;
}

int bp_top_ask_once(const char *url, struct bp_top_news *ret, struct bp_error *err) {
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    struct bp_top_news n = { 0 };
    int r = bp_cli_connect_for(url, ask_timeout, &c, err);

    if (r == 0)
        r = ask_all(c, &n, err);
    if (r < 0)
        bp_top_news_done(&n);
    else
        *ret = n;
    return r;
}

/* ---- threads ---- */

static void ring(int fd) {
    (void) !write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

/* @return false when the thread shall end */
static bool sleep_until_woken(struct bp_top_poll *p, int fd, int timeout_ms) {
    struct pollfd w = { .fd = fd, .events = POLLIN };
    uint64_t n;
    bool ending;

    (void) poll(&w, 1, timeout_ms);
    (void) !read(fd, &n, sizeof n);
    bp_mutex_lock(&p->lock);
    ending = p->ending;
    bp_mutex_unlock(&p->lock);
    return !ending;
}

static void *ask_main(void *arg) {
    struct bp_top_poll *p = arg;
    struct bp_client *c = NULL;
    int wait_ms;

    do {
        struct bp_top_news n = { 0 }, old;
        struct bp_error err = { 0 };
        int r = c ? 0 : bp_cli_connect_for(p->url, ask_timeout, &c, &err);

        if (r == 0)
            r = ask_all(c, &n, &err);
        if (r < 0) {
            bp_top_news_done(&n);
            n.err = err;
            n.err.code = r;
            bp_client_close(BP_TAKE_PTR(c));
        }
        bp_mutex_lock(&p->lock);
        old = p->news;
        p->news = n;
        p->fresh = true;
        bp_mutex_unlock(&p->lock);
        bp_top_news_done(&old);
        ring(p->told);
        wait_ms = (int) (BP_MAX(p->interval, BP_SEC / 10) / 1000000);
    } while (sleep_until_woken(p, p->wake_ask, wait_ms));
    bp_client_close(c);
    return NULL;
}

static int request(struct bp_top_poll *p, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    int r = bp_cli_connect_for(p->url, do_timeout, &c, err);

    return r < 0 ? r : bp_client_json(c, "POST", p->path, p->body, ret, err);
}

static void make_request(struct bp_top_poll *p) {
    struct bp_error err = { 0 };
    json_t *o = NULL, *body;
    int r = request(p, &o, &err);
    const char *name = json_string_value(json_object_get(o, "name"));
    char text[sizeof p->reply];

    if (r < 0)
        (void) snprintf(text, sizeof text, "%s", err.text);
    else
        (void) snprintf(text, sizeof text, "%s%s%s", p->done, name ? ": " : "", name ? name : "");
    json_decref(o);
    bp_mutex_lock(&p->lock);
    memcpy(p->reply, text, sizeof text);
    p->bad = r < 0;
    body = BP_TAKE_PTR(p->body);
    p->busy = false;
    bp_mutex_unlock(&p->lock);
    json_decref(body);
    ring(p->told);
    ring(p->wake_ask); /* show it at once */
}

static void *do_main(void *arg) {
    struct bp_top_poll *p = arg;

    while (sleep_until_woken(p, p->wake_do, -1)) {
        bool busy;

        bp_mutex_lock(&p->lock);
        busy = p->busy;
        bp_mutex_unlock(&p->lock);
        if (busy)
            make_request(p);
    }
    return NULL;
}

/* ---- for the main thread ---- */

static void release(struct bp_top_poll *p) {
    bp_top_news_done(&p->news);
    json_decref(p->body);
    bp_closep(&p->told);
    bp_closep(&p->wake_ask);
    bp_closep(&p->wake_do);
    bp_mutex_done(&p->lock);
    free(p);
}

int bp_top_poll_open(const char *url, bp_ns_t interval, struct bp_top_poll **ret,
                     struct bp_error *err) {
    struct bp_top_poll *p = calloc(1, sizeof *p);
    int r = 0;

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    p->url = url;
    p->interval = interval;
    bp_mutex_init(&p->lock);
    p->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->wake_ask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->wake_do = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->told < 0 || p->wake_ask < 0 || p->wake_do < 0)
        r = -errno;
    if (r == 0) {
        r = bp_thread_start("top-ask", ask_main, p, &p->ask);
        p->asking = r == 0;
    }
    if (r == 0) {
        r = bp_thread_start("top-do", do_main, p, &p->act);
        p->acting = r == 0;
    }
    if (r < 0) {
        (void) bp_top_poll_close(p);
        return bp_fail(err, r, "cannot start asking the agent: %s", bp_strerror(r));
    }
    *ret = p;
    return 0;
}

static bool join(pthread_t t, bp_ns_t wall_until) {
    struct timespec until = { .tv_sec = wall_until / BP_SEC, .tv_nsec = wall_until % BP_SEC };

    return pthread_timedjoin_np(t, NULL, &until) == 0;
}

bool bp_top_poll_close(struct bp_top_poll *p) {
    bp_ns_t until = bp_wall_ns() + patience;
    bool over = true;

    if (!p)
        return true;
    bp_mutex_lock(&p->lock);
    p->ending = true;
    bp_mutex_unlock(&p->lock);
    ring(p->wake_ask);
    ring(p->wake_do);
    if (p->asking)
        over &= join(p->ask, until);
    if (p->acting)
        over &= join(p->act, until);
    if (over)
        release(p);
    return over;
}

int bp_top_poll_fd(const struct bp_top_poll *p) {
    return p->told;
}

bool bp_top_poll_take(struct bp_top_poll *p, struct bp_top_news *ret) {
    uint64_t n;
    bool fresh;

    (void) !read(p->told, &n, sizeof n);
    bp_mutex_lock(&p->lock);
    fresh = p->fresh;
    if (fresh) {
        *ret = p->news;
        p->news = (struct bp_top_news){ 0 };
        p->fresh = false;
    }
    bp_mutex_unlock(&p->lock);
    return fresh;
}

bool bp_top_poll_do(struct bp_top_poll *p, const char *path, json_t *body, const char *done) {
    bool taken;

    bp_mutex_lock(&p->lock);
    taken = !p->busy;
    if (taken) {
        (void) snprintf(p->path, sizeof p->path, "%s", path);
        (void) snprintf(p->done, sizeof p->done, "%s", done);
        p->body = body;
        p->busy = true;
    }
    bp_mutex_unlock(&p->lock);
    if (taken)
        ring(p->wake_do);
    else
        json_decref(body);
    return taken;
}

bool bp_top_poll_reply(struct bp_top_poll *p, char *ret, size_t cap, bool *ret_bad) {
    bool there;

    bp_mutex_lock(&p->lock);
    there = *p->reply != 0;
    if (there) {
        (void) snprintf(ret, cap, "%s", p->reply);
        *ret_bad = p->bad;
        p->reply[0] = 0;
    }
    bp_mutex_unlock(&p->lock);
    return there;
}
