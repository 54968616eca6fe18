#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"
#include "wire/qos.h"

/* One DDS domain seen through one participant: its graph, raw (serialized) subscriptions and
 * publications. No type needs to be known. All private Cyclone DDS headers live in dds/raw.c.
 *
 * Threads: graph callbacks come from the domain's graph thread, samples from Cyclone's receive
 * threads (several). Every function here may be called from any thread except from inside a sample
 * callback, where only bp_sample_copy() is allowed. */
struct bp_dds;
struct bp_sub;
struct bp_pub;

enum { BP_GUID_LEN = 16 };

enum bp_endpoint_kind {
    BP_ENDPOINT_TOPIC,           /* rt/ */
    BP_ENDPOINT_SERVICE_REQUEST, /* rq/: never gets a passive reader */
    BP_ENDPOINT_SERVICE_REPLY,   /* rr/ */
    BP_ENDPOINT_FOREIGN,         /* plain DDS topic, or DDS's and ROS's own bookkeeping */
};

/* A reader or writer of another participant. Strings are borrowed for the callback. */
struct bp_endpoint {
    uint8_t guid[BP_GUID_LEN];
    uint8_t participant[BP_GUID_LEN];
    uint32_t domain;
    bool writer;
    bool alive; /* false: it went away; guid, topic and type stay filled */
    enum bp_endpoint_kind kind;
    const char *topic;     /* ROS name, "/robot1/imu" */
    const char *type;      /* ROS name, "sensor_msgs/msg/Imu" */
    const char *dds_topic; /* as on the wire, "rt/robot1/imu" */
    const char *dds_type;  /* as on the wire, "sensor_msgs::msg::dds_::Imu_" */
    const char *type_hash; /* "RIHS01_…" or "" */
    const char *node;      /* "/robot1/driver" from ros_discovery_info, or "" while unknown */
    uint16_t vendor;       /* 0x0110 Cyclone, 0x010f eProsima */
    bool keyed;
    struct bp_qos qos;
};

struct bp_dds_events {
    /* An endpoint appeared, changed (its node became known) or went. May be NULL. */
    void (*endpoint)(void *ctx, const struct bp_endpoint *e);
    /* Something a person should know: an unreadable discovery record, a receive buffer smaller
     * than asked (with the sysctl line that cures it), a network interface that came or went. */
    void (*notice)(void *ctx, const char *text);
    void *ctx;
};

struct bp_dds_opts {
    uint32_t domain;
    /* From the environment by bp_dds_opts_from_env(); NULL members mean "not set". */
    bool localhost_only; /* ROS_LOCALHOST_ONLY=1 or ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST */
    const char *discovery_range; /* SUBNET, LOCALHOST, OFF, SYSTEM_DEFAULT */
    const char *static_peers;    /* ROS_STATIC_PEERS, ';' separated */
    const char *config_uri;      /* CYCLONEDDS_URI, appended behind our own; later wins */
    bool sender_tuned;           /* large UDP messages and write-ahead for sim and play */
};

/** Fills opts from ROS_* and CYCLONEDDS_URI; refuses ROS_SECURITY_ENABLE=true with a sentence. */
BP_MUST_CHECK int bp_dds_opts_from_env(struct bp_dds_opts *ret, struct bp_error *err);

/**
 * Joins a domain.
 *
 * @param ev   callbacks; copied
 * @param ret  written before the first callback runs; not to be used when this fails
 * @return 0, or BP_EDDS with what Cyclone said and the remedy where we know one
 */
BP_MUST_CHECK int bp_dds_open(const struct bp_dds_opts *o, const struct bp_dds_events *ev,
                              struct bp_dds **ret, struct bp_error *err);
/** Leaves the domain; no callback runs afterwards. Subscriptions and publications are freed. */
void bp_dds_close(struct bp_dds *d);
BP_DEFINE_CLEANUP(struct bp_dds, bp_dds_close)

/* One received sample, valid during the callback only. */
struct bp_sample {
    uint8_t guid[BP_GUID_LEN]; /* of the writer */
    uint64_t seq;              /* RTPS sequence number, from 1; 0 = unknown */
    bp_ns_t source_ns;         /* wall, by the sender's clock */
    bp_ns_t recv_ns;           /* wall, by ours, when the last fragment had arrived */
    uint32_t size;             /* bytes with the 4-byte encapsulation header */
    bool history;              /* transient-local, and sent before we met its writer (by the
                                  sender's clock) */
    const void *chain;         /* private */
    void **writer_slot;        /* one pointer per (subscription, writer) for the callback's own use;
                                  starts NULL, freed by nobody */
};

/** Gathers the `s->size` payload bytes (encapsulation header first) into dst. One copy. */
void bp_sample_copy(const struct bp_sample *s, uint8_t *dst);
/** The same for the first n bytes, n at most `s->size`. */
void bp_sample_copy_part(const struct bp_sample *s, uint8_t *dst, size_t n);

/* Runs in a DDS receive thread: must not block, allocate in steady state, or call bp_dds_*. */
typedef void (*bp_sample_fn)(void *ctx, const struct bp_sample *s);

/* Numbers that a writer has used and that did not reach us: it is gone, or bp_dds_settle() has
 * waited for them, or its first sample that reached us came behind them. */
struct bp_missed {
    uint8_t guid[BP_GUID_LEN];
    uint64_t first, last; /* inclusive; behind every number delivered so far */
    void **writer_slot;   /* as in bp_sample */
};

/* Runs in a thread of Cyclone's, in the caller's of bp_dds_settle(), or before a sample of the same
 * writer; never together with one. The same limits as for bp_sample_fn. */
typedef void (*bp_missed_fn)(void *ctx, const struct bp_missed *m);

/* A writer is gone and no callback of this subscription will be given its slot again, unless it
 * comes back with an empty one. `slot` is what the callbacks left there. A lock of the subscription
 * is held: must not call bp_dds_*. */
typedef void (*bp_parted_fn)(void *ctx, void *slot);

struct bp_sub_opts {
    const char *dds_topic, *dds_type;
    bool keyed;
    /* Readers are made lazily per class {best effort/volatile, reliable/volatile,
     * reliable/transient local} as writers that need it appear; each writer is heard by exactly
     * one of them. With `force`, one reader with the given QoS instead. */
    const struct bp_qos *force;
    bp_sample_fn fn;
    bp_sample_fn control; /* dispose or unregister of a keyed instance: uses up a sequence number
                             but carries no message (size 0); may be NULL */
    bp_missed_fn missed;  /* may be NULL */
    bp_parted_fn parted;  /* may be NULL; only for writers whose slot was set */
    void *ctx;
};

/**
 * Calls of fn for one writer never overlap, those for different writers may. A sample of a writer
 * is handed over once, in order of arrival: one that fills a hole comes late, none comes twice.
 */
BP_MUST_CHECK int bp_dds_subscribe(struct bp_dds *d, const struct bp_sub_opts *o,
                                   struct bp_sub **ret, struct bp_error *err);
/** Ends it; no callback for it runs afterwards. Takes NULL. */
void bp_sub_close(struct bp_sub *s);

/**
 * Waits until what writers are known to have sent by now has been delivered, at most `patience`
 * (a sample may be half here, or about to be sent again), then tells `missed` what has not.
 * Subscriptions go on.
 */
void bp_dds_settle(struct bp_dds *d, bp_ns_t patience);

/* A ROS node of ours, announced in ros_discovery_info. */
struct bp_node;
BP_MUST_CHECK int bp_dds_node(struct bp_dds *d, const char *ns, const char *name,
                              struct bp_node **ret, struct bp_error *err);

struct bp_pub_opts {
    const char *topic, *type; /* ROS names; mangled here. With `raw_names` taken as they are. */
    bool raw_names;
    bool keyed;
    const char *type_hash; /* "RIHS01_…" put into USER_DATA, or NULL */
    struct bp_qos qos;
    struct bp_node *node; /* or NULL */
};

BP_MUST_CHECK int bp_dds_advertise(struct bp_dds *d, const struct bp_pub_opts *o,
                                   struct bp_pub **ret, struct bp_error *err);
void bp_pub_close(struct bp_pub *p);
void bp_pub_guid(const struct bp_pub *p, uint8_t ret[static BP_GUID_LEN]);

/**
 * Publishes n CDR bytes (encapsulation header first). May block as long as a reliable reader's
 * history demands, at most 10 s.
 *
 * @param source_ns  wall time stamped on the sample, 0 = now
 * @return the RTPS sequence number it got, or -ETIMEDOUT, -ENOMEM, BP_EDDS
 */
int64_t bp_pub_write(struct bp_pub *p, const void *cdr, size_t n, bp_ns_t source_ns);

/** Waits until every matched reliable reader has acknowledged everything written so far.
 *  @return 0, -ETIMEDOUT, or BP_EDDS */
int bp_pub_wait_acked(struct bp_pub *p, bp_ns_t timeout);

/** Matched readers of other participants. */
int bp_pub_matched(const struct bp_pub *p);

/* Counters since open, for the ledger and for metrics. */
struct bp_dds_stats {
    uint64_t udp_drops;    /* this host's receive-buffer drops (RcvbufErrors) since open */
    uint32_t rcvbuf_bytes; /* what the kernel gave */
    uint32_t endpoints, participants;
};
void bp_dds_stats(struct bp_dds *d, struct bp_dds_stats *ret);

/**
 * Calls a ROS 2 service in the dialect of its server. Refused with BP_EMISMATCH when servers of
 * two vendors share the name. Not from a callback of the graph (-EDEADLK). The request is sent
 * once: after -ETIMEDOUT it may have been carried out all the same.
 *
 * @param request   CDR with encapsulation header
 * @param ret       appended: the reply's CDR with encapsulation header
 * @param timeout   for discovery and answer together
 * @return 0, -ETIMEDOUT, -ENOENT (no server showed up in time), BP_EMISMATCH, BP_EUNSUPPORTED
 *         (server of an unknown vendor), BP_EDDS
 */
BP_MUST_CHECK int bp_dds_call(struct bp_dds *d, const char *service, const char *type,
                              const void *request, size_t n, bp_ns_t timeout, struct bp_buf *ret,
                              struct bp_error *err);

/** "rt/a" and "std_msgs::msg::dds_::String_" from ROS names into heap strings, NULL: no memory. */
char *bp_dds_mangle_topic(const char *ros_topic);
char *bp_dds_mangle_type(const char *ros_type);
