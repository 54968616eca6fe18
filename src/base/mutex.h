#pragma once

#include <pthread.h>

#include "base/macro.h"

/* A mutex that clang's -Wthread-safety understands: functions that need it end in _locked and carry
 * BP_REQUIRES(x->lock). Fields say "[lock]" in a comment. Locked sections are short and unlock by
 * hand; nothing is called back, allocated, logged or done to a file in them. */
struct BP_CAPABILITY("mutex") bp_mutex {
    pthread_mutex_t m;
};

#define BP_MUTEX_INIT \
    { PTHREAD_MUTEX_INITIALIZER }

#if defined(__clang__)
#define BP_NO_THREAD_SAFETY __attribute__((no_thread_safety_analysis))
#else
#define BP_NO_THREAD_SAFETY
#endif

static inline void bp_mutex_init(struct bp_mutex *l) {
    (void) pthread_mutex_init(&l->m, NULL);
}

static inline void bp_mutex_done(struct bp_mutex *l) {
    (void) pthread_mutex_destroy(&l->m);
}

static inline void bp_mutex_lock(struct bp_mutex *l) BP_ACQUIRE(*l) BP_NO_THREAD_SAFETY {
    (void) pthread_mutex_lock(&l->m);
}

static inline void bp_mutex_unlock(struct bp_mutex *l) BP_RELEASE(*l) BP_NO_THREAD_SAFETY {
    (void) pthread_mutex_unlock(&l->m);
}

/** Waits on `c`; the lock is released meanwhile and held again afterwards. */
static inline void bp_mutex_wait(struct bp_mutex *l, pthread_cond_t *c) BP_REQUIRES(*l) {
    (void) pthread_cond_wait(c, &l->m);
}
