#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "dds/dds-priv.h"

/* ---- interfaces ---- */

/* Bridges that container engines and hypervisors make: traffic on them is the containers' own, and
 * they come and go with every container. A plain `br0` is a robot's switch and stays. */
static bool is_container_bridge(const char *name) {
    static const char *const prefixes[] = { "docker", "veth",  "virbr",   "cni",  "podman",
                                            "lxcbr",  "lxdbr", "flannel", "cali", "kube" };
    char path[64 + IF_NAMESIZE];

    if (bp_starts_with(name, "br-") && strlen(name) == 15 &&
        strspn(name + 3, "0123456789abcdef") == 12)
        return true;
    for (size_t i = 0; i < BP_COUNT(prefixes); i++)
        if (bp_starts_with(name, prefixes[i])) {
            if (i != 1)
                return true;
            /* Our end of a pair that hangs on a bridge; inside a namespace veth is the NIC. */
            (void) snprintf(path, sizeof path, "/sys/class/net/%s/master", name);
            return access(path, F_OK) == 0;
        }
    return false;
}

int bp_interfaces_now(struct bp_interfaces *ret, struct bp_error *err) {
    struct bp_interfaces r = { 0 };
    struct ifaddrs *all = NULL;
    size_t room = BP_MAX_INTERFACES - 1; /* one is lo's */

    if (getifaddrs(&all) < 0)
        return bp_fail(err, -errno, "cannot list network interfaces: %s", bp_strerror(-errno));

    for (int loopback = 0; loopback < 2; loopback++)
        for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
            struct sockaddr_in in;
            bool seen = false;

            if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET ||
                (a->ifa_flags & (IFF_UP | IFF_RUNNING)) != (IFF_UP | IFF_RUNNING) ||
                ((a->ifa_flags & IFF_LOOPBACK) != 0) != (loopback == 1) ||
                is_container_bridge(a->ifa_name))
                continue;
            for (size_t i = 0; i < r.n; i++)
                seen = seen || bp_streq(r.v[i].name, a->ifa_name);
            if (seen)
                continue;
            if (r.n >= room + (size_t) loopback) {
                size_t n = strlen(r.left_out);

                (void) snprintf(r.left_out + n, sizeof r.left_out - n, "%s%s", n ? ", " : "",
                                a->ifa_name);
                continue;
            }
            memcpy(&in, a->ifa_addr, sizeof in);
            r.v[r.n].address = in.sin_addr.s_addr;
            r.v[r.n].index = if_nametoindex(a->ifa_name);
            r.v[r.n].loopback = loopback == 1;
            (void) snprintf(r.v[r.n++].name, IF_NAMESIZE, "%s", a->ifa_name);
        }
    freeifaddrs(all);
    *ret = r;
    return 0;
}

/* ---- our own configuration ---- */

static void put_escaped(struct bp_buf *b, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        switch (s[i]) {
        case '<':
            bp_buf_put_str(b, "&lt;");
            break;
        case '&':
            bp_buf_put_str(b, "&amp;");
            break;
        case '"':
            bp_buf_put_str(b, "&quot;");
            break;
        default:
            bp_buf_put_u8(b, (uint8_t) s[i]);
        }
}

static void put_peers(struct bp_buf *b, const char *list, bool localhost) {
    bp_buf_put_str(b, "<Peers>");
    /* Nodes that speak to localhost only listen on well-known unicast ports and nowhere else. */
    if (localhost)
        bp_buf_put_str(b, "<Peer Address=\"localhost\"/>");
    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ";");

        if (n) {
            bp_buf_put_str(b, "<Peer Address=\"");
            put_escaped(b, p, n);
            bp_buf_put_str(b, "\"/>");
        }
        p += n + (p[n] == ';');
    }
    bp_buf_put_str(b, "</Peers>");
}

static bool range_is(const struct bp_dds_opts *o, const char *name) {
    return o->discovery_range && bp_streq(o->discovery_range, name);
}

static void put_interfaces(const struct bp_dds_opts *o, const struct bp_interfaces *i,
                           struct bp_buf *b) {
    bp_buf_put_str(b, "<Interfaces>");
    for (size_t k = 0; k < i->n; k++)
        if (i->v[k].loopback)
            bp_buf_printf(b, "<NetworkInterface name=\"%s\" multicast=\"true\"/>", i->v[k].name);
        else if (!o->localhost_only)
            bp_buf_printf(b, "<NetworkInterface name=\"%s\"/>", i->v[k].name);
    bp_buf_put_str(b, "</Interfaces>");
}

void bp_config_xml(const struct bp_dds_opts *o, const struct bp_interfaces *i, bool auto_index,
                   const char *user, struct bp_buf *out) {
    bool off = range_is(o, "OFF"), theirs = range_is(o, "SYSTEM_DEFAULT");

    bp_buf_put_str(out, "<CycloneDDS><Domain Id=\"any\"><General>");
    /* Lists are appended, not replaced: ours would come on top of the user's. */
    if (i->n && !theirs && !(user && strstr(user, "NetworkInterface")))
        put_interfaces(o, i, out);
    if (o->sender_tuned)
        bp_buf_put_str(out, "<MaxMessageSize>65500B</MaxMessageSize>"
                            "<FragmentSize>65000B</FragmentSize>");
    bp_buf_put_str(out, "</General><Discovery>");
    bp_buf_printf(out, "<ExternalDomainId>%u</ExternalDomainId>", o->domain);
    if (off)
        bp_buf_printf(out, "<Tag>ros_discovery_off_%ld</Tag>", (long) getpid());
    else if (!theirs)
        put_peers(out, o->static_peers, true);
    /* 32 is the limit that rmw_cyclonedds sets, so both sides look at the same ports. */
    if (!theirs)
        bp_buf_printf(out,
                      "<ParticipantIndex>%s</ParticipantIndex>"
                      "<MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>",
                      auto_index ? "auto" : "none");
    bp_buf_put_str(out, "</Discovery><Internal><SocketReceiveBufferSize max=\"16MB\"/>");
    if (o->sender_tuned)
        bp_buf_put_str(out, "<Watermarks><WhcHigh>8MB</WhcHigh></Watermarks>");
    bp_buf_put_str(out, "</Internal><SharedMemory><Enable>false</Enable></SharedMemory>"
                        "</Domain></CycloneDDS>");
}

/* ---- CYCLONEDDS_URI ---- */

/* A fragment ends at a comma outside of markup: XML may hold commas. */
static size_t fragment_length(const char *p) {
    int depth = 0;
    bool tag = false, closing = false, empty = false;
    size_t n = 0;

    if (*p != '<')
        return strcspn(p, ",");
    for (; p[n]; n++) {
        if (p[n] == '<') {
            tag = true;
            closing = p[n + 1] == '/';
            empty = p[n + 1] == '?' || p[n + 1] == '!';
        } else if (p[n] == '>' && tag) {
            tag = false;
            if (closing)
                depth--;
            else if (!empty && p[n - 1] != '/')
                depth++;
        } else if (p[n] == ',' && !tag && depth <= 0) {
            break;
        }
    }
    return n;
}

static void put_for_domain(struct bp_buf *out, const char *xml, size_t n, uint32_t domain) {
    char ours[32];
    size_t nours = (size_t) snprintf(ours, sizeof ours, "%u", domain);

    for (size_t i = 0; i < n; i++) {
        size_t k = i + 7;

        bp_buf_put_u8(out, (uint8_t) xml[i]);
        if (n - i < 12 || strncasecmp(xml + i, "<Domain", 7) != 0 || xml[k] == '>')
            continue;
        /* <Domain Id="7"> becomes <Domain Id="any">, since Cyclone compares with its own id. */
        while (k < n && strchr(" \t\r\n", xml[k]))
            k++;
        if (n - k < 5 || strncasecmp(xml + k, "id=", 3) != 0)
            continue;
        k += 4;
        size_t end = k;
        while (end < n && xml[end] != '"' && xml[end] != '\'')
            end++;
        if (end - k == nours && memcmp(xml + k, ours, nours) == 0) {
            bp_buf_printf(out, "Domain Id=%cany", xml[k - 1]);
            i = end - 1;
        }
    }
}

static int put_fragment(struct bp_buf *out, const char *p, size_t n, uint32_t domain,
                        struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL;
    char path[4096];
    size_t ntext;
    int rc;

    if (*p == '<') {
        put_for_domain(out, p, n, domain);
        return 0;
    }
    if (n >= 7 && memcmp(p, "file://", 7) == 0)
        p += 7, n -= 7;
    if (n >= sizeof path)
        return bp_fail(err, BP_ECONFIG, "CYCLONEDDS_URI names a file with too long a name");
    (void) snprintf(path, sizeof path, "%.*s", (int) n, p);
    rc = bp_io_read_file(&bp_io_posix, path, 1u << 20, &text, &ntext, err);
    if (rc < 0)
        return bp_prefix(err, rc, "CYCLONEDDS_URI");
    put_for_domain(out, text, ntext, domain);
    return 0;
}

int bp_config_user(const char *uri, uint32_t domain, struct bp_buf *out, struct bp_error *err) {
    const char *p = uri;

    while (*p) {
        size_t n;
        int rc;

        p += strspn(p, ", \t\r\n");
        n = fragment_length(p);
        if (n == 0)
            break;
        if (out->n)
            bp_buf_put_u8(out, ',');
        rc = put_fragment(out, p, n, domain, err);
        if (rc < 0)
            return rc;
        p += n;
    }
    return out->failed ? -ENOMEM : 0;
}

static bool is_name_end(char c) {
    return c == '>' || c == '/' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* End of the element that starts at xml[i] ('<'), or 0 when it never ends. */
static size_t element_end(const char *xml, size_t n, size_t i) {
    int depth = 0;

    while (i < n) {
        bool closing = i + 1 < n && xml[i + 1] == '/';
        size_t e = i;

        while (e < n && xml[e] != '>')
            e++;
        if (e == n)
            return 0;
        if (closing)
            depth--;
        else if (xml[e - 1] != '/' && xml[i + 1] != '!' && xml[i + 1] != '?')
            depth++;
        if (depth == 0)
            return e + 1;
        i = e + 1;
        while (i < n && xml[i] != '<')
            i++;
    }
    return 0;
}

static void cut(struct bp_buf *b, size_t from, size_t to) {
    memmove(b->p + from, b->p + to, b->n - to);
    b->n -= to - from;
}

bool bp_config_cut(struct bp_buf *xml, const char *name) {
    const char *p = (const char *) xml->p;
    size_t nname = strlen(name);

    for (size_t i = 0; i + nname + 2 < xml->n; i++) {
        size_t end;

        if (strncasecmp(p + i + 1, name, nname) != 0)
            continue;
        if (p[i] == '<' && is_name_end(p[i + 1 + nname])) {
            end = element_end(p, xml->n, i);
            if (end == 0)
                return false;
            cut(xml, i, end);
            return true;
        }
        if ((p[i] == ' ' || p[i] == '\t' || p[i] == '\n') && p[i + 1 + nname] == '=') {
            end = i + 2 + nname;
            char quote = end < xml->n ? p[end] : 0;

            if (quote != '"' && quote != '\'')
                continue;
            for (end++; end < xml->n && p[end] != quote; end++)
                ;
            if (end == xml->n)
                return false;
            cut(xml, i, end + 1);
            return true;
        }
    }
    return false;
}
