#include <stdlib.h>
#include <string.h>

#include "dds/dds-priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* CYCLONEDDS_URI as XML text, and the cutting of elements that Cyclone does not know. The first
 * eight bytes name the element. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    char name[9] = "";
    char *uri;
    BP_AUTO_BUF xml = { 0 };

    if (n < 9 || p[8] != '<' || memmem(p, n, ",", 1))
        return 0; /* behind a comma may stand a file's name */
    memcpy(name, p, 8);
    uri = strndup((const char *) p + 8, n - 8);
    if (!uri)
        return 0;
    if (bp_config_user(uri, 7, &xml, NULL) == 0) {
        size_t before = xml.n;

        while (name[0] && bp_config_cut(&xml, name)) {
            if (xml.n >= before)
                abort();
            before = xml.n;
        }
    }
    free(uri);
    return 0;
}
