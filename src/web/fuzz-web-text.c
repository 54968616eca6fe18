/* What clients and proxies say about encodings, pages and paths. Whatever it is, a path that was
 * taken holds nothing that could leave the attribute it is written into. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "web/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    char *text = malloc(n + 1), prefix[BP_WEB_PREFIX], origin[BP_WEB_ORIGIN];

    if (!text)
        return 0;
    memcpy(text, p, n);
    text[n] = '\0';
    (void) bp_web_pick(text);
    (void) bp_web_wants_page(text);
    if (bp_web_prefix(text, prefix) && strpbrk(prefix, "\"'<>& \\%?#"))
        abort();
    if (bp_web_origin(text, origin) && strpbrk(origin, "\"'<>; ,/*\r\n") == NULL)
        abort(); /* it has at least the slashes of its scheme */
    free(text);
    return 0;
}
