#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* What a server knows of all sessions of all robots, in SQLite (WAL, synchronous FULL): a row
 * survives a power cut once the call that wrote it has returned. Objects and manifests in the store
 * are the truth; an archive that was lost is made anew from them (bp_archive_reindex_*()).
 *
 * Any thread. Calls that write take turns; readers run beside them, each on what was committed when
 * it began. Texts that a function here returned are never NULL; NULL is read as "". */
struct bp_archive;

enum { BP_ARCHIVE_DIGEST = 32 };

enum bp_archive_state {
    BP_ARCHIVE_RECEIVING, /* its manifest, or segments that it lists, are not all here */
    BP_ARCHIVE_COMPLETE,  /* everything the manifest lists is here */
    BP_ARCHIVE_DAMAGED,   /* everything is here, and some of it is not as it must be */
    BP_ARCHIVE_DELETED,   /* a tombstone */
    BP_ARCHIVE_STATE_N_
};

/** "receiving", "complete", "damaged", "deleted". */
const char *bp_archive_state_name(enum bp_archive_state v);
/** @return the state or -EINVAL */
int bp_archive_state_from_name(const char *name);

enum bp_archive_signed {
    BP_ARCHIVE_UNSIGNED,
    BP_ARCHIVE_SIGNED,     /* by the key of its device */
    BP_ARCHIVE_SIGNED_BAD, /* the signature is wrong, or another key's */
    BP_ARCHIVE_SIGNED_N_
};

/** "unsigned", "good", "bad". */
const char *bp_archive_signed_name(enum bp_archive_signed v);

struct bp_archive_session {
    char id[27]; /* ULID in capitals */
    enum bp_archive_state state;
    enum bp_archive_signed signature;
    char *name, *device;       /* owned, as all texts; device = id of who sends it */
    char *mission, *operator_; /* people may change these and the next two */
    char *notes;
    char *tags;             /* JSON array of texts */
    char *robots;           /* JSON array of texts */
    char *version, *stamps; /* JSON: who changed it how often (catalog/merge.h) */
    char *error;            /* why it is damaged, lines */
    char *deleted_why;
    bp_ns_t started_ns, ended_ns; /* wall; ended 0 = not known */
    bp_ns_t received_ns;          /* wall: first heard of */
    bp_ns_t updated_ns;           /* wall: last change of anything */
    bp_ns_t deleted_ns;
    uint64_t messages, bytes, lost;
    uint32_t segments, segments_here; /* in the manifest (or known of); of them stored */
    uint32_t topics, marks;
    bool manifest; /* it is here */
    bool keep;     /* no limit deletes it */
};

/** Frees the texts and zeroes. */
void bp_archive_session_done(struct bp_archive_session *s);
#define BP_AUTO_ARCHIVE_SESSION BP_CLEANUP(bp_archive_session_done) struct bp_archive_session

enum bp_archive_kind {
    BP_ARCHIVE_SEGMENT,
    BP_ARCHIVE_MANIFEST,
    BP_ARCHIVE_METADATA,
    BP_ARCHIVE_SIGNATURE,
    BP_ARCHIVE_PREVIEW,
    BP_ARCHIVE_OTHER,
    BP_ARCHIVE_KIND_N_
};

/** "segment", "manifest", "metadata", "signature", "preview", "other". */
const char *bp_archive_kind_name(enum bp_archive_kind v);
/** @return the kind or -EINVAL */
int bp_archive_kind_from_name(const char *name);

enum bp_archive_file_state {
    BP_ARCHIVE_FILE_EXPECTED, /* the manifest lists it, its object is not here */
    BP_ARCHIVE_FILE_RECEIVED, /* stored, digest good */
    BP_ARCHIVE_FILE_VERIFIED, /* and its inside was checked */
    BP_ARCHIVE_FILE_DAMAGED,  /* and its inside is not as it must be */
    BP_ARCHIVE_FILE_STATE_N_
};

/** "expected", "received", "verified", "damaged". */
const char *bp_archive_file_state_name(enum bp_archive_file_state v);

/* One file of a session: a segment, or what lies beside them. */
struct bp_archive_file {
    char *file; /* base name; owned, or borrowed for a call or callback, as `text` */
    uint8_t sha256[BP_ARCHIVE_DIGEST]; /* of the object */
    enum bp_archive_kind kind;
    enum bp_archive_file_state state;
    uint64_t bytes, messages, repeated; /* in the file; of them latched ones repeated at its head */
    bp_ns_t first_ns, last_ns;          /* log time; 0, 0 = not known or without messages */
    bp_ns_t stored_ns;                  /* wall; 0 = expected only */
    char *text;                         /* what is wrong with it, or "" */
};

/** Frees the texts and zeroes. */
void bp_archive_file_done(struct bp_archive_file *f);
#define BP_AUTO_ARCHIVE_FILE BP_CLEANUP(bp_archive_file_done) struct bp_archive_file

/* All texts are borrowed. */
struct bp_archive_topic {
    const char *topic, *type, *robot;
    uint32_t domain;
    uint64_t messages, lost, bytes; /* bytes of payload, 0 = not known */
};

struct bp_archive_mark {
    bp_ns_t wall_ns;
    const char *text, *values; /* borrowed; JSON object of texts */
};

/**
 * Opens the database and checks it (`PRAGMA quick_check`; one above 64 MiB only when it was not
 * closed as it should be). A damaged one is set aside as
 * PATH.damaged-<UTC>, with its log, and an empty one takes its place.
 *
 * @param path         of the database; made when it is not there (its folder must be)
 * @param ret          owned by the caller, release with bp_archive_close()
 * @param ret_renewed  true when a damaged one was set aside: reindex; or NULL
 * @return as bp_catalog_open()
 */
BP_MUST_CHECK int bp_archive_open(const char *path, struct bp_archive **ret, bool *ret_renewed,
                                  struct bp_error *err);
/** Takes NULL. */
void bp_archive_close(struct bp_archive *a);
BP_DEFINE_CLEANUP(struct bp_archive, bp_archive_close)

/* All below may fail with -EBUSY, -ENOSPC, -EIO, -ENOMEM, or BP_ECORRUPT when the database turns
 * out damaged: opening it anew sets it aside. Functions that take an id fail with -ENOENT when
 * there is no such session. */

/* ---- in: what a device says of a session, then what arrives of it ---- */

/* Who decides when a session was edited on both sides, or a name stands for two contents. */
enum bp_archive_policy {
    BP_ARCHIVE_MERGE,     /* field by field, the later change by version; files: union */
    BP_ARCHIVE_LOCAL,     /* what is here stays */
    BP_ARCHIVE_REMOTE,    /* what comes replaces it */
    BP_ARCHIVE_KEEP_BOTH, /* as merge; a second content is kept under a name with its device */
    BP_ARCHIVE_POLICY_N_
};

/** "merge", "local", "remote", "keep-both". */
const char *bp_archive_policy_name(enum bp_archive_policy v);
/** @return the policy or -EINVAL */
int bp_archive_policy_from_name(const char *name);

/* What a device says of a session of its own (PUT /api/v1/ingest/sessions/ULID). Borrowed. */
struct bp_archive_about {
    const char *id, *name, *device;
    const char *mission, *operator_, *notes;
    const char *tags, *robots;    /* JSON arrays of texts, or NULL */
    const char *version, *stamps; /* JSON objects (catalog/merge.h), or NULL */
    bp_ns_t started_ns, ended_ns;
    const struct bp_archive_mark *marks; /* added unless the same mark is there */
    size_t nmarks;
};

/**
 * Adds a session, or merges what is said of it into what is known. Safe to repeat.
 *
 * @param wall_ns      now
 * @param ret_created  whether it is new; or NULL
 * @param ret_conflicts  decisions that were recorded; or NULL
 * @return 0; -EINVAL for an id that is no ULID or JSON that is none of the above; BP_EMISMATCH when
 *         the session belongs to another device; -EEXIST (409) when it was deleted here
 */
BP_MUST_CHECK int bp_archive_put_about(struct bp_archive *a, const struct bp_archive_about *about,
                                       enum bp_archive_policy policy, bp_ns_t wall_ns,
                                       bool *ret_created, uint32_t *ret_conflicts,
                                       struct bp_error *err);

/* A parsed manifest, filled by whoever may include bag/manifest.h. Borrowed. */
struct bp_archive_manifest {
    const char *id, *name;
    enum bp_archive_signed signature;
    bp_ns_t created_ns;                     /* of the session */
    const struct bp_archive_file *segments; /* file, sha256, bytes, messages, times */
    size_t nsegments;
    const struct bp_archive_topic *topics;
    size_t ntopics;
    uint32_t outages;
};

/**
 * Puts what the manifest says; segments that are not here become expected ones. The session must
 * be there (bp_archive_put_about()). Safe to repeat; a later manifest replaces an earlier one.
 *
 * @param ret_complete  whether everything is here now; or NULL
 * @return 0, or -EINVAL when the manifest is of another session
 */
BP_MUST_CHECK int bp_archive_put_manifest(struct bp_archive *a, const char *id,
                                          const struct bp_archive_manifest *m, bp_ns_t wall_ns,
                                          bool *ret_complete, struct bp_error *err);

/**
 * An object of this session is in the store (or was, when it was uploaded by another one). Call it
 * after the object is durable and before whoever sent it is told.
 *
 * The same file with the same digest again changes nothing. With another digest the policy decides:
 * merge and keep-both keep both, the second as "NAME~DEVICE.EXT"; local refuses; remote replaces.
 * What was decided is recorded.
 *
 * @param f             borrowed; `state` RECEIVED or better
 * @param ret_complete  whether the session is complete now; or NULL
 * @return 0; 1 when it was there already; -EEXIST when the policy refuses
 */
BP_MUST_CHECK int bp_archive_put_file(struct bp_archive *a, const char *id,
                                      const struct bp_archive_file *f,
                                      enum bp_archive_policy policy, bp_ns_t wall_ns,
                                      bool *ret_complete, struct bp_error *err);

/** What came of checking the inside of an object, in every session that has it. @return sessions
 *  that are told of it */
BP_MUST_CHECK int bp_archive_set_verified(struct bp_archive *a,
                                          const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                                          enum bp_archive_file_state state, const char *text,
                                          bp_ns_t wall_ns, struct bp_error *err);

/**
 * Some files whose inside nobody has checked yet, the oldest first.
 *
 * @param fn  as that of bp_archive_each_file(), with the id of a session that has it
 */
int bp_archive_each_unverified(struct bp_archive *a, uint32_t limit,
                               int (*fn)(void *ctx, const char *id,
                                         const struct bp_archive_file *f),
                               void *ctx, struct bp_error *err);

/** Calls fn for each session that has this object as a segment that is here. Nonzero stops and is
 *  returned */
int bp_archive_each_holder(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                           int (*fn)(void *ctx, const char *id), void *ctx, struct bp_error *err);

/** Calls fn with the device of each session that has this object, "" for one without a device; fn
 *  calls nothing of the archive. Nonzero stops and is returned */
int bp_archive_each_owner(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                          int (*fn)(void *ctx, const char *device), void *ctx,
                          struct bp_error *err);

/* The overview of a session (bag/overview.h), as JSON that others made. */
BP_MUST_CHECK int bp_archive_put_overview(struct bp_archive *a, const char *id, const char *json,
                                          struct bp_error *err);
/** @param ret  owned by the caller; "" when there is none */
BP_MUST_CHECK int bp_archive_overview(struct bp_archive *a, const char *id, char **ret,
                                      struct bp_error *err);

/* ---- objects ---- */

/** How many files of sessions are this object (dedup, deletion). 0 = nobody wants it. */
BP_MUST_CHECK int bp_archive_references(struct bp_archive *a,
                                        const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                                        uint64_t *ret, struct bp_error *err);

/* ---- out ---- */

/**
 * @param key  an id in any case, or the name of the newest session called so
 * @param ret  release with bp_archive_session_done()
 */
BP_MUST_CHECK int bp_archive_get(struct bp_archive *a, const char *key,
                                 struct bp_archive_session *ret, struct bp_error *err);

enum bp_archive_sort {
    BP_ARCHIVE_BY_ID, /* when it began, by its id */
    BP_ARCHIVE_BY_STARTED,
    BP_ARCHIVE_BY_RECEIVED,
    BP_ARCHIVE_BY_NAME,
    BP_ARCHIVE_BY_BYTES,
    BP_ARCHIVE_BY_MESSAGES,
    BP_ARCHIVE_BY_LOST,
    BP_ARCHIVE_BY_DURATION,
    BP_ARCHIVE_SORT_N_
};

/** "id", "started", "received", "name", "bytes", "messages", "lost", "duration". */
const char *bp_archive_sort_name(enum bp_archive_sort v);
/** @return the sort key or -EINVAL */
int bp_archive_sort_from_name(const char *name);

enum { BP_ARCHIVE_NAME_MAX = 255, BP_ARCHIVE_CURSOR = 576 };

struct bp_archive_search {
    const char *q;       /* the query language of catalog/query.h, or NULL */
    const char *scope;   /* another query that must hold, too; or NULL */
    const char *devices; /* only what these recorded: catalog/scope.h; NULL or "": no limit */
    enum bp_archive_sort sort;
    bool ascending;     /* newest, largest, last first otherwise */
    const char *cursor; /* of the page before, or NULL: stays right whatever comes in meanwhile */
    uint32_t limit;     /* 0 = 100, at most 1000 */
};

struct bp_archive_page {
    uint32_t n;
    char next[BP_ARCHIVE_CURSOR]; /* cursor of the next page, "" at the end */
};

/**
 * Sessions that match. Deleted ones only when the query names that state.
 *
 * @param fn   called for each, on a connection of its own: it may call other functions here, but
 *             should not take long. What it gets is borrowed for the call. Nonzero stops and is
 *             returned
 * @param ret  may be NULL
 * @return 0, what fn returned; BP_EUSAGE for a query (the error has a caret below the place) or a
 *         cursor that cannot be read
 */
int bp_archive_search(struct bp_archive *a, const struct bp_archive_search *s,
                      int (*fn)(void *ctx, const struct bp_archive_session *s), void *ctx,
                      struct bp_archive_page *ret, struct bp_error *err);

/**
 * What the sessions that match have: how many there are of each robot, topic, tag, device, month.
 * Without a query exact, from counters; with one over the newest BP_ARCHIVE_FACET_MAX that match.
 *
 * @param per_kind   at most so many values of a kind, most frequent first
 * @param fn         kind "robot", "topic", "type", "tag", "device", "month" ("2026-11"), "state"
 * @param ret_total  sessions counted
 * @param ret_exact  false when there are more than that
 */
enum { BP_ARCHIVE_FACET_MAX = 5000 };
int bp_archive_facets(struct bp_archive *a, const struct bp_archive_search *s, uint32_t per_kind,
                      int (*fn)(void *ctx, const char *kind, const char *value, uint64_t sessions),
                      void *ctx, uint64_t *ret_total, bool *ret_exact, struct bp_error *err);

/* Lists of one session, by name or time. */
int bp_archive_each_file(struct bp_archive *a, const char *id,
                         int (*fn)(void *ctx, const struct bp_archive_file *f), void *ctx,
                         struct bp_error *err);
int bp_archive_each_topic(struct bp_archive *a, const char *id,
                          int (*fn)(void *ctx, const struct bp_archive_topic *t), void *ctx,
                          struct bp_error *err);
int bp_archive_each_mark(struct bp_archive *a, const char *id,
                         int (*fn)(void *ctx, const struct bp_archive_mark *m), void *ctx,
                         struct bp_error *err);
/** @param ret  release with bp_archive_file_done() */
BP_MUST_CHECK int bp_archive_get_file(struct bp_archive *a, const char *id, const char *file,
                                      struct bp_archive_file *ret, struct bp_error *err);

/* Sums over everything that is not deleted. */
struct bp_archive_sums {
    uint64_t sessions, receiving, damaged;
    uint64_t segments, bytes, messages, lost; /* bytes as recorded, objects may be shared */
    uint64_t devices;
};
BP_MUST_CHECK int bp_archive_sums(struct bp_archive *a, struct bp_archive_sums *ret,
                                  struct bp_error *err);

/* ---- people change things ---- */

/* NULL and -1 leave as it is. */
struct bp_archive_edit {
    const char *mission, *operator_, *notes;
    const char *tags; /* JSON array of texts */
    int keep;
};

/**
 * @param who  counts in the version: the name of this server ("server" when it has none)
 * @return 0, -ENOENT, BP_EUSAGE for tags that are none
 */
BP_MUST_CHECK int bp_archive_edit(struct bp_archive *a, const char *id,
                                  const struct bp_archive_edit *e, const char *who, bp_ns_t wall_ns,
                                  struct bp_error *err);
BP_MUST_CHECK int bp_archive_add_mark(struct bp_archive *a, const char *id,
                                      const struct bp_archive_mark *m, bp_ns_t wall_ns,
                                      struct bp_error *err);

/**
 * Makes a tombstone; its files are forgotten.
 *
 * @param orphan  called, after the commit, for each object that no session wants any more: delete
 *                it, unless bp_archive_references() says otherwise by then. May be NULL
 * @return 0, -ENOENT (also for a deleted one), BP_EBUSY when it is kept and not `force`
 */
BP_MUST_CHECK int bp_archive_delete(struct bp_archive *a, const char *id, const char *why,
                                    bool force, bp_ns_t wall_ns,
                                    void (*orphan)(void *ctx,
                                                   const uint8_t sha256[static BP_ARCHIVE_DIGEST]),
                                    void *ctx, struct bp_error *err);

/* ---- decisions: what became of a session edited on both sides ---- */

struct bp_archive_decision {
    int64_t id;
    char session[27];
    enum bp_archive_policy policy;
    const char *subject;       /* "mission", "tag:x", or "file:NAME" */
    const char *ours, *theirs; /* values, or digests in hex */
    const char *device;        /* whose the other one was */
    bool took_theirs;
    bp_ns_t wall_ns, undone_ns;
};

/** Newest first. @param session  id, or NULL for all */
int bp_archive_each_decision(struct bp_archive *a, const char *session, uint32_t limit,
                             int (*fn)(void *ctx, const struct bp_archive_decision *d), void *ctx,
                             struct bp_error *err);
/** Which session a decision is about. @return 0, -ENOENT */
BP_MUST_CHECK int bp_archive_decided(struct bp_archive *a, int64_t decision, char ret[static 27],
                                     struct bp_error *err);
/** Takes the other value, as a new edit by `who`. @return 0, -ENOENT, BP_EBUSY when it is undone */
BP_MUST_CHECK int bp_archive_undo(struct bp_archive *a, int64_t decision, const char *who,
                                  bp_ns_t wall_ns, struct bp_error *err);

/* ---- devices ---- */

enum bp_archive_device_state {
    BP_ARCHIVE_DEVICE_PENDING, /* has knocked, waits for somebody to let it in */
    BP_ARCHIVE_DEVICE_ACCEPTED,
    BP_ARCHIVE_DEVICE_REFUSED,
    BP_ARCHIVE_DEVICE_STATE_N_
};

/** "pending", "accepted", "refused". */
const char *bp_archive_device_state_name(enum bp_archive_device_state v);
/** @return the state or -EINVAL */
int bp_archive_device_state_from_name(const char *name);

struct bp_archive_device {
    char *id;         /* owned, as all texts; 1..128 bytes, what the device calls itself */
    char *name;       /* for people */
    char *kind;       /* "robot", "headset", "site", … */
    char *public_key; /* as text, or "" */
    char *groups;     /* JSON array of texts: scopes of people */
    char *info;       /* JSON object: version, address, whatever it told last */
    char *approved_by;
    enum bp_archive_device_state state;
    bp_ns_t first_ns, seen_ns, approved_ns; /* wall */
};

/** Frees the texts and zeroes. */
void bp_archive_device_done(struct bp_archive_device *d);
#define BP_AUTO_ARCHIVE_DEVICE BP_CLEANUP(bp_archive_device_done) struct bp_archive_device

/** Adds or replaces by id. @return 0, -EINVAL for an id that is none */
BP_MUST_CHECK int bp_archive_put_device(struct bp_archive *a, const struct bp_archive_device *d,
                                        struct bp_error *err);
/** @return 0, -ENOENT */
BP_MUST_CHECK int bp_archive_get_device(struct bp_archive *a, const char *id,
                                        struct bp_archive_device *ret, struct bp_error *err);
/** By id. */
int bp_archive_each_device(struct bp_archive *a,
                           int (*fn)(void *ctx, const struct bp_archive_device *d), void *ctx,
                           struct bp_error *err);
/** Only that it was seen, and what it told; what is not there stays away. */
BP_MUST_CHECK int bp_archive_device_seen(struct bp_archive *a, const char *id, const char *info,
                                         bp_ns_t wall_ns, struct bp_error *err);
/** Sessions stay. What is not there is removed, too. */
BP_MUST_CHECK int bp_archive_remove_device(struct bp_archive *a, const char *id,
                                           struct bp_error *err);

/* ---- made anew ---- */

/**
 * Everything that can be had from the store goes: sessions, segments, topics. Devices, decisions,
 * what people wrote (mission, operator, notes, tags, marks, keep, versions), and files that no
 * manifest lists, stay for the sessions that the walk puts again. Between begin and end everything
 * is one transaction: a kill leaves the archive as it was.
 *
 * @param walk  calls bp_archive_put_about(), _put_manifest(), _put_file() for whatever is stored;
 *              nonzero gives up
 * @return 0, what walk returned
 */
BP_MUST_CHECK int bp_archive_reindex(struct bp_archive *a,
                                     int (*walk)(void *ctx, struct bp_archive *a,
                                                 struct bp_error *err),
                                     void *ctx, struct bp_error *err);
