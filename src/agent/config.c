#include "agent/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "access/access.h"
#include "agent/autostart.h"
#include "agent/degrade.h"
#include "agent/sync.h"
#include "agent/trigger-rule.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon/places.h"
#include "net/addr.h"
#include "record/name.h"
#include "record/overrides.h"
#include "record/robots.h"
#include "record/rules.h"
#include "record/select.h"

#define MIB        1048576.0
#define GIB        (1024 * MIB)
#define TIB        (1024 * GIB)
#define DAY        86400.0

#define AT(member) offsetof(struct bp_agent_config, member)

/* Where `bagpipe record` has an option for the same, meaning and default are those. */
static const struct bp_config_row rows[] = {
    { "discovery.domains", BP_CONFIG_LIST, AT(discovery.domains), NULL,
      .help = "ROS domains to watch, 0 to 232; none given: ROS_DOMAIN_ID, else 0" },
    { "discovery.mode", BP_CONFIG_CHOICE, AT(discovery.mode), "auto", .choices = "auto|list",
      .help = "auto: every topic that appears in the graph; list: only those in discovery.topics" },
    { "discovery.topics", BP_CONFIG_LIST, AT(discovery.topics), NULL,
      .help = "topics to see, `*` matches anything; with mode auto none given means all" },
    { "discovery.exclude_topics", BP_CONFIG_LIST, AT(discovery.exclude_topics), NULL,
      .help = "topics that are not there for us, whatever a session asks for" },

    { "qos.overrides", BP_CONFIG_TEXT, AT(qos.overrides), NULL,
      .help =
          "file with QoS per topic, as `ros2 bag record --qos-profile-overrides-path` reads it" },

    { "robots.rules", BP_CONFIG_LIST, AT(robots.rules), NULL,
      .help = "how robots are told apart, the first that fits: `NAME=domain:7`, `NAME=/namespace` "
              "or `NAME=~REGEX` (`$1` in NAME is its first group)" },

    { "record.topics", BP_CONFIG_LIST, AT(record.topics), NULL, .live = true,
      .help = "topics to record, `*` matches anything; none given here, by type or by regex: all" },
    { "record.exclude_topics", BP_CONFIG_LIST, AT(record.exclude_topics), NULL, .live = true,
      .help = "but not these" },
    { "record.types", BP_CONFIG_LIST, AT(record.types), NULL, .live = true,
      .help = "topics of these types" },
    { "record.exclude_types", BP_CONFIG_LIST, AT(record.exclude_types), NULL, .live = true,
      .help = "but not of these" },
    { "record.regex", BP_CONFIG_TEXT, AT(record.regex), NULL, .live = true,
      .help = "topics whose name contains a match of this regular expression (PCRE)" },
    { "record.exclude_regex", BP_CONFIG_TEXT, AT(record.exclude_regex), NULL, .live = true,
      .help = "but not those with a match of this one" },
    { "record.hidden", BP_CONFIG_BOOL, AT(record.hidden), "false", .live = true,
      .help = "also topics with a name part that begins with `_`" },
    { "record.services", BP_CONFIG_BOOL, AT(record.services), "false", .live = true,
      .help = "also the events of all services" },
    { "record.max_topics", BP_CONFIG_INT, AT(record.max_topics), "0", .min = 0, .max = 65535,
      .live = true, .help = "refuse topics of a session beyond so many, counted; 0 = no limit" },
    { "record.max_rate", BP_CONFIG_LIST, AT(record.max_rate), NULL, .live = true,
      .help = "`TOPIC=HZ`: keep at most this rate" },
    { "record.keep_every", BP_CONFIG_LIST, AT(record.keep_every), NULL, .live = true,
      .help = "`TOPIC=N`: keep every N-th message" },
    { "record.priority", BP_CONFIG_LIST, AT(record.priority), NULL, .live = true,
      .help = "`TOPIC=low`, `normal` or `high`: who is refused first when the ring fills up" },
    { "record.budget", BP_CONFIG_LIST, AT(record.budget), NULL, .live = true,
      .help = "`TOPIC=SIZE`: most of the ring that a topic may hold" },
    { "record.compression", BP_CONFIG_CHOICE, AT(record.compression), "none",
      .choices = "none|lz4|zstd", .live = true, .help = "how chunks are compressed" },
    { "record.compression_level", BP_CONFIG_INT, AT(record.compression_level), "0", .min = -7,
      .max = 19, .live = true, .help = "0 = the codec's fast default" },
    { "record.durability", BP_CONFIG_CHOICE, AT(record.durability), "commit",
      .choices = "fast|commit|strict", .live = true,
      .help = "fast: no sync; commit: sync each commit interval; strict: sync each batch" },
    { "record.profile", BP_CONFIG_CHOICE, AT(record.profile), "auto", .choices = "auto|disk|flash",
      .live = true,
      .help = "flash: fewer, larger writes for cards; auto: flash on SD cards and eMMC" },
    { "record.segment_size", BP_CONFIG_SIZE, AT(record.segment_size), "1GiB", .min = MIB,
      .max = TIB, .live = true, .help = "new segment at this size" },
    { "record.segment_time", BP_CONFIG_DURATION, AT(record.segment_time), "0", .min = 0,
      .max = 30 * DAY, .live = true, .help = "new segment after this time; 0 = by size alone" },
    { "record.commit_interval", BP_CONFIG_DURATION, AT(record.commit_interval), "100ms",
      .min = 0.001, .max = 60, .live = true, .help = "at most this much is lost by a power cut" },
    { "record.definitions", BP_CONFIG_TEXT, AT(record.definitions), NULL,
      .help = "folder of .msg or .idl files for types of your own" },

    { "buffer.ring_size", BP_CONFIG_SIZE, AT(buffer.ring_size), "256MiB", .min = 4 * MIB,
      .max = 64 * GIB, .live = true,
      .help = "memory of a session for what is not yet on the disk" },
    { "buffer.ring_dir", BP_CONFIG_TEXT, AT(buffer.ring_dir), NULL, .live = true,
      .help = "tmpfs folder of the ring (/dev/shm); `none` = without, then `kill -9` loses it" },
    { "buffer.alert_threshold", BP_CONFIG_REAL, AT(buffer.alert_threshold), "80", .min = 1,
      .max = 100, .live = true, .help = "raise an alert when a ring is so full, percent" },

    { "storage.dir", BP_CONFIG_TEXT, AT(storage.dir), NULL,
      .help = "folder for recordings and state; none given: `$STATE_DIRECTORY`, else "
              "`~/.local/share/bagpipe`" },
    { "storage.min_free", BP_CONFIG_SIZE, AT(storage.min_free), "0", .live = true,
      .help = "leave this much of the disk free; 0 = the smaller of 1 GiB and 5 %" },
    { "storage.alert_free", BP_CONFIG_SIZE, AT(storage.alert_free), "0", .live = true,
      .help = "raise an alert when less of the disk is free; 0 = twice what is left free" },
    { "storage.on_full", BP_CONFIG_CHOICE, AT(storage.on_full), "wait",
      .choices = "wait|stop|rotate", .live = true,
      .help = "wait for space, stop the session, or delete its oldest segments" },

    { "degrade.cpu.enter", BP_CONFIG_REAL, AT(degrade.cpu.enter), "0", .min = 0, .max = 100,
      .live = true,
      .help =
          "record less while the processor is busier than this, percent of all cores; 0 = off" },
    { "degrade.cpu.leave", BP_CONFIG_REAL, AT(degrade.cpu.leave), "0", .min = 0, .max = 100,
      .live = true, .help = "and back behind this; 0 = a tenth of `enter` away" },
    { "degrade.temperature.enter", BP_CONFIG_REAL, AT(degrade.temperature.enter), "0", .min = 0,
      .max = 200, .live = true,
      .help = "record less while the hottest sensor is above this, degrees Celsius; 0 = off" },
    { "degrade.temperature.leave", BP_CONFIG_REAL, AT(degrade.temperature.leave), "0", .min = 0,
      .max = 200, .live = true, .help = "and back behind this; 0 = a tenth of `enter` away" },
    { "degrade.battery.enter", BP_CONFIG_REAL, AT(degrade.battery.enter), "0", .min = 0, .max = 100,
      .live = true,
      .help =
          "record less while the battery is below this, without external power, percent; 0 = off" },
    { "degrade.battery.leave", BP_CONFIG_REAL, AT(degrade.battery.leave), "0", .min = 0, .max = 100,
      .live = true, .help = "and back behind this; 0 = a tenth of `enter` away" },
    { "degrade.ring.enter", BP_CONFIG_REAL, AT(degrade.ring.enter), "0", .min = 0, .max = 100,
      .live = true,
      .help = "record less while a session's ring is fuller than this, percent; 0 = off" },
    { "degrade.ring.leave", BP_CONFIG_REAL, AT(degrade.ring.leave), "0", .min = 0, .max = 100,
      .live = true, .help = "and back behind this; 0 = a tenth of `enter` away" },
    { "degrade.disk_free.enter", BP_CONFIG_SIZE, AT(degrade.disk_free.enter), "0", .live = true,
      .help = "record less while less than this is free; 0 = off" },
    { "degrade.disk_free.leave", BP_CONFIG_SIZE, AT(degrade.disk_free.leave), "0", .live = true,
      .help = "and back behind this; 0 = a tenth of `enter` away" },
    { "degrade.hold", BP_CONFIG_DURATION, AT(degrade.hold), "10s", .min = 0, .max = 3600,
      .live = true, .help = "a limit must be crossed for so long before each further step" },
    { "degrade.recover", BP_CONFIG_DURATION, AT(degrade.recover), "30s", .min = 0, .max = 3600,
      .live = true, .help = "all must be well for so long before each step back" },
    { "degrade.thin_rate", BP_CONFIG_REAL, AT(degrade.thin_rate), "1", .min = 0.001, .max = 1000,
      .live = true,
      .help = "messages a second that are left of a topic of low priority when thinned out" },
    { "degrade.most", BP_CONFIG_CHOICE, AT(degrade.most), "high_only",
      .choices = "no_compression|thin_low|no_low|high_only", .live = true,
      .help = "the furthest step" },

    { "retention.max_age", BP_CONFIG_DURATION, AT(retention.max_age), "0", .min = 0,
      .max = 3650 * DAY, .live = true,
      .help = "delete sessions older than this; 0 = never for their age" },
    { "retention.max_size", BP_CONFIG_SIZE, AT(retention.max_size), "0", .live = true,
      .help = "delete the oldest while all together are larger; 0 = no limit" },
    { "retention.min_free", BP_CONFIG_SIZE, AT(retention.min_free), "0", .live = true,
      .help = "delete the oldest while less of the disk is free; 0 = no limit; should be more than "
              "`storage.min_free`" },
    { "retention.keep_newest", BP_CONFIG_INT, AT(retention.keep_newest), "0", .min = 0,
      .max = 1000000, .live = true, .help = "never delete the newest so many of a class" },
    { "retention.keep_marked", BP_CONFIG_BOOL, AT(retention.keep_marked), "true", .live = true,
      .help = "never delete a session with a mark" },
    { "retention.delete_not_uploaded", BP_CONFIG_BOOL, AT(retention.delete_not_uploaded), "false",
      .live = true,
      .help = "also delete what has no copy elsewhere; without an upstream nothing is deleted "
              "otherwise" },
    { "retention.interval", BP_CONFIG_DURATION, AT(retention.interval), "60s", .min = 1, .max = DAY,
      .live = true, .help = "look so often" },
    { "retention.session.max_age", BP_CONFIG_DURATION, AT(retention.session.max_age), "0", .min = 0,
      .max = 3650 * DAY, .live = true, .help = "max_age of plain sessions; 0 = the general one" },
    { "retention.session.max_size", BP_CONFIG_SIZE, AT(retention.session.max_size), "0",
      .live = true,
      .help = "delete the oldest plain sessions while these are larger; 0 = no limit" },
    { "retention.session.keep_newest", BP_CONFIG_INT, AT(retention.session.keep_newest), "0",
      .min = 0, .max = 1000000, .live = true,
      .help = "keep_newest of plain sessions; 0 = the general one" },
    { "retention.session.keep", BP_CONFIG_BOOL, AT(retention.session.keep), "false", .live = true,
      .help = "never delete plain sessions" },
    { "retention.snapshot.max_age", BP_CONFIG_DURATION, AT(retention.snapshot.max_age), "0",
      .min = 0, .max = 3650 * DAY, .live = true,
      .help = "max_age of snapshots; 0 = the general one" },
    { "retention.snapshot.max_size", BP_CONFIG_SIZE, AT(retention.snapshot.max_size), "0",
      .live = true, .help = "delete the oldest snapshots while these are larger; 0 = no limit" },
    { "retention.snapshot.keep_newest", BP_CONFIG_INT, AT(retention.snapshot.keep_newest), "0",
      .min = 0, .max = 1000000, .live = true,
      .help = "keep_newest of snapshots; 0 = the general one" },
    { "retention.snapshot.keep", BP_CONFIG_BOOL, AT(retention.snapshot.keep), "false", .live = true,
      .help = "never delete snapshots" },

    { "session.auto_start", BP_CONFIG_TEXT, AT(session.begin), "false", .live = true,
      .help = "record without being told: `boot` (or `true`), `first_topic`, or with a topic such "
              "as `/robot1/*`; `false` = when told" },
    { "session.name", BP_CONFIG_TEXT, AT(session.name), "{robot}_{date}_{time}", .live = true,
      .help = "name of new sessions: {date} {time} {host} {robot} {domain} {mission}" },
    { "session.mission", BP_CONFIG_TEXT, AT(session.mission), NULL, .live = true,
      .help = "mission of new sessions, what {mission} stands for" },
    { "session.operator", BP_CONFIG_TEXT, AT(session.operator_), NULL, .live = true,
      .help = "operator of new sessions" },
    { "session.max_time", BP_CONFIG_DURATION, AT(session.max_time), "0", .min = 0, .max = 365 * DAY,
      .live = true, .help = "sessions end after this time; 0 = when told" },
    { "session.max_size", BP_CONFIG_SIZE, AT(session.max_size), "0", .min = 0, .max = 1024 * TIB,
      .live = true, .help = "sessions end when they are so large; 0 = when told" },
    { "session.at_max", BP_CONFIG_CHOICE, AT(session.at_max), "stop", .choices = "stop|next",
      .live = true,
      .help =
          "what follows a session that has reached its limit: nothing, or the next one, without "
          "a gap" },
    { "session.mark_topic", BP_CONFIG_TEXT, AT(session.mark_topic), NULL, .live = true,
      .help = "topic of std_msgs/msg/String whose messages become marks in all running sessions; "
              "`*` matches anything" },

    { "sync.upstream", BP_CONFIG_TEXT, AT(sync.upstream), NULL, .shown = bp_config_url_shown,
      .help = "where finished segments go: `https://SERVER`, `s3://BUCKET/PREFIX` or "
              "`file:///FOLDER`; a target named `upstream`" },
    { "sync.targets", BP_CONFIG_MAPS, AT(sync.targets), NULL, .shown = bp_config_url_shown,
      .help = "more of them: a list of `name`, `url`, `optional`, `tags`, … "
              "(docs/guides/sync-to-a-server.md)" },
    { "sync.token", BP_CONFIG_TEXT, AT(sync.token), "secret:cloud_auth_token",
      .help = "what we prove with who we are to a server: `secret:NAME` of the vault or "
              "`file:/PATH`",
      .secret = true },
    { "sync.ca_file", BP_CONFIG_TEXT, AT(sync.ca_file), NULL,
      .help = "trust the authorities in this file (PEM) instead of the system's" },
    { "sync.proxy", BP_CONFIG_TEXT, AT(sync.proxy), NULL, .shown = bp_config_url_shown,
      .help = "proxy, `http://HOST:PORT` or `socks5h://HOST:PORT`; none given: as the environment "
              "says" },
    { "sync.device", BP_CONFIG_TEXT, AT(sync.device), NULL,
      .help = "what we are called over there; none given: an id made of the device's key" },
    { "sync.part_size", BP_CONFIG_SIZE, AT(sync.part_size), "16MiB", .min = 65536, .max = GIB,
      .help = "files go in parts of this size, a power of two; a broken link costs at most one" },
    { "sync.parallel", BP_CONFIG_INT, AT(sync.parallel), "4", .min = 1, .max = 64,
      .help = "parts at the same time and target" },
    { "sync.bandwidth", BP_CONFIG_TEXT, AT(sync.bandwidth), NULL, .live = true,
      .help = "at most so much: `2Mbit`, or by time of day `08:00-18:00=2Mbit, else=unlimited`" },
    { "sync.metered_bandwidth", BP_CONFIG_TEXT, AT(sync.metered_bandwidth), NULL, .live = true,
      .help = "the same on links that cost" },
    { "sync.windows", BP_CONFIG_TEXT, AT(sync.windows), NULL, .live = true,
      .help = "send only then: `22:00-06:00, Sat-Sun 00:00-24:00`; none given: always" },
    { "sync.metered_links", BP_CONFIG_LIST, AT(sync.metered_links), NULL,
      .help = "network interfaces that cost, `*` matches anything; none given: wwan*, ppp*, "
              "rmnet*" },
    { "sync.metered", BP_CONFIG_CHOICE, AT(sync.metered), "auto", .choices = "auto|yes|no",
      .live = true, .help = "whether the link costs; auto: by the name of its interface" },
    { "sync.conflicts", BP_CONFIG_CHOICE, AT(sync.conflicts), "merge",
      .choices = "local|remote|merge|keep-both",
      .help = "who wins when a session was changed over there, too" },
    { "sync.while_recording", BP_CONFIG_BOOL, AT(sync.while_recording), "true",
      .help = "send closed segments of sessions that still run; off: when they are finished" },
    { "sync.selective", BP_CONFIG_BOOL, AT(sync.selective), "false",
      .help = "send what describes a session (manifest, metadata, signature) and keep its segments "
              "here until the server or somebody fetches a range of it (`POST /sync/fetch`)" },
    { "sync.delete_after_upload", BP_CONFIG_BOOL, AT(sync.delete_after_upload), "false",
      .help = "delete a session once every target that is not optional has proven by digest that "
              "it has it; what is kept, and with `retention.keep_marked` what is marked, stays" },
    { "sync.gc_age", BP_CONFIG_DURATION, AT(sync.gc_age), "7d", .min = 0, .max = 365 * DAY,
      .help = "unfinished uploads in buckets that nobody goes on with are removed so old; 0 = "
              "never by itself" },

    { "triggers", BP_CONFIG_MAPS, AT(triggers), NULL, .live = true, .shown = bp_trigger_shown,
      .help = "what to do when something happens: a list of `name`, `when`, `do`, … "
              "(docs/triggers.md)" },

    { "crypto.recipients", BP_CONFIG_LIST, AT(crypto.recipients), NULL,
      .help =
          "seal recordings for these public keys (`bagpipe key`), or files of keys; this machine "
          "then cannot read them" },
    { "crypto.key_file", BP_CONFIG_TEXT, AT(crypto.key_file), NULL,
      .help = "seal recordings with the key or passphrase in this file, as with "
              "`RECORDER_ENCRYPTION_KEY` and the systemd credential `recorder-encryption-key`" },
    { "crypto.hide_names", BP_CONFIG_BOOL, AT(crypto.hide_names), "false",
      .help = "topic names of sealed recordings in no readable file" },

    { "snapshot.enabled", BP_CONFIG_BOOL, AT(snapshot.enabled), "false",
      .help = "keep a history of what came lately, so that what came before a fault can be saved" },
    { "snapshot.before", BP_CONFIG_DURATION, AT(snapshot.before), "60s", .min = 0, .max = 30 * DAY,
      .help = "how far back a snapshot reaches, if the history does" },
    { "snapshot.after", BP_CONFIG_DURATION, AT(snapshot.after), "10s", .min = 0, .max = 3600,
      .help = "how long it goes on" },
    { "snapshot.max_bytes", BP_CONFIG_SIZE, AT(snapshot.max_bytes), "128MiB", .min = MIB,
      .max = 64 * GIB, .help = "memory of the history" },
    { "snapshot.max_age", BP_CONFIG_DURATION, AT(snapshot.max_age), "0", .min = 0, .max = 30 * DAY,
      .help = "memory lets go of messages older than this; 0 = when it is full" },
    { "snapshot.topics", BP_CONFIG_LIST, AT(snapshot.topics), NULL,
      .help = "topics of the history, `*` matches anything; none given: all" },
    { "snapshot.exclude_topics", BP_CONFIG_LIST, AT(snapshot.exclude_topics), NULL,
      .help = "but not these" },
    { "snapshot.max_rate", BP_CONFIG_LIST, AT(snapshot.max_rate), NULL,
      .help = "`TOPIC=HZ`: keep at most this rate in the history" },
    { "snapshot.keep_every", BP_CONFIG_LIST, AT(snapshot.keep_every), NULL,
      .help = "`TOPIC=N`: keep every N-th message in the history" },
    { "snapshot.name", BP_CONFIG_TEXT, AT(snapshot.name), "snapshot_{robot}_{date}_{time}",
      .help = "name of snapshots, words as in session.name" },
    { "snapshot.cooldown", BP_CONFIG_DURATION, AT(snapshot.cooldown), "0", .min = 0, .max = DAY,
      .help = "refuse a new one within this time of the last; one being saved still grows" },
    { "snapshot.max_per_hour", BP_CONFIG_INT, AT(snapshot.max_per_hour), "60", .min = 0,
      .max = 1000, .help = "refuse new ones beyond so many an hour; 0 = no limit" },
    { "snapshot.disk_bytes", BP_CONFIG_SIZE, AT(snapshot.disk_bytes), "0", .max = 64 * TIB,
      .help = "files that continue the history and outlive a restart, at least 16 MiB; 0 = memory "
              "alone" },
    { "snapshot.disk_age", BP_CONFIG_DURATION, AT(snapshot.disk_age), "0", .min = 0,
      .max = 365 * DAY, .help = "remove files older than this; 0 = when they are too many" },
    { "snapshot.disk_dir", BP_CONFIG_TEXT, AT(snapshot.disk_dir), NULL,
      .help = "their folder; none given: `history` in storage.dir" },
    { "snapshot.write_interval", BP_CONFIG_DURATION, AT(snapshot.write_interval), "100ms",
      .min = 0.01, .max = 60, .help = "how often memory goes to files: what `kill -9` may lose" },
    { "snapshot.sync_interval", BP_CONFIG_DURATION, AT(snapshot.sync_interval), "1s", .min = 0.01,
      .max = 3600, .help = "how often files are synced: what a power cut may lose" },

    { "http.listen", BP_CONFIG_LIST, AT(http.listen), "127.0.0.1:9090",
      .help = "addresses of the API, `HOST:PORT` or `unix:PATH`; an empty list: the socket alone" },
    { "http.hosts", BP_CONFIG_LIST, AT(http.hosts), NULL,
      .help = "names besides localhost by which browsers reach it" },
    { "http.origins", BP_CONFIG_LIST, AT(http.origins), NULL,
      .help = "origins of other web pages that may use it, `https://HOST`" },
    { "http.base_path", BP_CONFIG_TEXT, AT(http.base_path), NULL,
      .help =
          "path below which a proxy shows it, `/robot7`; one in `http.trusted_proxies` may say another by "
          "`X-Forwarded-Prefix`" },
    { "http.socket", BP_CONFIG_TEXT, AT(http.socket), NULL,
      .help = "unix socket; none given: `/run/bagpipe/agent.sock`, else below "
              "`$XDG_RUNTIME_DIR/bagpipe`" },
    { "http.workers", BP_CONFIG_INT, AT(http.workers), "4", .min = 1, .max = 64,
      .help = "threads that answer requests" },
    { "http.max_connections", BP_CONFIG_INT, AT(http.max_connections), "1024", .min = 8,
      .max = 100000, .help = "connections at the same time" },
    { "http.auth", BP_CONFIG_CHOICE, AT(http.auth), "auto", .choices = "auto|required|off",
      .help = "auto: whoever is on this machine is admin until there is a user, token or key; "
              "required: everybody proves who they are, except on the socket; off: whoever reaches "
              "it is admin, on loopback only" },
    { "http.session_time", BP_CONFIG_DURATION, AT(http.session_time), "7d", .min = 60,
      .max = 365 * DAY, .help = "a login ends after this time" },
    { "http.session_idle", BP_CONFIG_DURATION, AT(http.session_idle), "12h", .min = 60,
      .max = 365 * DAY, .help = "and when it was not used for so long" },
    { "http.jwt_keys", BP_CONFIG_TEXT, AT(http.jwt_keys), NULL,
      .help =
          "file with the keys of JSON Web Tokens that are taken, a JSON Web Key Set; read again "
          "when it changes" },
    { "http.jwt_issuer", BP_CONFIG_TEXT, AT(http.jwt_issuer), NULL,
      .help = "their `iss` must be this" },
    { "http.jwt_audience", BP_CONFIG_TEXT, AT(http.jwt_audience), NULL,
      .help = "their `aud` must be or hold this" },
    { "http.jwt_role", BP_CONFIG_TEXT, AT(http.jwt_role), "role",
      .help = "their claim that says viewer, operator or admin" },
    { "http.trusted_proxies", BP_CONFIG_LIST, AT(http.trusted_proxies), NULL,
      .help = "addresses of proxies whose `X-Forwarded-For` is believed, for limits of logins" },
    { "http.public_metrics", BP_CONFIG_BOOL, AT(http.public_metrics), "false",
      .help = "`/metrics` without proving who asks" },

    { "dashboard.backend_url", BP_CONFIG_TEXT, AT(dashboard.backend_url), NULL,
      .help = "where the dashboard finds the API, as browsers reach it; none given: where the page "
              "came from" },
    { "dashboard.ws_url", BP_CONFIG_TEXT, AT(dashboard.ws_url), NULL,
      .help = "where it finds the events, `wss://HOST:8765/`; none given: `api/v1/events`" },
    { "dashboard.map_tiles", BP_CONFIG_TEXT, AT(dashboard.map_tiles), NULL,
      .help = "where it takes map tiles from, `https://HOST/{z}/{x}/{y}.png`; none given: a plain "
              "grid" },

    { "crypto.sign", BP_CONFIG_BOOL, AT(proof.sign), "true",
      .help = "sign recordings with the device key, which is made when there is none" },
    { "crypto.device_key", BP_CONFIG_TEXT, AT(proof.device_key), NULL,
      .help = "private key of the device (PEM); none given: `device.key` in the data folder" },
    { "crypto.vault_key", BP_CONFIG_TEXT, AT(proof.vault_key), NULL,
      .help = "file with the vault's key; none given: `$BAGPIPE_VAULT_KEY`, a systemd credential, "
              "the kernel keyring, else `vault.key` in the data folder" },

    { "link.url", BP_CONFIG_TEXT, AT(link.url), NULL, .shown = bp_config_url_shown,
      .help = "server to keep a link to, `https://HOST`: it is told how the agent is and may send "
              "commands; none given: `sync.upstream` when that is a server; `none` = no link" },
    { "link.name", BP_CONFIG_TEXT, AT(link.name), NULL,
      .help = "what people call this device there; none given: the host's name" },
    { "link.token", BP_CONFIG_TEXT, AT(link.token), NULL, .secret = true,
      .help = "bearer token for the server, as `secret:NAME` or `file:/PATH`; none given: the "
              "device signs with its key for short-lived ones" },
    { "link.enrolment", BP_CONFIG_TEXT, AT(link.enrolment), NULL, .secret = true,
      .help =
          "one-time token by which the server lets this device in, likewise; none given: as the server "
          "has it, at once or when an admin accepts it" },
    { "link.ca_file", BP_CONFIG_TEXT, AT(link.ca_file), NULL,
      .help = "PEM file of the authorities the server is verified with; none given: "
              "`sync.ca_file` when the link goes to `sync.upstream`, else the system's" },
    { "link.proxy", BP_CONFIG_TEXT, AT(link.proxy), NULL, .shown = bp_config_url_shown,
      .help = "`http://HOST:PORT` to go through; none given: `sync.proxy` likewise, else as the "
              "environment says" },
    { "link.role", BP_CONFIG_CHOICE, AT(link.role), "operator",
      .choices = "none|viewer|operator|admin",
      .help = "most that commands of the server may do here, whoever asks there" },
    { "link.queue_size", BP_CONFIG_SIZE, AT(link.queue_size), "16MiB", .min = 64 * 1024, .max = TIB,
      .help = "disk for news the server does not have yet; then the least important go first" },
    { "link.live_rate", BP_CONFIG_SIZE, AT(link.live_rate), "4MiB", .min = 0, .max = GIB,
      .help = "bytes a second at most for pictures, points and samples that are watched through "
              "the server; 0 = they are not sent" },
    { "link.alert_after", BP_CONFIG_DURATION, AT(link.alert_after), "10min", .min = 0,
      .max = 30 * DAY, .help = "raise an alert when there is no link for so long; 0 = never" },

    { "telemetry.interval", BP_CONFIG_DURATION, AT(telemetry.interval), "1s", .min = 0.1, .max = 60,
      .live = true, .help = "how often status and rates of topics are told to those who listen" },

    { "log.level", BP_CONFIG_CHOICE, AT(log.level), "notice",
      .choices = "error|warning|notice|info|debug", .live = true,
      .help = "lines below this are not written" },
};

const struct bp_config_table bp_agent_config_table = { rows, BP_COUNT(rows),
                                                       sizeof(struct bp_agent_config), AT(origins),
                                                       NULL };

/* Choices are stored as the enums they become. */
static_assert(BP_COMPRESS_LZ4 == 1 && BP_COMPRESS_ZSTD == 2, "none|lz4|zstd");
static_assert(BP_SYNC_COMMIT == 1 && BP_SYNC_STRICT == 2, "fast|commit|strict");
static_assert(BP_PROFILE_DISK == 1 && BP_PROFILE_FLASH == 2, "auto|disk|flash");
static_assert(BP_FULL_STOP == 1 && BP_FULL_ROTATE == 2, "wait|stop|rotate");
static_assert(BP_ACCESS_AUTO == 0 && BP_ACCESS_REQUIRED == 1, "auto|required|off");
static_assert(BP_LOG_ERROR == 0 && BP_LOG_NOTICE == 2 && BP_LOG_DEBUG == 4, "error|…|debug");

/* ---- what a row cannot tell ---- */

/* Rooms below speak of usage; here it is the configuration that is wrong. */
static int blame(int r, const char *key, struct bp_error *err) {
    if (r == BP_EUSAGE || r == -EINVAL)
        r = BP_ECONFIG;
    return r < 0 ? bp_prefix(err, r, "%s", key) : 0;
}

static int check_domains(const struct bp_agent_config *c, struct bp_error *err) {
    for (size_t i = 0; i < c->discovery.domains.n; i++) {
        const char *text = c->discovery.domains.v[i];
        int64_t id;

        if (bp_parse_int(text, &id) < 0 || id < 0 || id > 232)
            return bp_fail(err, BP_ECONFIG, "discovery.domains: '%s' is not a number from 0 to 232",
                           text);
    }
    return 0;
}

static int check_rules(const struct bp_agent_config *c, struct bp_error *err) {
    const struct {
        const char *key;
        enum bp_rule_kind kind;
        const struct bp_config_list *list;
    } kinds[] = {
        { "record.max_rate", BP_RULE_RATE, &c->record.max_rate },
        { "record.keep_every", BP_RULE_KEEP, &c->record.keep_every },
        { "record.priority", BP_RULE_PRIORITY, &c->record.priority },
        { "record.budget", BP_RULE_BUDGET, &c->record.budget },
        { "snapshot.max_rate", BP_RULE_RATE, &c->snapshot.max_rate },
        { "snapshot.keep_every", BP_RULE_KEEP, &c->snapshot.keep_every },
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < BP_COUNT(kinds); i++) {
        BP_CLEANUP(bp_rules_done) struct bp_rules rules = { 0 };

        r = bp_rules_parse(kinds[i].kind, (const char *const *) kinds[i].list->v, kinds[i].list->n,
                           &rules, err);
        r = blame(r, kinds[i].key, err);
    }
    return r;
}

static int check_regex(const char *key, const char *regex, struct bp_error *err) {
    BP_CLEANUP(bp_select_freep) struct bp_select *s = NULL;
    struct bp_error why = { 0 };
    const char *text;
    int r;

    if (!*regex)
        return 0;
    r = bp_select_new(&(struct bp_select_opts){ .regex = regex }, &s, &why);
    if (r >= 0)
        return 0;
    text = strchr(why.text, '\''); /* it speaks of an option of `bagpipe record` before */
    return bp_fail(err, r == BP_EUSAGE ? BP_ECONFIG : r, "%s: %s", key, text ? text : why.text);
}

static int check_listen(const struct bp_agent_config *c, struct bp_error *err) {
    struct bp_addr a;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < c->http.listen.n; i++)
        r = blame(bp_addr_parse(c->http.listen.v[i], &a, err), "http.listen", err);
    return r;
}

static int check_discovery(const struct bp_agent_config *c, struct bp_error *err) {
    BP_CLEANUP(bp_qos_overrides_freep) struct bp_qos_overrides *q = NULL;
    struct stat st;

    if (c->discovery.mode == BP_DISCOVERY_LIST && !c->discovery.topics.n)
        return bp_fail(err, BP_ECONFIG, "discovery.mode: 'list' needs discovery.topics");
    if (!*c->qos.overrides)
        return 0;
    if (stat(c->qos.overrides, &st) == 0 && !S_ISREG(st.st_mode)) /* a pipe would never end */
        return bp_fail(err, BP_ECONFIG, "qos.overrides: '%s' is not a file", c->qos.overrides);
    return blame(bp_qos_overrides_load(c->qos.overrides, &q, err), "qos.overrides", err);
}

static int check_robots(const struct bp_agent_config *c, struct bp_error *err) {
    BP_CLEANUP(bp_robots_freep) struct bp_robots *robots = bp_robots_new(false);
    int r = robots ? 0 : bp_fail(err, -ENOMEM, "out of memory");

    for (size_t i = 0; r >= 0 && i < c->robots.rules.n; i++)
        r = blame(bp_robots_add_rule(robots, c->robots.rules.v[i], err), "robots.rules", err);
    return r;
}

static int check_triggers(const struct bp_agent_config *c, struct bp_error *err) {
    BP_CLEANUP(bp_trigger_rules_done) struct bp_trigger_rules rules = { 0 };

    return bp_trigger_rules_parse(&c->triggers, &rules, err);
}

static int check_snapshot(const struct bp_agent_config *c, struct bp_error *err) {
    char name[256];

    if (c->snapshot.disk_bytes && c->snapshot.disk_bytes < (uint64_t) (16 * MIB))
        return bp_fail(err, BP_ECONFIG, "snapshot.disk_bytes: 16 MiB at least, or 0");
    return blame(bp_record_name(c->snapshot.name, bp_wall_ns(), 0, c->session.mission, name,
                                sizeof name, err),
                 "snapshot.name", err);
}

int bp_agent_config_check(const struct bp_agent_config *c, struct bp_error *err) {
    char name[256];
    int r = check_domains(c, err);

    if (r >= 0)
        r = check_discovery(c, err);
    if (r >= 0)
        r = check_rules(c, err);
    if (r >= 0)
        r = check_regex("record.regex", c->record.regex, err);
    if (r >= 0)
        r = check_regex("record.exclude_regex", c->record.exclude_regex, err);
    if (r >= 0)
        r = blame(bp_record_name(c->session.name, bp_wall_ns(), 0, c->session.mission, name,
                                 sizeof name, err),
                  "session.name", err);
    if (r >= 0)
        r = check_snapshot(c, err);
    if (r >= 0)
        r = bp_degrade_check(c, err);
    if (r >= 0)
        r = bp_autostart_kind(c->session.begin, err);
    if (r >= 0)
        r = check_robots(c, err);
    if (r >= 0)
        r = check_triggers(c, err);
    if (r >= 0)
        r = bp_agent_sync_check(c, err);
    return r < 0 ? r : check_listen(c, err);
}

/* ---- loading ---- */

static int check_values(const void *values, struct bp_error *err) {
    return bp_agent_config_check(values, err);
}

const struct bp_config_kind bp_agent_config_kind = {
    .file = BP_AGENT_CONFIG_FILE,
    .table = &bp_agent_config_table,
    .from = AT(from),
    .check = check_values,
};

int bp_agent_config_parse(const char *name, struct bp_str text, const char *const *set, size_t nset,
                          struct bp_agent_config *ret, struct bp_error *err) {
    return bp_values_parse(&bp_agent_config_kind, name, text, set, nset, ret, err);
}

int bp_agent_config_load(const char *path, const char *const *set, size_t nset,
                         struct bp_agent_config *ret, struct bp_error *err) {
    return bp_values_load(&bp_agent_config_kind, path, set, nset, ret, err);
}

int bp_agent_config_copy(const struct bp_agent_config *from, struct bp_agent_config *ret) {
    return bp_values_copy(&bp_agent_config_kind, from, ret);
}

void bp_agent_config_done(struct bp_agent_config *c) {
    bp_values_done(&bp_agent_config_kind, c);
}

/* ---- places ---- */

static struct bp_places places_of(const struct bp_agent_config *c) {
    return (struct bp_places){ c->storage.dir, c->http.socket, "storage.dir", "http.socket",
                               "bagpipe",      "/run/bagpipe", "agent.sock",  "agent" };
}

int bp_agent_data_dir(const struct bp_agent_config *c, char *ret, size_t cap,
                      struct bp_error *err) {
    const struct bp_places p = places_of(c);

    return bp_places_data(&p, ret, cap, err);
}

int bp_agent_socket_path(const struct bp_agent_config *c, char *ret, size_t cap,
                         struct bp_error *err) {
    const struct bp_places p = places_of(c);

    return bp_places_socket(&p, ret, cap, err);
}

int bp_agent_socket_find(const struct bp_agent_config *c, char *ret, size_t cap,
                         struct bp_error *err) {
    const struct bp_places p = places_of(c);

    return bp_places_find(&p, ret, cap, err);
}
