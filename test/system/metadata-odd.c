/* Prints a metadata.yaml whose topics, custom data and files are named by the arguments, for
 * shared-data.py to have foreign YAML readers judge our quoting. */
#include <stdio.h>

#include "bag/metadata.h"

int main(int argc, char *argv[]) {
    BP_AUTO_METADATA m = { 0 };
    BP_AUTO_BUF out = { 0 };
    bool ok = bp_metadata_init(&m, "mcap", "") == 0;

    for (int i = 1; ok && i < argc; i++)
        ok = bp_metadata_add_topic(&m, argv[i], "std_msgs/msg/String", "cdr", "", "", 1) == 0 &&
             bp_metadata_add_custom(&m, argv[i], argv[i]) == 0 &&
             bp_metadata_add_file(&m, argv[i], i, i + 1, 1) == 0;
    if (ok)
        bp_metadata_sum_files(&m);
    ok = ok && bp_metadata_format(&m, false, &out) == 0 && fwrite(out.p, 1, out.n, stdout) == out.n;
    return !ok;
}
