#include "sync/target-net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int bp_sync_net_failed(struct bp_sync_failure *f, int r, const struct bp_error *err) {
    switch (r) {
    case -ECANCELED:
        return bp_sync_fail(f, BP_SYNC_CANCELED, "given up");
    case -ENODATA: /* the file is shorter than it was */
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EBADF:
    case -EINVAL:
        return bp_sync_fail(f, BP_SYNC_LOCAL, "%s", err->text);
    case BP_ELIMIT:
        return bp_sync_fail(f, BP_SYNC_SERVER, "%s", err->text);
    default:
        return bp_sync_fail(f, BP_SYNC_NETWORK, "%s", err->text);
    }
}

int bp_sync_net_base(const char *url, char **ret, struct bp_error *err) {
    const char *host = strstr(url, "://");
    size_t n = strlen(url);

    if (bp_starts_with(url, "unix:/"))
        return asprintf(ret, "%s%s", url, url[n - 1] == ':' ? "" : ":") < 0
                   ? bp_fail(err, -ENOMEM, "out of memory")
                   : 0;
    if (!host || !host[3] || host[3] == '/')
        return bp_fail(err, BP_EUSAGE, "'%s' names no server: http://HOST:PORT", url);
    if (memchr(host + 3, '@', strcspn(host + 3, "/")))
        return bp_fail(err, BP_EUSAGE,
                       "a URL with a password is shown to everybody: give the token by "
                       "environment, file or vault");
    if (strpbrk(host, "?# "))
        return bp_fail(err, BP_EUSAGE, "'%s': expected http://HOST:PORT, nothing behind it", url);
    while (n && url[n - 1] == '/')
        n--;
    *ret = strndup(url, n);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

int bp_sync_net_auth(const char *token, struct bp_secret *ret, struct bp_error *err) {
    static const char before[] = "Authorization: Bearer ";
    size_t n = token ? strlen(token) : 0;
    int r;

    if (!n)
        return 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) token[i] <= ' ' || (unsigned char) token[i] > '~')
            return bp_fail(err, BP_EUSAGE,
                           "the token for the server has a character that none has");
    r = bp_secret_alloc(sizeof before - 1 + n, ret);
    if (r < 0)
        return bp_fail(err, r, "out of memory");
    (void) snprintf((char *) ret->p, sizeof before + n, "%s%s", before, token);
    return 0;
}
