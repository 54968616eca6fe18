#pragma once

#include <jansson.h>

#include "daemon/values.h"

/* The agent's configuration: one row a key in config.c; docs/config.md and the sample file are made
 * from the rows. */
struct bp_agent_config {
    struct {
        struct bp_config_list domains; /* empty: ROS_DOMAIN_ID, else 0 */
        int mode;                      /* BP_DISCOVERY_* */
        struct bp_config_list topics, exclude_topics;
    } discovery;
    struct {
        char *overrides; /* file */
    } qos;
    struct {
        struct bp_config_list rules;
    } robots;
    struct {
        struct bp_config_list topics, exclude_topics, types, exclude_types;
        char *regex, *exclude_regex;
        bool hidden, services;
        int64_t max_topics;
        struct bp_config_list max_rate, keep_every, priority, budget; /* "topic=value" */
        int compression, durability, profile;
        int64_t compression_level;
        uint64_t segment_size;
        bp_ns_t segment_time, commit_interval;
        char *definitions;
    } record;
    struct {
        uint64_t ring_size;
        char *ring_dir;
        double alert_threshold; /* percent */
    } buffer;
    struct {
        char *dir; /* "" = $STATE_DIRECTORY, else ~/.local/share/bagpipe */
        uint64_t min_free, alert_free;
        int on_full;
    } storage;
    struct {
        struct {
            double enter, leave;
        } cpu, temperature, battery, ring; /* percent, degrees Celsius */
        struct {
            uint64_t enter, leave;
        } disk_free;
        bp_ns_t hold, recover;
        double thin_rate;
        int most;
    } degrade;
    struct {
        bp_ns_t max_age;
        uint64_t max_size, min_free;
        int64_t keep_newest;
        bool keep_marked, delete_not_uploaded;
        bp_ns_t interval;
        struct bp_retention_config {
            bp_ns_t max_age;
            uint64_t max_size;
            int64_t keep_newest;
            bool keep;
        } session, snapshot; /* by class */
    } retention;
    struct {
        struct bp_config_list recipients; /* public keys, or files of keys */
        char *key_file;                   /* "" = none */
        bool hide_names;
    } crypto;
    struct {
        char *begin; /* see autostart.h */
        char *name, *mission, *operator_;
        bp_ns_t max_time;
        uint64_t max_size;
        int at_max;
        char *mark_topic;
    } session;
    struct {
        char *upstream;                /* URL of the target of that name; "" = none */
        struct bp_config_list targets; /* objects, see sync/config.h */
        char *token, *ca_file, *proxy, *device;
        uint64_t part_size;
        int64_t parallel;
        char *bandwidth, *metered_bandwidth, *windows;
        struct bp_config_list metered_links;
        int metered; /* auto|yes|no */
        int conflicts;
        bool while_recording, delete_after_upload, selective;
        bp_ns_t gc_age;
    } sync;
    struct bp_config_list triggers; /* objects, see trigger-rule.h */
    struct {
        bool enabled;
        bp_ns_t before, after;
        uint64_t max_bytes;
        bp_ns_t max_age;
        struct bp_config_list topics, exclude_topics, max_rate, keep_every;
        char *name;
        bp_ns_t cooldown;
        int64_t max_per_hour;
        uint64_t disk_bytes; /* 0 = memory alone */
        bp_ns_t disk_age, write_interval, sync_interval;
        char *disk_dir; /* "" = `history` in storage.dir */
    } snapshot;
    struct {
        struct bp_config_list listen, hosts, origins;
        char *socket; /* "" = /run/bagpipe/agent.sock, else below $XDG_RUNTIME_DIR */
        char *base_path;
        int64_t workers, max_connections;
        int auth; /* enum bp_access_mode */
        bp_ns_t session_time, session_idle;
        char *jwt_keys, *jwt_issuer, *jwt_audience, *jwt_role;
        struct bp_config_list trusted_proxies;
        bool public_metrics;
    } http;
    struct {
        char *backend_url, *ws_url, *map_tiles;
    } dashboard;
    struct {
        bp_ns_t interval;
    } telemetry;
    struct {
        char *url; /* "" = sync.upstream, "none" */
        char *name, *token, *enrolment, *ca_file, *proxy;
        int role; /* what the server may: none, viewer, operator, admin */
        uint64_t queue_size;
        uint64_t live_rate; /* bytes a second */
        bp_ns_t alert_after;
    } link;
    struct {
        bool sign;
        char *device_key, *vault_key;
    } proof; /* keys "crypto.…" */
    struct {
        int level;
    } log;

    struct bp_config_origins origins;
    struct bp_config_from from;
};

enum { BP_DISCOVERY_AUTO, BP_DISCOVERY_LIST };

extern const struct bp_config_table bp_agent_config_table;
extern const struct bp_config_kind bp_agent_config_kind;

#define BP_AGENT_CONFIG_FILE "/etc/bagpipe/agent.yaml"

/**
 * Defaults, then the file, the environment and words of the command line; then what a row cannot
 * tell is checked: domains, patterns, rules, the name's template, addresses.
 *
 * @param path  of the YAML file; NULL: BP_AGENT_CONFIG_FILE when it is there
 * @param set   "key=value" words
 * @param ret   release with bp_agent_config_done(), also after a failure; no text in it is NULL
 * @return 0; BP_ECONFIG naming file, line, key and what is allowed; BP_EFORMAT when the file is not
 *         YAML; -ENOENT, -EACCES, … when it cannot be read; -ENOMEM
 */
BP_MUST_CHECK int bp_agent_config_load(const char *path, const char *const *set, size_t nset,
                                       struct bp_agent_config *ret, struct bp_error *err);
void bp_agent_config_done(struct bp_agent_config *c);
/** The same with the YAML text of a file at hand, called `name` in errors. */
BP_MUST_CHECK int bp_agent_config_parse(const char *name, struct bp_str text,
                                        const char *const *set, size_t nset,
                                        struct bp_agent_config *ret, struct bp_error *err);
/** What no row can tell, see bp_agent_config_load(). */
BP_MUST_CHECK int bp_agent_config_check(const struct bp_agent_config *c, struct bp_error *err);
/** @param ret  release with bp_agent_config_done(), also after a failure; @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_agent_config_copy(const struct bp_agent_config *from,
                                       struct bp_agent_config *ret);

/**
 * The folder for data and state, made 0700 with its parents when missing: the configured one ("~/"
 * is the home), else the first of $STATE_DIRECTORY, else $XDG_DATA_HOME/bagpipe, else
 * ~/.local/share/bagpipe.
 *
 * @return 0, BP_ECONFIG when there is no home either, -ENAMETOOLONG, or why it cannot be made or
 *         written to
 */
BP_MUST_CHECK int bp_agent_data_dir(const struct bp_agent_config *c, char *ret, size_t cap,
                                    struct bp_error *err);
/**
 * Where the agent's unix socket belongs: the configured path, else /run/bagpipe/agent.sock when
 * that folder can be made or written, else $XDG_RUNTIME_DIR/bagpipe/agent.sock, else agent.sock in
 * the data folder. The folder is made.
 *
 * @return 0; BP_ECONFIG when it is longer than a socket's path may be; or why a folder cannot be
 * made
 */
BP_MUST_CHECK int bp_agent_socket_path(const struct bp_agent_config *c, char *ret, size_t cap,
                                       struct bp_error *err);
/**
 * Where an agent listens, for those who want to talk to it: the configured path, else the first of
 * the places above that has a socket. Makes nothing.
 *
 * @return 0, or -ENOENT when there is none
 */
BP_MUST_CHECK int bp_agent_socket_find(const struct bp_agent_config *c, char *ret, size_t cap,
                                       struct bp_error *err);
