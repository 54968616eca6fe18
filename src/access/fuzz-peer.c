/* X-Forwarded-For as anybody may send it to a proxy that passes it on. Whatever it is, the client
 * is a text that fits and is an address, or the proxy's own. */
#include <arpa/inet.h>

#include "access/access-priv.h"
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static const char *const proxies[] = { "127.0.0.1", NULL };
    char *text = strndup((const char *) p, n), got[BP_THROTTLE_KEY];
    uint8_t ip[16];

    bp_access_client_of("127.0.0.1:80", proxies, text, got);
    if (strnlen(got, sizeof got) == sizeof got ||
        (inet_pton(AF_INET, got, ip) != 1 && inet_pton(AF_INET6, got, ip) != 1))
        abort();
    bp_access_client_of(text, proxies, text, got);
    if (strnlen(got, sizeof got) == sizeof got)
        abort();
    free(text);
    return 0;
}
