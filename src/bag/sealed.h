#pragma once

#include <stdbool.h>

#include "base/io.h"
#include "base/mutex.h"
#include "crypt/key.h"

/* The sealed container (docs/formats/sealed.md): a file in frames of AES-256-GCM, seen through as
 * the plain file inside. Memory is bounded by a few frames, however large the file.
 *
 * One appender; preads from any thread beside it. */

#define BP_SEALED_SUFFIX ".sealed"

enum {
    BP_SEALED_HEADER = 4096,
    BP_SEALED_HEAD = 160,            /* of a frame */
    BP_SEALED_FRAME_MOST = 16 << 20, /* what a reader takes */
    BP_SEALED_FRAME = 4 << 20,       /* what we write at most */
    BP_SEALED_NO_LANE = -1,
};

/* What a frame says in the clear about the messages it completes. */
struct bp_sealed_label {
    uint32_t lane; /* UINT32_MAX = none */
    uint8_t run[16];
    uint64_t first, last;
};

/* The head of a frame. */
struct bp_sealed_frame {
    enum bp_sealed_type {
        BP_SEALED_DATA = 1,
        BP_SEALED_END = 2,
        BP_SEALED_CLOSED = 3, /* by recovery without a key */
        BP_SEALED_JOURNAL = 4,
    } type;
    uint32_t n;
    uint64_t number, off;
    struct bp_sealed_label label;
    uint32_t crc;
};

enum bp_sealed_state {
    BP_SEALED_OPEN,     /* no end: it is being written, or was interrupted */
    BP_SEALED_CUT,      /* closed without key */
    BP_SEALED_COMPLETE, /* its end frame is there; with a key: and genuine */
};

struct bp_sealed;

/** By the first bytes of a file. */
bool bp_sealed_probe(const uint8_t *head, size_t n);
/** By a file's name: it is (to be) sealed. */
bool bp_sealed_name(const char *path);
/** Bytes on disk of a frame with n plain bytes. */
uint64_t bp_sealed_frame_bytes(uint64_t n);

/**
 * Starts a container in an empty file: writes the header.
 *
 * @param io      below: its bytes are those on disk; borrowed
 * @param fd      stays the caller's
 * @param keys    recipients, one at least; borrowed
 * @param session  id that the header tells, or NULL
 * @param direct  fd is O_DIRECT
 * @return 0, BP_EKEY without recipients, -ENOMEM, an errno
 */
BP_MUST_CHECK int bp_sealed_create(const struct bp_io *io, int fd, struct bp_keyring *keys,
                                   const char *session, struct bp_sealed **ret);

/**
 * Looks at a container. Without a key that opens it, or with `keys` NULL, frames are known by head
 * and CRC but not readable. An interrupted one is read whole once, and is taken to end where the
 * last whole frame does; what is damaged before is a hole.
 *
 * @return 0; BP_EFORMAT (no container, or of a later version), BP_ECORRUPT (its header), -ENOMEM,
 *         an errno. A key that is missing is no failure: bp_sealed_readable().
 */
BP_MUST_CHECK int bp_sealed_open(const struct bp_io *io, int fd, struct bp_keyring *keys,
                                 struct bp_sealed **ret);
/** Its recipients and state alone, cheaply: nothing is read through it. @return as bp_sealed_open()
 */
BP_MUST_CHECK int bp_sealed_peek(const struct bp_io *io, int fd, struct bp_keyring *keys,
                                 struct bp_sealed **ret);
/** By the header alone, in memory: for bp_sealed_take(). @return as bp_sealed_open() */
BP_MUST_CHECK int bp_sealed_from_header(const uint8_t *p, size_t n, struct bp_keyring *keys,
                                        struct bp_sealed **ret);
/** Wipes and frees; the descriptor is not closed. Takes NULL. */
void bp_sealed_free(struct bp_sealed *s);
BP_DEFINE_CLEANUP(struct bp_sealed, bp_sealed_free)

bool bp_sealed_readable(const struct bp_sealed *s);
enum bp_sealed_state bp_sealed_state(const struct bp_sealed *s);
/** "key id 0123…": whom it is sealed to. */
void bp_sealed_recipients(const struct bp_sealed *s, char *ret, size_t cap);
/** Id of its session as the header tells it, or empty. */
struct bp_str bp_sealed_session(const struct bp_sealed *s);
/** Adds the public keys among its recipients to a ring, to seal more for them. */
BP_MUST_CHECK int bp_sealed_add_recipients(const struct bp_sealed *s, struct bp_keyring *k);
/** Of the plain file. */
uint64_t bp_sealed_size(const struct bp_sealed *s);
uint64_t bp_sealed_frames(const struct bp_sealed *s);
/** Most plain bytes that one of its frames has. */
size_t bp_sealed_frame_most(const struct bp_sealed *s);
/** End of the last whole frame (before an end frame) in the file on disk. */
uint64_t bp_sealed_stored(const struct bp_sealed *s);
/** Damaged stretches before the last whole frame. */
uint64_t bp_sealed_holes(const struct bp_sealed *s);

/**
 * Plain bytes; short at the end only.
 *
 * @param lenient  what does not decrypt reads as zeros
 * @return bytes, BP_EKEY, BP_ECORRUPT, -ENOMEM, an errno
 */
ssize_t bp_sealed_pread(struct bp_sealed *s, void *buf, size_t n, uint64_t off, bool lenient);

/** Lets go of what small reads were served from; reading goes on all the same. */
void bp_sealed_relax(struct bp_sealed *s);
/** pread() of a descriptor, or of the plain file when `s` is given. @return bytes or a negative
 * code */
ssize_t bp_sealed_or_pread(struct bp_sealed *s, int fd, void *buf, size_t n, uint64_t off,
                           bool lenient);

/**
 * Writes at plain offset `off`, a frame's start or the end; what was behind is gone.
 *
 * @param label  in the last frame; NULL = none
 * @return 0, -EINVAL, BP_EKEY, -ENOMEM, an errno: nothing but garbage behind the end has changed
 * then
 */
BP_MUST_CHECK int bp_sealed_append(struct bp_sealed *s, const void *p, size_t n, uint64_t off,
                                   const struct bp_sealed_label *label);
/** Writes the end frame: nothing may follow. Syncs nothing. */
BP_MUST_CHECK int bp_sealed_end(struct bp_sealed *s);
/** Closes what nobody here can read: cuts behind the last whole frame, says so in the clear. */
BP_MUST_CHECK int bp_sealed_close_blind(struct bp_sealed *s);
/** Cuts the plain file, inside a frame too; keeps an end frame when nothing is cut. */
BP_MUST_CHECK int bp_sealed_truncate(struct bp_sealed *s, uint64_t size);

/** Reads the head and CRC of frame i again. @return 0, BP_ECORRUPT, an errno */
BP_MUST_CHECK int bp_sealed_check(struct bp_sealed *s, uint64_t i, struct bp_sealed_frame *ret);

/** Reads the head of frame i alone. @return as above */
BP_MUST_CHECK int bp_sealed_look(struct bp_sealed *s, uint64_t i, struct bp_sealed_frame *ret);

/* ---- ciphertext made ahead, by another thread ---- */

struct bp_seal_key; /* what it takes to seal for one file; counted references */

/** @return a reference, or NULL when the file is not ours to write */
struct bp_seal_key *bp_sealed_key(struct bp_sealed *s);
struct bp_seal_key *bp_seal_key_ref(struct bp_seal_key *k);
/** Takes NULL. */
void bp_seal_key_unref(struct bp_seal_key *k);

/* One thread's side of it. Zero-initialise. */
struct bp_sealer {
    uint8_t file_id[BP_FILE_ID];
    struct bp_aead *aead; /* owned */
};
void bp_sealer_done(struct bp_sealer *s);

/* Ciphertext that has no place yet. */
struct bp_sealed_ahead {
    uint8_t file_id[BP_FILE_ID];
    uint8_t *p;   /* block-aligned, bp_sealed_ahead_bound() bytes; the caller's */
    uint64_t n;   /* plain bytes in it */
    uint64_t len; /* bytes of `p` in use */
};
/** Room that n plain bytes ahead and `rest` more behind them take. */
uint64_t bp_sealed_ahead_bound(uint64_t n, uint64_t rest);
/**
 * Seals n bytes (whole blocks) into ret->p, which the caller has set.
 *
 * @return 0, -EIO, -ENOMEM
 */
BP_MUST_CHECK int bp_sealer_seal(struct bp_sealer *s, const struct bp_seal_key *k, const void *p,
                                 uint64_t n, struct bp_sealed_ahead *ret);
/**
 * As bp_sealed_append() of a->n bytes made ahead and n more, in one write.
 *
 * @return as there; -ESTALE when they were made for another file
 */
BP_MUST_CHECK int bp_sealed_append_ahead(struct bp_sealed *s, struct bp_sealed_ahead *a,
                                         const void *rest, size_t n, uint64_t off,
                                         const struct bp_sealed_label *label);

/* ---- one frame at a time, in memory: the journal ---- */

/**
 * Seals n bytes into `out`, which has room for bp_sealed_frame_bytes(n). Number and offset are the
 * caller's.
 */
BP_MUST_CHECK int bp_sealed_put(struct bp_sealed *s, enum bp_sealed_type type, uint64_t number,
                                uint64_t off, const struct bp_sealed_label *label, const void *p,
                                size_t n, uint8_t *out);
/**
 * Opens the frame at `p`.
 *
 * @param out  room for ret->n bytes; NULL = only look, at head and CRC
 * @return 0, BP_ECORRUPT, BP_EKEY
 */
BP_MUST_CHECK int bp_sealed_take(struct bp_sealed *s, const uint8_t *p, size_t n, uint8_t *out,
                                 struct bp_sealed_frame *ret);

/* ---- boxes: for formats that keep frames of their own, behind the header of a container ---- */

enum { BP_SEALED_BOX = 32 }; /* bytes in front of the ciphertext: nonce, tag, zeros */

/** A new content key, sealed to `keys`; `header` is for the caller to write. @return 0, BP_EKEY
 *  without recipients, -ENOMEM, -EIO */
BP_MUST_CHECK int bp_sealed_key_new(struct bp_keyring *keys,
                                    uint8_t ret_header[static BP_SEALED_HEADER],
                                    struct bp_sealed **ret);
/**
 * Seals the n bytes at `p + BP_SEALED_BOX` where they are; `p` then begins a box. Any thread.
 *
 * @param bound  what the box vouches for beside its text, up to 128 bytes
 * @return 0, BP_EKEY, -EIO
 */
BP_MUST_CHECK int bp_sealed_box(struct bp_sealed *s, const void *bound, size_t nbound, uint8_t *p,
                                size_t n);
/** The way back, to `p + BP_SEALED_BOX`. @return 0, BP_EKEY, BP_ECORRUPT when anything was changed
 */
BP_MUST_CHECK int bp_sealed_unbox(struct bp_sealed *s, const void *bound, size_t nbound, uint8_t *p,
                                  size_t n);

/* ---- as file operations ---- */

/* Everything below looks plain: files whose names end in ".sealed" are sealed when they are made
 * and opened when they are read, all others are passed on. Constant once made; must outlive its
 * files. */
struct bp_sealed_io {
    struct bp_io io; /* use this */
    const struct bp_io *under;
    struct bp_keyring *keys;
    char session[32]; /* for the headers of new files; set before they are made */
    struct bp_mutex lock;
    struct bp_sealed_fd *open; /* [lock] */
};

/** @param keys  who reads, and whom new files are sealed to; borrowed */
void bp_sealed_io_init(struct bp_sealed_io *s, const struct bp_io *under, struct bp_keyring *keys);
/** The session that new files of a sealing table belong to; nothing for others. */
void bp_sealed_io_session(const struct bp_io *io, const char *id);
/** Does the table seal? Then its keys, else NULL. */
struct bp_keyring *bp_io_keys(const struct bp_io *io);
/** The operations below a sealing table; any other table itself. For digests of files as they are.
 */
const struct bp_io *bp_io_below(const struct bp_io *io);
/** The open container of a descriptor, or NULL. */
struct bp_sealed *bp_sealed_of(const struct bp_io *io, int fd);
/** Says what the next write to this descriptor completes; nothing for plain files. */
void bp_sealed_io_label(const struct bp_io *io, int fd, const struct bp_sealed_label *label);
/** Writes the end frame of a sealed file; nothing for plain ones. */
BP_MUST_CHECK int bp_sealed_io_end(const struct bp_io *io, int fd);
