/* Runs a fuzz target over files and folders given as arguments, without libFuzzer: the committed
 * corpus of each target is a unit test, so that each found crash stays found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#include "base/io.h"
#include "base/macro.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static unsigned ran;

static int run_file(const char *path) {
    BP_AUTO_FREE char *p = NULL;
    struct bp_error err;
    size_t n;
    uint8_t *exact;
    int r = bp_io_read_file(&bp_io_posix, path, (size_t) 64 << 20, &p, &n, &err);

    if (r < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return r;
    }
    exact = malloc(n + 1); /* no byte behind the input, for the address sanitizer */
    if (!exact)
        return -1;
    memcpy(exact, p, n);
    exact = realloc(exact, n ? n : 1);
    (void) LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    ran++;
    return 0;
}

static int run_dir(const char *path, DIR *d) {
    char file[4096];
    int r = 0;

    for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d)) {
        (void) snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.')
            r = run_file(file);
    }
    return r;
}

int main(int argc, char *argv[]) {
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        int r = d ? run_dir(argv[i], d) : run_file(argv[i]);

        if (d)
            (void) closedir(d);
        if (r != 0)
            return 1;
    }
    (void) printf("%u inputs ran\n", ran);
    return ran > 0 ? 0 : 1;
}
