#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <utlist.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "base/time.h"

/* A round: descriptors that are ready, then every call that was posted until then, then the tasks
 * both have asked for. So many posts become one pass over what they touched: under load the work
 * per message falls. Posts are taken by swapping two arrays, one system call wakes for any number.
 */

enum { EVENTS = 64, TICK_MS = 1000, KEEP_CALLS = 4096 };

struct call {
    void (*fn)(void *a, void *b);
    void *a, *b;
};

struct calls {
    struct call *v;
    size_t n, cap;
};

struct bp_loop {
    pthread_t thread;
    bool started;
    int epoll_fd, wake_fd;
    struct bp_mutex lock; /* leaf */
    struct calls inbox;   /* [lock] */
    bool stop;            /* [lock] */
    /* the loop's own: */
    struct calls work;
    struct epoll_event events[EVENTS];
    int nevents;
    struct bp_loop_task *tasks;
    unsigned round;
    struct bp_loop_tick *ticks;
    struct bp_loop_tick *next_tick; /* while ticks run */
    bp_ns_t mono_tick;
};

/* Takes everything posted. @return false: the end has come and nothing is left */
static bool take_calls(struct bp_loop *l) {
    struct calls done = l->work;
    bool more;

    bp_mutex_lock(&l->lock);
    l->work = l->inbox;
    l->inbox = done;
    more = !l->stop || l->work.n > 0;
    bp_mutex_unlock(&l->lock);
    return more;
}

static void run_calls(struct bp_loop *l) {
    for (size_t i = 0; i < l->work.n; i++)
        l->work.v[i].fn(l->work.v[i].a, l->work.v[i].b);
    l->work.n = 0;
    if (l->work.cap > KEEP_CALLS) { /* a flood has passed */
        free(l->work.v);
        l->work = (struct calls){ 0 };
    }
}

static void run_tasks(struct bp_loop *l) {
    struct bp_loop_task *t;

    l->round++; /* those asked for from here on are for the next one */
    while ((t = l->tasks) != NULL && t->round != l->round) {
        DL_DELETE(l->tasks, t);
        t->queued = false;
        t->run(t);
    }
}

static void run_ticks(struct bp_loop *l) {
    bp_ns_t now = bp_mono_ns();

    if (now < l->mono_tick)
        return;
    l->mono_tick = now + TICK_MS * BP_MS;
    for (struct bp_loop_tick *t = l->ticks; t; t = l->next_tick) {
        l->next_tick = t->next;
        t->run(t);
    }
    l->next_tick = NULL;
}

static void run_events(struct bp_loop *l) {
    for (int i = 0; i < l->nevents; i++) {
        struct bp_loop_fd *f = l->events[i].data.ptr;
        eventfd_t n;

        if (f == (void *) l)
            (void) eventfd_read(l->wake_fd, &n);
        else if (f)
            f->on(f, l->events[i].events);
    }
    l->nevents = 0;
}

static void *loop(void *arg) {
    struct bp_loop *l = arg;
    bool more = true;

    while (more) {
        int n = epoll_wait(l->epoll_fd, l->events, EVENTS, l->tasks ? 0 : l->ticks ? TICK_MS : -1);

        l->nevents = BP_MAX(n, 0);
        run_events(l);
        more = take_calls(l);
        run_calls(l);
        run_tasks(l);
        run_ticks(l);
    }
    return NULL;
}

int bp_loop_open(const char *name, struct bp_loop **ret) {
    BP_CLEANUP(bp_loop_closep) struct bp_loop *l = calloc(1, sizeof *l);
    struct epoll_event ev = { .events = EPOLLIN };
    int r;

    if (!l)
        return -ENOMEM;
    bp_mutex_init(&l->lock);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->wake_fd < 0)
        return -errno;
    ev.data.ptr = l;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0)
        return -errno;
    r = bp_thread_start(name, loop, l, &l->thread);
    if (r < 0)
        return r;
    l->started = true;
    *ret = BP_TAKE_PTR(l);
    return 0;
}

void bp_loop_close(struct bp_loop *l) {
    if (!l)
        return;
    if (l->started) {
        bp_mutex_lock(&l->lock);
        l->stop = true;
        bp_mutex_unlock(&l->lock);
        (void) eventfd_write(l->wake_fd, 1);
        (void) pthread_join(l->thread, NULL);
    }
    if (l->epoll_fd >= 0)
        (void) close(l->epoll_fd);
    if (l->wake_fd >= 0)
        (void) close(l->wake_fd);
    free(l->inbox.v);
    free(l->work.v);
    bp_mutex_done(&l->lock);
    free(l);
}

static bool grow_locked(struct bp_loop *l) BP_REQUIRES(l->lock);
static bool grow_locked(struct bp_loop *l) {
    size_t cap = l->inbox.cap ? 2 * l->inbox.cap : 64;
    struct call *v;

    if (l->inbox.n < l->inbox.cap)
        return true;
    v = realloc(l->inbox.v, cap * sizeof *v);
    if (!v)
        return false;
    l->inbox.v = v;
    l->inbox.cap = cap;
    return true;
}

int bp_loop_post(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b) {
    bool ok, first;

    bp_mutex_lock(&l->lock);
    first = l->inbox.n == 0;
    ok = grow_locked(l);
    if (ok)
        l->inbox.v[l->inbox.n++] = (struct call){ fn, a, b };
    bp_mutex_unlock(&l->lock);
    if (!ok)
        return -ENOMEM;
    if (first) /* who found it empty wakes; the loop takes all of it */
        (void) eventfd_write(l->wake_fd, 1);
    return 0;
}

void bp_loop_post_surely(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b) {
    while (bp_loop_post(l, fn, a, b) < 0)
        bp_sleep(BP_MS);
}

bool bp_loop_is_here(const struct bp_loop *l) {
    return pthread_equal(pthread_self(), l->thread) != 0;
}

struct waiting {
    void (*fn)(void *a, void *b);
    void *a, *b;
    struct bp_mutex lock;
    pthread_cond_t done_cond;
    bool done; /* [lock] */
};

static void call_and_tell(void *a, void *b) {
    struct waiting *w = a;

    (void) b;
    w->fn(w->a, w->b);
    bp_mutex_lock(&w->lock);
    w->done = true;
    (void) pthread_cond_signal(&w->done_cond);
    bp_mutex_unlock(&w->lock);
}

void bp_loop_call(struct bp_loop *l, void (*fn)(void *a, void *b), void *a, void *b) {
    struct waiting w = { .fn = fn, .a = a, .b = b, .lock = BP_MUTEX_INIT };

    if (bp_loop_is_here(l)) {
        fn(a, b);
        return;
    }
    (void) pthread_cond_init(&w.done_cond, NULL);
    bp_loop_post_surely(l, call_and_tell, &w, NULL);
    bp_mutex_lock(&w.lock);
    while (!w.done)
        bp_mutex_wait(&w.lock, &w.done_cond);
    bp_mutex_unlock(&w.lock);
    (void) pthread_cond_destroy(&w.done_cond);
    bp_mutex_done(&w.lock);
}

int bp_loop_watch(struct bp_loop *l, struct bp_loop_fd *f, uint32_t events) {
    struct epoll_event ev = { .events = events, .data.ptr = f };

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) < 0 ? -errno : 0;
}

void bp_loop_change(struct bp_loop *l, struct bp_loop_fd *f, uint32_t events) {
    struct epoll_event ev = { .events = events, .data.ptr = f };

    (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev);
}

void bp_loop_unwatch(struct bp_loop *l, struct bp_loop_fd *f) {
    (void) epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL);
    for (int i = 0; i < l->nevents; i++)
        if (l->events[i].data.ptr == f)
            l->events[i].data.ptr = NULL;
}

void bp_loop_soon(struct bp_loop *l, struct bp_loop_task *t) {
    if (t->queued)
        return;
    t->queued = true;
    t->round = l->round;
    DL_APPEND(l->tasks, t);
}

void bp_loop_forget(struct bp_loop *l, struct bp_loop_task *t) {
    if (!t->queued)
        return;
    DL_DELETE(l->tasks, t);
    t->queued = false;
}

void bp_loop_tick_add(struct bp_loop *l, struct bp_loop_tick *t) {
    DL_APPEND(l->ticks, t);
}

void bp_loop_tick_remove(struct bp_loop *l, struct bp_loop_tick *t) {
    if (l->next_tick == t)
        l->next_tick = t->next;
    DL_DELETE(l->ticks, t);
}
