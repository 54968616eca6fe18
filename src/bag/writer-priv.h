#pragma once

#include "bag/folder.h"
#include "bag/journal.h"
#include "bag/ring-ref.h"
#include "bag/ring.h"
#include "bag/sealed.h"
#include "bag/segment.h"
#include "bag/writer.h"
#include "base/mutex.h"

/* Inside of the write path; the protocol is told at the top of writer.c.
 *
 * Threads: receive (accept), workers (slot -> group), writer (group -> segment, ticks, journal),
 * preparer (segments made, extended, closed). Without tmpfs also the flusher.
 * Locks, in this order, none held over a file operation:
 *   journal_lock   the journal and the slots' journal marks; held over journal writes, which is why
 *                  no receive thread ever takes it
 *   defs_lock      definitions; registration against writer and preparer
 *   lock           everything marked [lock]; the only one a receive thread takes */

enum slot_state {
    SLOT_FREE,
    SLOT_OPEN,    /* receive threads fill it */
    SLOT_CLOSED,  /* full, waits for a worker */
    SLOT_BUSY,    /* a worker has it */
    SLOT_READY,   /* its group waits for the writer */
    SLOT_WRITTEN, /* in a segment, not synced; a failed sync brings it back to READY */
    SLOT_DURABLE, /* synced; freed when all older ones are */
};

enum {
    SLOT_CHANNELS = 2048, /* a slot closes rather than hold more channels */
    SOURCE_GAPS = 16,
    MAX_OLD = 8, /* segments split off within one tick */
    MAX_WORKERS = 16,
    MAX_CLOSING = 64,
    SPARE_BUFFERS = 16, /* of compressed groups, kept for the next ones */
    HISTOGRAM = 512,
    GOAL_RUNS = 4096, /* of an open slot that a tick journals; with more it is closed */
};

/* Private side of a ring slot; same index. [lock] unless noted */
struct slot {
    enum slot_state state;
    uint64_t no;            /* counts up for ever; index = no % BP_RING_SLOTS */
    uint32_t lower, higher; /* [lock] index + 1 of its neighbours in the ring; 0 = none */
    int64_t left;           /* bytes free for records, index entries, runs */
    uint32_t nmsg, nch;
    bp_ns_t t_open;
    struct bp_group_channel *ch; /* SLOT_CHANNELS, while it is not free */
    struct bp_group g;           /* [worker until READY, then writer] */
    uint8_t *out;                /* compressed group; NULL when built in place; owned */
    uint64_t out_cap;
    struct bp_sealed_ahead ahead; /* its ciphertext; p NULL = the writer makes it; owned */
    uint64_t ahead_cap;
    uint64_t journaled;      /* [journal_lock] bytes of records already in frames */
    uint32_t journaled_msgs; /* [journal_lock] */
    uint32_t journaled_runs; /* [journal_lock] */
};

struct channel {
    uint16_t id;
    uint8_t priority; /* [lock] */
    uint8_t lane;     /* [lock] */
    uint32_t latched_depth;
    uint64_t budget;
    uint64_t ring_bytes;    /* [lock] payload in slots that are not free */
    uint64_t slot_key;      /* [lock] no + 1 of the slot it was last put into */
    uint32_t slot_entry;    /* [lock] its entry there */
    uint32_t skip, skipped; /* [lock] chunks to store before the next try; how many are left */
    uint32_t untried;       /* [lock] messages since the last trial compression */
    struct bp_channel_stats stats; /* [lock] */
};

/* [lock] */
struct source {
    struct channel *channel; /* constant */
    uint32_t id;             /* constant */
    bool seen;
    uint64_t last;
    uint64_t run_key, dup_key; /* where its newest run lies: slot no + 1, or pending */
    uint32_t run, dup;
    struct bp_span *gaps; /* SOURCE_GAPS, newest last; NULL until there is one; owned */
    uint32_t ngaps;
    /* Forgotten when every slot below `after` is free: those hold the last that is told of it. */
    uint64_t after;
    struct source *next_gone;
};

/* A source of the session's earlier runs. */
struct past {
    uint8_t guid[16];
    char *topic; /* owned */
    uint64_t last;
};

/* A source that was forgotten: DDS writers come back, with the same GUID, after a broken link. */
struct bygone {
    uint8_t guid[16];
    uint16_t channel; /* 0 = none */
    uint64_t last;
};

enum { BYGONES = 4096 };

#define LATCHED_UNKNOWN UINT32_MAX /* read from a file: its source has not spoken yet */

struct latched {
    uint32_t source;
    uint16_t channel;
    size_t n;
    uint8_t *record; /* whole Message record; owned */
};

struct mark {
    struct mark *next;
    bool written; /* in the current segment, or one of `old`; freed when that is synced */
    struct bp_buf rec;
    char name[64];
};

struct closing {
    struct bp_segment *s;
    unsigned tries;
    bool abandoned; /* cut it at `durable` and rebuild its index from what is there */
};

struct lane {
    struct slot *open; /* or NULL */
    uint64_t next_rseq;
};

/* What a tick has to make durable of one open slot. */
struct goal_slot {
    uint64_t no;
    uint64_t committed;
    uint32_t nmsg, nruns;
    struct bp_run *runs; /* copy of GOAL_RUNS at most, because they go on growing */
};

/* The ledger, on its way to who has asked for it: writer-ledger.c. */
enum bp_told_step { NOT_ASKED, TELL_WRITER, TELL_PREPARER, TOLD };
struct bp_writer_told {
    enum bp_told_step step; /* [lock] whose turn it is; the rest is of whoever has the turn */
    bool dropped;           /* [lock] nobody waits any more */
    int error;
    struct bp_ledger ledger;
    uint64_t folded_received, folded_lost[BP_LOSS_N_];
};

struct bp_writer {
    struct bp_writer_opts o; /* constant; strings copied below */
    const struct bp_io *io;
    struct bp_sealed_io sealing;  /* constant; used when o.seal is set */
    struct bp_seal_key *seal_key; /* [lock] of the current segment */
    uint64_t ahead_bytes;         /* [lock] held by ciphertext */
    char dir[1024], name[256];
    uint8_t session[16]; /* of this run; the session's own id is in the folder */
    bool made_folder;    /* constant: it was not there before */
    int lock_fd;
    uint64_t chunk, min_chunk, ahead, step, min_free;
    bp_ns_t interval, max_age, grace;
    enum bp_codec codec;
    bool anonymous, direct, no_sync;

    struct bp_ring ring;
    struct bp_mutex lock;
    pthread_cond_t cv_work, cv_writer, cv_prep, cv_segment;
    struct slot *slots;                     /* BP_RING_SLOTS */
    struct bp_group_channel *slot_channels; /* memory of their `ch` */
    /* [lock] What is free of it. The last one freed is the first taken, so that only as many pages
     * are touched as slots were ever in use at the same time. */
    struct bp_group_channel **spare_ch;
    uint32_t nspare_ch;          /* [lock] */
    struct lane lanes[BP_LANES]; /* [lock] */
    uint64_t head, tail;         /* [lock] */
    uint64_t used;               /* [lock] bytes of slots that are not free */
    uint32_t lowest;             /* [lock] index + 1 of the slot at the ring's lowest place */
    uint64_t used_max;           /* [lock] */
    uint64_t room;               /* [lock] bytes the disk is known to take; I6 */
    uint32_t nclosed;            /* [lock] slots waiting for a worker */
    struct {
        uint8_t *p;
        uint64_t cap;
    } bufs[SPARE_BUFFERS];      /* [lock] */
    unsigned nbufs;             /* [lock] */
    uint16_t used_channel;      /* [lock] highest with a message */
    bool disk_full, refuse_all; /* [lock] */
    bool stopping, finished;    /* [lock] */
    uint64_t write_rate;        /* [lock] bytes per second to segments, by the last second or so */
    bool pending_dirty;         /* [lock] */
    struct source *gone;        /* [lock] of DDS writers that are gone */
    bp_ns_t forget_at;          /* [lock] when to look at them */
    struct bp_writer_stats st;  /* [lock] counters */

    struct bp_mutex defs_lock;
    struct bp_defs defs;          /* [defs_lock] */
    uint32_t *schema_crcs;        /* [defs_lock] by schema id */
    struct channel **channels;    /* by id; entry constant once nchannels covers it */
    uint32_t nchannels, nsources; /* [atomic] */
    struct source **sources;      /* BP_MAX_SOURCES; entry NULL when forgotten [lock] */
    /* [defs_lock] Accepted and not yet durable. Only the writer takes some out. */
    struct mark *marks, **marks_end;

    struct bp_segment *seg;          /* [writer] */
    struct bp_segment *old[MAX_OLD]; /* [writer] split off, not yet synced */
    unsigned nold;                   /* [writer] */
    uint64_t unsynced;               /* [writer] bytes written since the last sync */
    bool split_now;                  /* [lock] */
    bool plain;                      /* [lock] nothing is compressed for now */
    struct latched *latched;         /* [writer] */
    size_t nlatched, latched_cap;    /* [writer] */
    struct goal_slot goal[BP_LANES]; /* [writer] */
    struct goal_slot flush_goal;     /* [flusher] */
    bool journal_told;               /* [writer] */
    bool pending_noted;              /* [writer] the last segment's ledger has the pending runs */
    struct bp_clock_watch clock;     /* [writer] */
    bp_ns_t rate_since;              /* [writer] */
    uint64_t rate_bytes;             /* [writer] */
    bool held;                       /* [writer] the disk refuses even what was allocated */
    bool careful;                    /* [writer] a segment was abandoned: each group is synced */
    unsigned tries;                  /* [writer] segments abandoned in this tick, nothing synced */

    bool urged;               /* [lock] the preparer is to try now, whenever it wanted to */
    struct bp_segment *spare; /* [lock] */
    struct closing closing[MAX_CLOSING]; /* [lock] */
    unsigned nclosing;                   /* [lock] */
    uint32_t next_number;                /* [preparer] */
    bool want_extend, spare_failed;      /* [lock] */
    bool spare_busy;                     /* [lock] the preparer makes one */
    struct past *past;                   /* constant: where each source had got to before a crash */
    size_t npast;
    struct bygone
        *bygone;       /* [defs_lock] the last BYGONES, a ring; NULL until there is one; owned */
    uint64_t nbygone;  /* [defs_lock] ever */
    char **past_paths; /* constant: files that hold its latched messages */
    size_t npast_paths;
    struct latched *reloaded; /* [defs_lock] read from them, on their way to the writer */
    size_t nreloaded;         /* [defs_lock] */
    struct bp_folder folder;  /* [preparer] closed segments, metadata.yaml, manifest */
    bp_ns_t retry_at;         /* [preparer] when the disk is asked again */
    bool unhashed;            /* [preparer] a closed segment has no SHA-256 yet */
    uint64_t proven;       /* [preparer] segments there were when manifest.sig was last written */
    unsigned unclosed;     /* [preparer] segments that could not be finished */
    int failed;            /* [lock] first error that kept something from the disk */
    char failed_text[300]; /* [lock] */

    struct bp_mutex journal_lock;
    struct bp_journal journal;     /* [journal_lock] */
    bp_ns_t histogram_max;         /* [lock] */
    uint32_t histogram[HISTOGRAM]; /* [lock] of tick durations */

    pthread_t thread_writer, thread_preparer, thread_flusher, thread_workers[MAX_WORKERS];
    unsigned nworkers, nthreads_started;
    bool writer_started, preparer_started, flusher_started;
    int durable_log; /* fd of BAGPIPE_TEST_DURABLE_LOG or -1 */
    struct bp_writer_told told;
    pthread_cond_t cv_told; /* with lock */
};

static inline struct bp_ring_slot *ring_slot(const struct bp_writer *w, const struct slot *s) {
    return &w->ring.slots[s->no % BP_RING_SLOTS];
}

static inline struct slot *slot_by_no(const struct bp_writer *w, uint64_t no) {
    return &w->slots[no % BP_RING_SLOTS];
}

/* writer-accept.c */
void bp_writer_close_slot_locked(struct bp_writer *w, struct slot *s);
/** The slot's bytes are free again. */
void bp_writer_give_place_locked(struct bp_writer *w, struct slot *s);

/* writer-ledger.c */
/** [writer] Tells what it has when somebody asks. */
void bp_writer_tell(struct bp_writer *w);
/** [preparer] The rest. */
void bp_writer_tell_closed(struct bp_writer *w);
void bp_writer_told_done(struct bp_writer *w);

/* writer-work.c */
void *bp_writer_worker(void *arg);
/** Takes the slot's buffer, if it has one, back for later groups. */
void bp_writer_give_buffer(struct bp_writer *w, struct slot *s);
/** The same of its ciphertext. */
void bp_writer_give_ahead(struct bp_writer *w, struct slot *s);

/* writer-segment.c: [writer] */
/* A disk that fails every few calls must not keep the writer from its journal, nor from its end:
 * after so many segments in which nothing came to be durable, this tick leaves the rest to the
 * next. writer thread
 */
static inline bool bp_writer_gives_up(const struct bp_writer *w) {
    return w->tries >= 8;
}

int bp_writer_write_ready(struct bp_writer *w, uint64_t limit);
int bp_writer_sync(struct bp_writer *w);
int bp_writer_write_marks(struct bp_writer *w);
/** Is there a mark that waits for room? */
bool bp_writer_marks_wait(struct bp_writer *w);
int bp_writer_define(struct bp_writer *w);
/** A split by time or on demand; the tick first writes what is open. */
bool bp_writer_split_due(struct bp_writer *w);
void bp_writer_do_split(struct bp_writer *w);
void bp_writer_take_first(struct bp_writer *w);
void bp_writer_hand_over(struct bp_writer *w, struct bp_segment *s, bool abandoned);
/** Hands over all that are open. @param abandoned  what is behind `durable` does not count */
void bp_writer_give_up_segments(struct bp_writer *w, bool abandoned);
void bp_writer_update_room(struct bp_writer *w);

/* writer-latched.c: [writer] */
int bp_writer_latch(struct bp_writer *w, const struct slot *s);
int bp_writer_repeat(struct bp_writer *w, struct bp_segment *seg, uint64_t log_ns);
void bp_writer_latched_done(struct bp_writer *w);

/* writer-relatch.c: latched topics of a session that goes on */
int bp_writer_remember_files(struct bp_writer *w);
/** Reads a topic's latest messages from the files of an earlier life. Any thread, no lock held. */
int bp_writer_relatch(struct bp_writer *w, uint16_t channel, const char *topic, uint32_t depth);
void bp_writer_relatch_done(struct bp_writer *w);

/* writer-tick.c */
void *bp_writer_thread(void *arg);
void *bp_writer_flusher(void *arg);
bool bp_writer_slot_is_dead(void *ctx, uint64_t no);

/* writer-prepare.c */
void *bp_writer_preparer(void *arg);

/* writer-defs.c: before threads */
int bp_writer_remember(struct bp_writer *w);
/** Frees what is kept of sources that are gone and wholly on disk. Preparer. */
void bp_writer_forget_gone(struct bp_writer *w);

/* writer-config.c: options into numbers, and what the folder's disk is like. Before threads. */
int bp_writer_configure(struct bp_writer *w, const struct bp_writer_opts *o, struct bp_error *err);
/** No waiting brings more room than the disk has. @return 0; BP_ECONFIG when more is to
 *  stay free */
int bp_writer_check_room(const struct bp_writer *w, struct bp_error *err);

/* writer-defs.c */
void bp_writer_defs_done(struct bp_writer *w);

/* writer.c */
void bp_writer_event(struct bp_writer *w, enum bp_writer_event_kind kind, const char *path,
                     const char *fmt, ...) BP_PRINTF(4, 5);
/** Remembers the first failure for bp_writer_close() and tells it. */
void bp_writer_failed(struct bp_writer *w, const char *path, int code, const char *what);
void bp_writer_until(struct timespec *ts, bp_ns_t mono_until);
