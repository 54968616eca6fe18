#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macro.h"

/* Memory for keys, passphrases and tokens. It is left out of core dumps (MADV_DONTDUMP), not
 * inherited by children (MADV_WIPEONFORK), kept out of swap where the limits allow (mlock), and
 * cleared when it is given back. Each secret has pages of its own: few and long-lived ones are
 * meant. A struct belongs to one thread, or is constant once it is filled. */

enum { BP_SECRET_MAX = 1 << 20 };

/* Zero-initialise; release with bp_secret_done(). */
struct bp_secret {
    uint8_t *p;    /* owned; one zero byte follows p[n - 1], so that texts can be used as such */
    size_t n;      /* bytes of the secret */
    size_t mapped; /* bytes of pages */
};

/** Clears, gives back and zeroes the struct. Takes NULL and a zeroed one. */
void bp_secret_done(struct bp_secret *s);
#define BP_AUTO_SECRET BP_CLEANUP(bp_secret_done) struct bp_secret

/**
 * n zeroed bytes (and the zero behind them).
 *
 * @param ret  what it held is not released
 * @return 0; -E2BIG above BP_SECRET_MAX; -ENOMEM, also where the kernel cannot keep the pages out
 *         of core dumps
 */
BP_MUST_CHECK int bp_secret_alloc(size_t n, struct bp_secret *ret);
/** A copy of n bytes. The caller clears its own. @return as bp_secret_alloc() */
BP_MUST_CHECK int bp_secret_copy(const void *p, size_t n, struct bp_secret *ret);

/** Overwrites n bytes, even where the compiler sees that nobody reads them afterwards. */
void bp_secret_wipe(void *p, size_t n);
/** Are the n bytes the same? In time that does not depend on where they differ. */
bool bp_secret_equal(const void *a, const void *b, size_t n);

/**
 * Reads to the end of a descriptor, straight into protected memory; one line feed at the end (with
 * a carriage return before it) is dropped when `text`.
 *
 * @return 0, -EFBIG above `limit`, -ENOMEM, or why it cannot be read
 */
BP_MUST_CHECK int bp_secret_read(int fd, size_t limit, bool text, struct bp_secret *ret);
/** The same of a file. @return as above, or -ENOENT, -EACCES, … */
BP_MUST_CHECK int bp_secret_read_file(const char *path, size_t limit, bool text,
                                      struct bp_secret *ret, struct bp_error *err);

/**
 * Takes a secret out of the environment: afterwards neither getenv(), nor /proc/PID/environ, nor a
 * core dump, nor a child knows it. Only before threads are started.
 *
 * @return 0; -ENOENT when it is not set or empty; -ENOMEM
 */
BP_MUST_CHECK int bp_secret_take_env(const char *name, struct bp_secret *ret);

/** Overwrites what functions that have returned left on the stack below the caller, and in
 *  registers: whoever has worked with a key calls it last. 32 KiB, a microsecond. */
void bp_secret_scrub_stack(void);

/* OpenSSL's own memory (key schedules, contexts) is allocated in pages that no core dump shows,
 * from before its first allocation on, and cleared when it is freed: openssl-mem.c. */

/** Is that so? Not under AddressSanitizer, which wants to see each allocation. */
bool bp_secret_openssl_protected(void);
