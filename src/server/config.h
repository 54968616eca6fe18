#pragma once

#include "access/access.h"
#include "daemon/places.h"
#include "daemon/values.h"

/* The server's configuration: one row a key in config.c; docs/config-server.md and the sample file
 * are made from the rows. */
struct bp_server_config {
    struct {
        char *name; /* "" = the host's */
        char *dir;  /* "" = $STATE_DIRECTORY, else ~/.local/share/bagpipe-server */
        char *url;  /* by which others reach it, or "" */
    } server;
    struct {
        int backend; /* BP_SERVER_FS, BP_SERVER_S3 */
        uint64_t min_free, max_file;
        struct {
            char *endpoint, *region, *bucket, *prefix, *ca_file;
            bool path_style;
        } s3;
    } storage;
    struct {
        uint64_t max_bytes, device_bytes;
        bp_ns_t expiry;
        int64_t workers, verify_threads;
        bool verify;
        int conflicts; /* enum bp_archive_policy */
    } queue;
    struct {
        char *target; /* URL, "" = none */
        char *ca_file;
        int64_t parallel;
        uint64_t rate;      /* bytes/s, 0 = no limit */
        uint64_t part_size; /* a power of two */
        bp_ns_t gc_age;     /* 0 = never */
    } cloud;
    struct {
        bp_ns_t max_age;
        uint64_t max_size, min_free;
        bool uploaded_only;
        bp_ns_t interval, silent_devices;
    } retention;
    struct {
        bp_ns_t interval;
    } telemetry;
    struct {
        struct bp_config_list listen, hosts, origins;
        char *socket, *base_path;
        int64_t workers, max_connections;
    } http;
    struct {
        char *backend_url, *ws_url, *map_tiles;
    } dashboard;
    struct {
        struct bp_config_list listen;
    } events;
    struct {
        struct bp_config_list listen;
        bool public_;
    } metrics;
    struct {
        int mode; /* enum bp_access_mode */
        bp_ns_t session_time, session_idle;
        char *jwt_keys, *jwt_issuer, *jwt_audience, *jwt_role, *jwt_scope;
        struct bp_config_list trusted_proxies;
        int devices; /* BP_SERVER_DEVICES_* */
        bp_ns_t device_token, clock_skew;
        double rate, burst, device_rate, device_burst; /* requests a second, requests */
    } auth;
    struct {
        int level;
    } log;

    struct bp_config_origins origins;
    struct bp_config_from from;
};

enum { BP_SERVER_FS, BP_SERVER_S3 };
/* How a device gets in that nobody knows. */
enum { BP_SERVER_DEVICES_AUTO, BP_SERVER_DEVICES_ACCEPT, BP_SERVER_DEVICES_APPROVE };

extern const struct bp_config_kind bp_server_config_kind;

#define BP_SERVER_CONFIG_FILE "/etc/bagpipe/server.yaml"

/** As bp_values_load(). */
BP_MUST_CHECK int bp_server_config_load(const char *path, const char *const *set, size_t nset,
                                        struct bp_server_config *ret, struct bp_error *err);
void bp_server_config_done(struct bp_server_config *c);
/** Its folder and socket, for daemon/places.h; texts are borrowed from `c`. */
struct bp_places bp_server_places(const struct bp_server_config *c);
