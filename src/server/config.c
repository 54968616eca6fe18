#include "server/config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "catalog/archive.h"
#include "net/addr.h"

#define MIB        1048576.0
#define GIB        (1024 * MIB)
#define TIB        (1024 * GIB)
#define DAY        86400.0

#define AT(member) offsetof(struct bp_server_config, member)

/* Where the agent has a key of the same name, meaning and default are those. */
static const struct bp_config_row rows[] = {
    { "server.name", BP_CONFIG_TEXT, AT(server.name), NULL,
      .help = "what it is called where several sites meet; none given: the host's name" },
    { "server.dir", BP_CONFIG_TEXT, AT(server.dir), NULL,
      .help = "the one folder for everything it keeps; none given: `$STATE_DIRECTORY`, else "
              "`~/.local/share/bagpipe-server`" },
    { "server.url", BP_CONFIG_TEXT, AT(server.url), NULL,
      .help = "by which robots and people reach it, `https://HOST`; for links in answers" },

    { "storage.backend", BP_CONFIG_CHOICE, AT(storage.backend), "fs", .choices = "fs|s3",
      .help = "where recordings lie: files in the folder, or objects in an S3 bucket" },
    { "storage.min_free", BP_CONFIG_SIZE, AT(storage.min_free), "256MiB", .max = 64 * TIB,
      .help = "refuse uploads that would leave less of the disk free" },
    { "storage.max_file", BP_CONFIG_SIZE, AT(storage.max_file), "8TiB", .min = MIB, .max = 64 * TIB,
      .help = "refuse files that are longer" },
    { "storage.s3.endpoint", BP_CONFIG_TEXT, AT(storage.s3.endpoint), NULL,
      .help = "URL of the S3 service; none given: Amazon's of the region" },
    { "storage.s3.region", BP_CONFIG_TEXT, AT(storage.s3.region), "us-east-1",
      .help = "region that requests are signed for" },
    { "storage.s3.bucket", BP_CONFIG_TEXT, AT(storage.s3.bucket), NULL, .help = "bucket" },
    { "storage.s3.prefix", BP_CONFIG_TEXT, AT(storage.s3.prefix), NULL,
      .help = "what keys begin with" },
    { "storage.s3.ca_file", BP_CONFIG_TEXT, AT(storage.s3.ca_file), NULL,
      .help = "certificates that the service's is checked against; none given: the system's" },
    { "storage.s3.path_style", BP_CONFIG_BOOL, AT(storage.s3.path_style), "false",
      .help = "the bucket in the path, not in the host's name: MinIO, Ceph" },

    { "queue.max_bytes", BP_CONFIG_SIZE, AT(queue.max_bytes), "0", .max = 64 * TIB,
      .help = "room for uploads that are not whole yet, together; 0 = what the disk has" },
    { "queue.device_bytes", BP_CONFIG_SIZE, AT(queue.device_bytes), "0", .max = 64 * TIB,
      .help = "the same of one device; 0 = no limit" },
    { "queue.expiry", BP_CONFIG_DURATION, AT(queue.expiry), "7d", .min = 60, .max = 365 * DAY,
      .help = "forget an upload that got no new part for so long" },
    { "queue.workers", BP_CONFIG_INT, AT(queue.workers), "8", .min = 1, .max = 64,
      .help = "threads that write what is uploaded" },
    { "queue.verify", BP_CONFIG_BOOL, AT(queue.verify), "true",
      .help = "look into each recording that has arrived, in the background" },
    { "queue.verify_threads", BP_CONFIG_INT, AT(queue.verify_threads), "1", .min = 1, .max = 16,
      .help = "threads that do" },
    { "queue.conflicts", BP_CONFIG_CHOICE, AT(queue.conflicts), "merge",
      .choices = "merge|local|remote|keep-both",
      .help = "when a session was edited here and there, or one name stands for two contents" },

    { "cloud.target", BP_CONFIG_TEXT, AT(cloud.target), NULL,
      .help = "where everything goes from here, `s3://BUCKET/PREFIX`, `https://SERVER`, "
              "`file:///DIR`; none given: it stays" },
    { "cloud.ca_file", BP_CONFIG_TEXT, AT(cloud.ca_file), NULL,
      .help = "certificates that the target's is checked against; none given: the system's" },
    { "cloud.parallel", BP_CONFIG_INT, AT(cloud.parallel), "4", .min = 1, .max = 32,
      .help = "parts under way at once" },
    { "cloud.rate", BP_CONFIG_SIZE, AT(cloud.rate), "0", .max = 100 * GIB,
      .help = "most bytes a second; 0 = no limit" },
    { "cloud.part_size", BP_CONFIG_SIZE, AT(cloud.part_size), "16MiB", .min = 65536, .max = GIB,
      .help = "files go in parts of this size, a power of two; a broken link costs at most one" },
    { "cloud.gc_age", BP_CONFIG_DURATION, AT(cloud.gc_age), "7d", .max = 365 * DAY,
      .help = "unfinished uploads in the bucket that nobody goes on with are removed so old; 0 = "
              "never by itself" },

    { "retention.max_age", BP_CONFIG_DURATION, AT(retention.max_age), "0", .max = 36500 * DAY,
      .live = true, .help = "delete sessions that began longer ago; 0 = never" },
    { "retention.max_size", BP_CONFIG_SIZE, AT(retention.max_size), "0", .max = 1024 * TIB,
      .live = true, .help = "delete the oldest while all together are larger; 0 = no limit" },
    { "retention.min_free", BP_CONFIG_SIZE, AT(retention.min_free), "0", .max = 1024 * TIB,
      .live = true, .help = "delete the oldest while less of the disk is free; 0 = no limit" },
    { "retention.uploaded_only", BP_CONFIG_BOOL, AT(retention.uploaded_only), "true", .live = true,
      .help = "with a cloud.target delete only what it has confirmed" },
    { "retention.interval", BP_CONFIG_DURATION, AT(retention.interval), "1min", .min = 1,
      .max = DAY, .live = true, .help = "how often it looks" },
    { "retention.silent_devices", BP_CONFIG_DURATION, AT(retention.silent_devices), "365d",
      .max = 36500 * DAY, .live = true,
      .help = "forget what a device told by its link (status, events) when it was not heard for so "
              "long; 0 = never; its sessions stay" },

    { "telemetry.interval", BP_CONFIG_DURATION, AT(telemetry.interval), "1s", .min = 0.1, .max = 60,
      .live = true, .help = "how often status is told to those who listen" },

    { "http.listen", BP_CONFIG_LIST, AT(http.listen), "127.0.0.1:8080",
      .help = "addresses of the API, `HOST:PORT` or `unix:PATH`; an empty list: the socket alone" },
    { "http.hosts", BP_CONFIG_LIST, AT(http.hosts), NULL,
      .help = "names besides localhost by which browsers reach it" },
    { "http.origins", BP_CONFIG_LIST, AT(http.origins), NULL,
      .help = "origins of other web pages that may use it, `https://HOST`" },
    { "http.base_path", BP_CONFIG_TEXT, AT(http.base_path), NULL,
      .help =
          "path below which a proxy shows it, `/robot7`; one in `auth.trusted_proxies` may say another by "
          "`X-Forwarded-Prefix`" },
    { "http.socket", BP_CONFIG_TEXT, AT(http.socket), NULL,
      .help = "unix socket; none given: `/run/bagpipe-server/server.sock`, else below "
              "`$XDG_RUNTIME_DIR/bagpipe`" },
    { "http.workers", BP_CONFIG_INT, AT(http.workers), "4", .min = 1, .max = 64,
      .help = "threads that answer requests" },
    { "http.max_connections", BP_CONFIG_INT, AT(http.max_connections), "4096", .min = 8,
      .max = 100000, .help = "connections at the same time" },

    { "dashboard.backend_url", BP_CONFIG_TEXT, AT(dashboard.backend_url), NULL,
      .help = "where the dashboard finds the API, as browsers reach it; none given: where the page "
              "came from" },
    { "dashboard.ws_url", BP_CONFIG_TEXT, AT(dashboard.ws_url), NULL,
      .help = "where it finds the events, `wss://HOST:8765/`; none given: `api/v1/events`" },
    { "dashboard.map_tiles", BP_CONFIG_TEXT, AT(dashboard.map_tiles), NULL,
      .help = "where it takes map tiles from, `https://HOST/{z}/{x}/{y}.png`; none given: a plain "
              "grid" },

    { "events.listen", BP_CONFIG_LIST, AT(events.listen), "127.0.0.1:8765",
      .help = "a second door for events: a WebSocket at any path; an empty list: none" },

    { "metrics.listen", BP_CONFIG_LIST, AT(metrics.listen), "127.0.0.1:9091",
      .help = "a second door for `/metrics`; an empty list: none" },
    { "metrics.public", BP_CONFIG_BOOL, AT(metrics.public_), "false",
      .help = "`/metrics` without proving who asks, at every door" },

    { "auth.mode", BP_CONFIG_CHOICE, AT(auth.mode), "auto", .choices = "auto|required|off",
      .help = "auto: whoever is on this machine is admin until there is a user, token or key; "
              "required: everybody proves who they are, except on the socket; off: whoever reaches "
              "it is admin, on loopback only" },
    { "auth.session_time", BP_CONFIG_DURATION, AT(auth.session_time), "7d", .min = 60,
      .max = 365 * DAY, .help = "a login ends after this time" },
    { "auth.session_idle", BP_CONFIG_DURATION, AT(auth.session_idle), "12h", .min = 60,
      .max = 365 * DAY, .help = "and when it was not used for so long" },
    { "auth.jwt_keys", BP_CONFIG_TEXT, AT(auth.jwt_keys), NULL,
      .help = "file with the keys of JSON Web Tokens that are taken, a JSON Web Key Set; read "
              "again when it changes" },
    { "auth.jwt_issuer", BP_CONFIG_TEXT, AT(auth.jwt_issuer), NULL,
      .help = "their `iss` must be this" },
    { "auth.jwt_audience", BP_CONFIG_TEXT, AT(auth.jwt_audience), NULL,
      .help = "their `aud` must be or hold this" },
    { "auth.jwt_role", BP_CONFIG_TEXT, AT(auth.jwt_role), "role",
      .help = "their claim that says viewer, operator or admin" },
    { "auth.jwt_scope", BP_CONFIG_TEXT, AT(auth.jwt_scope), NULL,
      .help = "their claim that says which devices a viewer or operator may see, as with `bagpipe "
              "user add --scope`; none given: all" },
    { "auth.trusted_proxies", BP_CONFIG_LIST, AT(auth.trusted_proxies), NULL,
      .help = "addresses of proxies whose `X-Forwarded-For` is believed, for limits" },
    { "auth.devices", BP_CONFIG_CHOICE, AT(auth.devices), "auto", .choices = "auto|accept|approve",
      .help = "a device that nobody knows: accept: let it in; approve: it waits for an admin or "
              "brings a one-time token; auto: accept while everybody on this machine is admin" },
    { "auth.device_token", BP_CONFIG_DURATION, AT(auth.device_token), "15min", .min = 10,
      .max = DAY, .help = "a device's token is good for so long, then it asks for another" },
    { "auth.clock_skew", BP_CONFIG_DURATION, AT(auth.clock_skew), "5min", .min = 1, .max = DAY,
      .help = "a device's clock may be so far from ours when it signs" },
    { "auth.rate", BP_CONFIG_REAL, AT(auth.rate), "50", .min = 0, .max = 1000000,
      .help = "requests a second that a person, a token or an unknown peer may make for long; 0 = "
              "no limit" },
    { "auth.burst", BP_CONFIG_REAL, AT(auth.burst), "200", .min = 1, .max = 1000000,
      .help = "and so many at once" },
    { "auth.device_rate", BP_CONFIG_REAL, AT(auth.device_rate), "500", .min = 0, .max = 1000000,
      .help = "the same for a device; 0 = no limit" },
    { "auth.device_burst", BP_CONFIG_REAL, AT(auth.device_burst), "1000", .min = 1, .max = 1000000,
      .help = "and so many at once" },

    { "log.level", BP_CONFIG_CHOICE, AT(log.level), "notice",
      .choices = "error|warning|notice|info|debug", .live = true,
      .help = "lines below this are not written" },
};

/* Choices are stored as the enums they become. */
static_assert(BP_SERVER_S3 == 1, "fs|s3");
static_assert(BP_ACCESS_AUTO == 0 && BP_ACCESS_REQUIRED == 1, "auto|required|off");
static_assert(BP_SERVER_DEVICES_ACCEPT == 1 && BP_SERVER_DEVICES_APPROVE == 2, "auto|…");
static_assert(BP_LOG_ERROR == 0 && BP_LOG_NOTICE == 2 && BP_LOG_DEBUG == 4, "error|…|debug");
static_assert(BP_ARCHIVE_MERGE == 0 && BP_ARCHIVE_LOCAL == 1 && BP_ARCHIVE_KEEP_BOTH == 3,
              "merge|local|remote|keep-both");

static const struct bp_config_table table = { rows, BP_COUNT(rows), sizeof(struct bp_server_config),
                                              AT(origins), .env = "BAGPIPE_SERVER_" };

/* ---- what a row cannot tell ---- */

static int check_addresses(const char *key, const struct bp_config_list *l, struct bp_error *err) {
    struct bp_addr a;

    for (size_t i = 0; i < l->n; i++) {
        int r = bp_addr_parse(l->v[i], &a, err);

        if (r < 0)
            return bp_prefix(err, r == -EINVAL || r == BP_EUSAGE ? BP_ECONFIG : r, "%s", key);
    }
    return 0;
}

static int check(const void *values, struct bp_error *err) {
    const struct bp_server_config *c = values;
    int r = check_addresses("http.listen", &c->http.listen, err);

    if (r == 0)
        r = check_addresses("events.listen", &c->events.listen, err);
    if (r == 0)
        r = check_addresses("metrics.listen", &c->metrics.listen, err);
    if (r == 0 && c->storage.backend == BP_SERVER_S3 && !*c->storage.s3.bucket)
        r = bp_fail(err, BP_ECONFIG, "storage.backend: 's3' needs storage.s3.bucket");
    if (r == 0 && (c->cloud.part_size & (c->cloud.part_size - 1)))
        r = bp_fail(err, BP_ECONFIG, "cloud.part_size: not a power of two");
    return r;
}

const struct bp_config_kind bp_server_config_kind = {
    .file = BP_SERVER_CONFIG_FILE,
    .table = &table,
    .from = AT(from),
    .check = check,
};

int bp_server_config_load(const char *path, const char *const *set, size_t nset,
                          struct bp_server_config *ret, struct bp_error *err) {
    return bp_values_load(&bp_server_config_kind, path, set, nset, ret, err);
}

void bp_server_config_done(struct bp_server_config *c) {
    bp_values_done(&bp_server_config_kind, c);
}

struct bp_places bp_server_places(const struct bp_server_config *c) {
    return (struct bp_places){ c->server.dir, c->http.socket,   "server.dir",
                               "http.socket", "bagpipe-server", "/run/bagpipe-server",
                               "server.sock", "server" };
}
