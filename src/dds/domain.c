#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dds/ddsrt/log.h>
#include <dds/version.h>

#include "dds/dds-priv.h"

/* Opening and closing. Cyclone knows a domain by the number it was created with and allows each
 * number once per process, so we number domain objects ourselves from FIRST_ID and show the ROS
 * domain on the wire by Discovery/ExternalDomainId: two objects can then be in the same ROS domain,
 * which is how a changed set of interfaces is taken over without a gap. */

enum { FIRST_ID = 0x10000, WANTED_RCVBUF = 16 * 1024 * 1024, MAX_DOMAIN = 232 };

/* ---- what Cyclone logs ---- */

/* Cyclone has one log sink per process. While a domain is being created its complaints go to the
 * creating thread's `capture`; later ones find their bp_dds by the domain object's id. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bp_path *registry[64];
static uint32_t next_id = FIRST_ID;
static _Thread_local struct bp_buf *capture;

static void note_from_cyclone(struct bp_dds *d, const char *text, size_t n) {
    if (memmem(text, n, "TYPE_INFORMATION", 16))
        bp_dds_note(d,
                    "a participant sends type information that Cyclone DDS 0.10 cannot read, its "
                    "topics stay invisible (native Fast DDS programs do this, ROS 2 nodes do "
                    "not): %.*s",
                    (int) n, text);
    else
        bp_dds_note(d, "Cyclone DDS: %.*s", (int) n, text);
}

static void log_sink(void *ctx, const dds_log_data_t *l) {
    const char *text = l->message;
    size_t n = strlen(text);

    (void) ctx;
    while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (capture) {
        bp_buf_printf(capture, "%s%.*s", capture->n ? "; " : "", (int) n, text);
        return;
    }
    if (!(l->priority & (DDS_LC_FATAL | DDS_LC_ERROR | DDS_LC_WARNING)))
        return;
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < BP_COUNT(registry); i++)
        if (registry[i] && registry[i]->id == l->domid)
            note_from_cyclone(registry[i]->d, text, n);
    pthread_mutex_unlock(&registry_lock);
}

static void install_sink(void) {
    dds_set_log_sink(log_sink, NULL);
}

static uint32_t enlist(struct bp_path *p) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint32_t id = 0;

    (void) pthread_once(&once, install_sink);
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < BP_COUNT(registry) && !id; i++)
        if (!registry[i]) {
            id = p->id = next_id++;
            registry[i] = p;
        }
    pthread_mutex_unlock(&registry_lock);
    return id;
}

static void delist(const struct bp_path *p) {
    pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < BP_COUNT(registry); i++)
        if (registry[i] == p)
            registry[i] = NULL;
    pthread_mutex_unlock(&registry_lock);
}

/* ---- notices ---- */

void bp_dds_wake(struct bp_dds *d) {
    uint64_t one = 1;

    (void) !write(d->wake_fd, &one, sizeof one);
}

void bp_dds_note(struct bp_dds *d, const char *fmt, ...) {
    struct bp_buf b = { 0 };
    char *text;
    va_list ap;

    va_start(ap, fmt);
    bp_buf_vprintf(&b, fmt, ap);
    va_end(ap);
    text = bp_buf_take_cstr(&b);
    if (!text)
        return;

    pthread_mutex_lock(&d->notes_lock);
    if (d->nnotes < BP_COUNT(d->notes))
        d->notes[d->nnotes++] = BP_TAKE_PTR(text);
    else
        d->notes_lost++;
    pthread_mutex_unlock(&d->notes_lock);
    free(text);
    bp_dds_wake(d);
}

/* ---- options ---- */

int bp_dds_opts_from_env(struct bp_dds_opts *ret, struct bp_error *err) {
    const char *domain = getenv("ROS_DOMAIN_ID"); /* NOLINT(concurrency-mt-unsafe): start-up */
    const char *security = getenv("ROS_SECURITY_ENABLE"); /* NOLINT(concurrency-mt-unsafe) */
    const char *local = getenv("ROS_LOCALHOST_ONLY");     /* NOLINT(concurrency-mt-unsafe) */
    struct bp_dds_opts o = {
        .discovery_range = getenv("ROS_AUTOMATIC_DISCOVERY_RANGE"), /* NOLINT(concurrency-*) */
        .static_peers = getenv("ROS_STATIC_PEERS"),                 /* NOLINT(concurrency-*) */
        .config_uri = getenv("CYCLONEDDS_URI"),                     /* NOLINT(concurrency-*) */
    };
    static const char *const ranges[] = { "SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT" };
    bool known = false;

    if (security && strcasecmp(security, "true") == 0)
        return bp_fail(err, BP_EUNSUPPORTED,
                       "ROS_SECURITY_ENABLE is true, but bagpipe does not speak DDS Security: it "
                       "would neither see the secured nodes nor be seen by them");
    if (domain && *domain) {
        char *end;
        unsigned long v;

        errno = 0;
        v = strtoul(domain, &end, 10);
        if (errno || *end || v > MAX_DOMAIN)
            return bp_fail(err, BP_ECONFIG, "ROS_DOMAIN_ID is '%s', it must be 0 to %d", domain,
                           MAX_DOMAIN);
        o.domain = (uint32_t) v;
    }
    if (o.discovery_range && !*o.discovery_range)
        o.discovery_range = NULL;
    for (size_t i = 0; i < BP_COUNT(ranges); i++)
        known = known || !o.discovery_range || bp_streq(o.discovery_range, ranges[i]);
    if (!known)
        return bp_fail(err, BP_ECONFIG,
                       "ROS_AUTOMATIC_DISCOVERY_RANGE is '%s', it must be SUBNET, LOCALHOST, OFF "
                       "or SYSTEM_DEFAULT",
                       o.discovery_range);
    o.localhost_only = (local && bp_streq(local, "1")) ||
                       (o.discovery_range && bp_streq(o.discovery_range, "LOCALHOST"));
    *ret = o;
    return 0;
}

static int copy_text(const char **p) {
    if (!*p || !**p) {
        *p = NULL;
        return 0;
    }
    *p = strdup(*p);
    return *p ? 0 : -ENOMEM;
}

static void free_text(const char *p) {
    char *heap;

    memcpy(&heap, &p, sizeof heap);
    free(heap);
}

/* ---- receive buffers ---- */

static uint32_t receive_buffer(const struct bp_path *p) {
    int fds[BP_RAW_SOCKETS], n = bp_raw_sockets(p->info_type, fds), wanted = WANTED_RCVBUF;
    uint32_t least = UINT32_MAX;

    for (int i = 0; i < n; i++) {
        int got = 0;
        socklen_t len = sizeof got;

        /* Root may go beyond net.core.rmem_max; nobody else is harmed when it fails. */
        (void) setsockopt(fds[i], SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted);
        if (getsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &got, &len) == 0)
            least = BP_MIN(least, (uint32_t) got / 2); /* the kernel doubles for bookkeeping */
    }
    return least == UINT32_MAX ? 0 : least;
}

static void warn_of_small_buffer(struct bp_path *p) {
    if (p->rcvbuf == 0 || p->rcvbuf >= WANTED_RCVBUF / 2)
        return;
    bp_dds_note(p->d,
                "the kernel gives a UDP receive buffer of %u kB only, bursts of large messages "
                "will be lost; cure: sudo sysctl -w net.core.rmem_max=67108864",
                p->rcvbuf / 1024);
}

static uint64_t host_rcvbuf_errors(void) {
    FILE *f = fopen("/proc/self/net/snmp", "re");
    uint64_t v = 0;
    char line[512];

    if (!f)
        return 0;
    /* "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors …", then the numbers */
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Udp: %*u %*u %*u %*u %" SCNu64, &v) == 1) /* NOLINT(cert-err34-c) */
            break;
    (void) fclose(f);
    return v;
}

/* ---- one Cyclone domain object ---- */

/* "…/Foo: unknown element" or "unknown attribute": its last name into `name`. */
static bool unknown_name(const char *said, char *name, size_t cap) {
    const char *p = strstr(said, ": unknown element");
    const char *start;

    if (!p)
        p = strstr(said, ": unknown attribute");
    if (!p)
        return false;
    for (start = p; start > said && !strchr("/@[ ", start[-1]); start--)
        ;
    while (p > start && p[-1] == ']')
        p--;
    (void) snprintf(name, cap, "%.*s", (int) (p - start), start);
    return p > start;
}

static int create_domain(struct bp_path *p, const struct bp_interfaces *in, bool auto_index,
                         struct bp_buf *user, struct bp_buf *said) {
    BP_AUTO_BUF xml = { 0 };
    char name[128];

    for (int tries = 0; tries < 16; tries++) {
        bp_buf_clear(&xml);
        bp_buf_clear(said);
        bp_config_xml(&p->d->opts, in, auto_index, user->n ? bp_buf_cstr(user) : NULL, &xml);
        if (user->n) {
            bp_buf_put_u8(&xml, ',');
            bp_buf_put(&xml, user->p, user->n);
        }
        if (!bp_buf_cstr(&xml))
            return -ENOMEM;
        capture = said;
        p->domain = dds_create_domain(p->id, bp_buf_cstr(&xml));
        capture = NULL;
        if (p->domain >= 0)
            return 0;
        if (!said->n || !unknown_name(bp_buf_cstr(said), name, sizeof name) ||
            !bp_config_cut(user, name))
            return BP_EDDS;
        bp_dds_note(p->d, "CYCLONEDDS_URI: '%s' is unknown to Cyclone DDS %s and ignored", name,
                    DDS_VERSION);
    }
    return BP_EDDS;
}

static int create_participant(struct bp_path *p, const struct bp_interfaces *in,
                              struct bp_buf *said, struct bp_error *err) {
    bool auto_index = p->d->opts.localhost_only;
    BP_AUTO_BUF user = { 0 };
    dds_qos_t *q;
    int rc = 0;

    if (p->d->opts.config_uri)
        rc = bp_config_user(p->d->opts.config_uri, p->d->opts.domain, &user, err);
    if (rc < 0)
        return rc;
    p->d->fixed_interfaces = user.n && strstr(bp_buf_cstr(&user), "NetworkInterface");
again:
    rc = create_domain(p, in, auto_index, &user, said);
    if (rc < 0)
        return bp_fail(err, rc, "cannot join domain %u on %s: %s", p->d->opts.domain,
                       in->n ? in->v[0].name : "no interface",
                       said->n ? bp_buf_cstr(said) : bp_strerror(rc));
    q = dds_create_qos();
    dds_qset_userdata(q, "enclave=/;", 10);
    capture = said;
    p->participant = dds_create_participant(p->id, q, NULL);
    capture = NULL;
    dds_delete_qos(q);
    if (p->participant >= 0)
        return 0;
    (void) dds_delete(p->domain);
    if (auto_index) {
        auto_index = false; /* all well-known ports are taken */
        goto again;
    }
    return bp_fail(err, BP_EDDS, "cannot join domain %u: %s", p->d->opts.domain,
                   said->n ? bp_buf_cstr(said) : dds_strretcode(-p->participant));
}

static int create_info(struct bp_path *p, struct bp_error *err) {
    dds_qos_t *q = dds_create_qos();

    p->info_topic = bp_raw_topic(p->participant, BP_DISCOVERY_TOPIC, BP_DISCOVERY_TYPE, false, true,
                                 &p->info_type);
    if (p->info_topic >= 0) {
        dds_qset_reliability(q, DDS_RELIABILITY_RELIABLE, DDS_SECS(1));
        dds_qset_durability(q, DDS_DURABILITY_TRANSIENT_LOCAL);
        dds_qset_history(q, DDS_HISTORY_KEEP_ALL, 0);
        dds_qset_ignorelocal(q, DDS_IGNORELOCAL_PARTICIPANT);
        p->info_reader = dds_create_reader(p->participant, p->info_topic, q, NULL);
    }
    dds_delete_qos(q);
    if (p->info_topic < 0 || p->info_reader < 0)
        return bp_fail(err, BP_EDDS, "cannot read " BP_DISCOVERY_TOPIC ": %s",
                       dds_strretcode(p->info_topic < 0 ? -p->info_topic : -p->info_reader));
    return 0;
}

static void note_own(struct bp_dds *d, const uint8_t guid[static BP_GUID_LEN]) {
    unsigned n = atomic_load(&d->nown);

    if (n == BP_COUNT(d->own))
        return; /* then a publication of ours may be heard by ourselves: harmless */
    memcpy(d->own[n], guid, sizeof d->own[n]);
    atomic_store(&d->nown, n + 1);
}

static unsigned free_index(const struct bp_dds *d) {
    unsigned used = 0, i = 0;

    for (const struct bp_path *p = d->paths; p; p = p->next)
        used |= 1u << p->index;
    while (used & 1u << i)
        i++;
    return i;
}

int bp_path_open(struct bp_dds *d, const struct bp_interfaces *in, struct bp_path **ret,
                 struct bp_error *err) {
    struct bp_path *p = calloc(1, sizeof *p);
    BP_AUTO_BUF said = { 0 };
    dds_guid_t guid;
    int rc;

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    p->d = d;
    p->interfaces = *in;
    p->index = free_index(d);
    if (!enlist(p)) {
        free(p);
        return bp_fail(err, BP_ELIMIT, "too many domains at once, %zu is the limit",
                       BP_COUNT(registry));
    }
    rc = create_participant(p, in, &said, err);
    if (rc < 0) {
        delist(p);
        free(p);
        return rc;
    }
    (void) dds_get_guid(p->participant, &guid);
    memcpy(p->guid, guid.v, BP_GUID_LEN);
    note_own(d, p->guid);
    rc = create_info(p, err);
    if (rc == 0)
        rc = bp_graph_watch(p, err);
    if (rc < 0) {
        bp_path_close(p);
        return rc;
    }
    p->rcvbuf = receive_buffer(p);
    warn_of_small_buffer(p);
    if (in->left_out[0])
        bp_dds_note(d, "Cyclone DDS uses %d interfaces at most; not listening on %s",
                    BP_MAX_INTERFACES, in->left_out);
    *ret = p;
    return 0;
}

void bp_path_close(struct bp_path *p) {
    if (!p)
        return;
    (void) dds_delete(p->domain); /* with all that is in it */
    delist(p);
    free(p);
}

/* ---- the domain as the user sees it ---- */

static void free_all(struct bp_dds *d) {
    bp_graph_stop(d);
    while (d->subs)
        bp_sub_close(d->subs);
    while (d->pubs)
        bp_pub_close(d->pubs);
    for (struct bp_path *p = d->paths, *next; p; p = next) {
        next = p->next;
        bp_path_close(p);
    }
    while (d->nodes) {
        struct bp_node *n = d->nodes;

        d->nodes = n->next;
        bp_node_free(n);
    }
    bp_graph_free(d);
    for (unsigned i = 0; i < d->nnotes; i++)
        free(d->notes[i]);
    if (d->wake_fd >= 0)
        (void) close(d->wake_fd);
    if (d->netlink_fd >= 0)
        (void) close(d->netlink_fd);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->notes_lock);
    free_text(d->opts.discovery_range);
    free_text(d->opts.static_peers);
    free_text(d->opts.config_uri);
    free(d);
}

/* Where only lo is used, nothing can come up that we would use. */
static void watch_interfaces(struct bp_dds *d) {
    struct bp_error err;

    if (d->opts.localhost_only ||
        (d->opts.discovery_range && (bp_streq(d->opts.discovery_range, "OFF") ||
                                     bp_streq(d->opts.discovery_range, "SYSTEM_DEFAULT"))))
        return;
    d->netlink_fd = bp_move_open(&err);
    if (d->netlink_fd < 0)
        bp_dds_note(d, "%s; one that comes up later will not be used", err.text);
}

int bp_dds_open(const struct bp_dds_opts *o, const struct bp_dds_events *ev, struct bp_dds **ret,
                struct bp_error *err) {
    struct bp_dds *d = calloc(1, sizeof *d);
    struct bp_interfaces in;
    int rc;

    if (!d)
        return bp_fail(err, -ENOMEM, "out of memory");
    d->opts = *o;
    if (ev)
        d->ev = *ev;
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->netlink_fd = -1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->notes_lock, NULL);
    d->rcvbuf_errors = host_rcvbuf_errors();

    rc = d->wake_fd < 0 ? -errno : 0;
    rc = copy_text(&d->opts.discovery_range) < 0 ? -ENOMEM : rc;
    rc = copy_text(&d->opts.static_peers) < 0 ? -ENOMEM : rc;
    rc = copy_text(&d->opts.config_uri) < 0 ? -ENOMEM : rc;
    if (rc == 0 && o->domain > MAX_DOMAIN)
        rc = bp_fail(err, BP_ECONFIG, "domain %u is out of range, 0 to %d", o->domain, MAX_DOMAIN);
    if (rc == 0)
        rc = bp_interfaces_now(&in, err);
    if (rc == 0)
        watch_interfaces(d);
    if (rc == 0)
        rc = bp_path_open(d, &in, &d->paths, err);
    if (d->fixed_interfaces && d->netlink_fd >= 0) {
        (void) close(d->netlink_fd);
        d->netlink_fd = -1;
    }
    d->joined = bp_mono_ns();
    if (rc == 0) {
        *ret = d; /* callbacks may use it from their first call on */
        rc = bp_graph_start(d, err);
    }
    if (rc < 0) {
        free_all(d);
        return rc;
    }
    return 0;
}

void bp_dds_close(struct bp_dds *d) {
    if (d)
        free_all(d);
}

void bp_dds_stats(struct bp_dds *d, struct bp_dds_stats *ret) {
    uint64_t now = host_rcvbuf_errors();

    pthread_mutex_lock(&d->lock);
    *ret = (struct bp_dds_stats){
        .udp_drops = now > d->rcvbuf_errors ? now - d->rcvbuf_errors : 0,
        .rcvbuf_bytes = d->paths ? d->paths->rcvbuf : 0,
        .endpoints = HASH_COUNT(d->eps),
        .participants = d->paths ? d->paths->npeople : 0,
    };
    pthread_mutex_unlock(&d->lock);
}
