#pragma once

#include "bag/history-disk.h"
#include "bag/sealed.h"

/* Inside of the history's files: history-disk.c begins, ends, reads; history-spill.c writes what is
 * new in memory; history-takeup.c takes up what an earlier life left. */

enum { HISTORY_FILE_LEAST = 8 << 20, HISTORY_FILE_MOST = 64 << 20 };

struct dfile {
    uint32_t number, run; /* run: index into runs */
    uint64_t bytes;       /* whole frames */
    uint64_t first, end;  /* numbers of entries; end is of what was written */
    bp_ns_t began;        /* log time, of the run's clock */
    bp_ns_t offset;       /* wall minus mono when it began */
    bool torn;            /* it ended before its end: something is missing behind it */
    bool sealed, locked;  /* no key here opens it: kept, but not read */
};

struct drun {
    uint8_t id[16];
    bp_ns_t max_log;
    uint32_t *channels, *sources; /* owned: id in the run -> ours + 1; NULL for this run */
    size_t nchannels, nsources;
    struct bp_sealed *seal; /* owned; NULL: in the clear, or locked */
};

struct disk {
    struct bp_history_store *h;
    const struct bp_io *io;
    char dir[1024];
    int lock_fd;
    uint64_t file_bytes; /* constant */
    bp_ns_t started_mono;

    struct bp_mutex lock;
    struct dfile *files; /* [lock] by number; owned */
    size_t n, cap;       /* [lock] */
    struct drun *runs;   /* [lock] owned; the last is this one, constant once open */
    size_t nruns;
    uint64_t written, removed, missed; /* [lock] */
    int error;                         /* [lock] */

    uint8_t *header; /* owned, constant: what sealed files of this run begin with; or NULL */
    int fd;          /* [thread] of the newest file, -1 = none */
    uint64_t off, frames;
    uint64_t entry_bytes; /* [thread] of entries in it */
    uint64_t at, hint_block, hint;
    struct bp_history_copy copy;
    bool waiting;           /* [thread] `copy` could not be written yet */
    uint64_t defined;       /* [thread] version of definitions that the file has */
    uint32_t known_sources; /* [thread] that it has */
    bp_ns_t next_sync, retry_at;
    bool unsynced;
    struct bp_buf frame; /* [thread] owned */
    pthread_t thread;
    bool has_thread;
    _Atomic bool stop;
};

void bp_hdisk_path(const struct disk *d, uint32_t number, char *ret, size_t cap);
/** wall minus mono of a run's entries: an earlier run has ended before this one began, whatever a
 *  clock that was put says. */
bp_ns_t bp_hdisk_offset(struct disk *d, uint32_t run, bp_ns_t offset);
/** With d->lock held, or before there are threads. @return 0 or -ENOMEM */
int bp_hdisk_add_file(struct disk *d, const struct dfile *f);

/* Frames: here they are sealed and opened. */
/** Where the frames of a file begin. */
static inline uint64_t bp_hdisk_start(const struct dfile *f) {
    return f->sealed ? BP_SEALED_HEADER : 0;
}
/** Empties d->frame but for room for a head; the payload goes behind it. */
void bp_hdisk_begin_frame(struct disk *d);
/** Writes head and payload at the end of the newest file. [thread] */
int bp_hdisk_write_frame(struct disk *d, struct bp_hframe *f);
/** The head at `off`. @return 0, BP_ETRUNCATED at the end, BP_ECORRUPT, or an errno */
int bp_hdisk_read_head(const struct disk *d, int fd, uint64_t off, struct bp_hframe *ret);
/** @param f       gets `plain`
 *  @param seal    of its run, or NULL
 *  @param p, cap  grown as needed; owned by the caller
 *  @return 0, BP_ETRUNCATED, BP_ECORRUPT when its sum does not fit or it was changed, BP_EKEY when
 *          it is whole and sealed to somebody else, or an errno */
int bp_hdisk_read_payload(const struct disk *d, int fd, uint64_t off, struct bp_hframe *f,
                          struct bp_sealed *seal, uint8_t **p, size_t *cap);

/* history-spill.c: [thread], or when it has ended */
void *bp_hdisk_thread(void *arg);
void bp_hdisk_write_new(struct disk *d);
int bp_hdisk_finish_file(struct disk *d);

/* history-takeup.c: before there are threads */
/** Lists the files and learns what is in them. */
int bp_hdisk_take_up(struct disk *d, struct bp_error *err);
/** Index of the run with this id, which is added when it is new. @return 0 or -ENOMEM */
int bp_hdisk_run(struct disk *d, const uint8_t id[static 16], uint32_t *ret);
