#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bag/journal.h"
#include "bag/sealed-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define KEY "bagpipe-key:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct bp_keyring *ring(const char *text) {
    struct bp_keyring *k = bp_keyring_new();

    if (!k || (text && bp_keyring_add_text(k, bp_str_of(text), "fuzz", NULL) < 0))
        abort();
    return k;
}

/* All that readers and recovery do with a container, with the corpus' key and without. */
static void look(const struct bp_io *io, int fd, struct bp_keyring *keys, bool close_it) {
    uint8_t buf[5000];
    struct bp_sealed *s = NULL;
    uint64_t size;
    char whom[300];

    if (bp_sealed_open(io, fd, keys, &s) < 0)
        return;
    size = bp_sealed_size(s);
    bp_sealed_recipients(s, whom, sizeof whom);
    if (bp_sealed_verify(s, NULL, NULL, NULL) == 0 && bp_sealed_holes(s))
        abort();
    for (uint64_t at = 0; at < size && at < 1 << 16; at += 3001)
        if (bp_sealed_pread(s, buf, sizeof buf, at, at % 2) > (ssize_t) sizeof buf)
            abort();
    if (close_it && bp_sealed_close_blind(s) == 0 && bp_sealed_state(s) == BP_SEALED_OPEN)
        abort();
    bp_sealed_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static struct bp_keyring *with, *without;
    int fd = memfd_create("sealed", MFD_CLOEXEC);
    char *journal = malloc(n + 1);
    size_t left = n;

    if (!with) {
        with = ring(KEY);
        without = ring(NULL);
    }
    if (fd < 0 || !journal || write(fd, p, n) != (ssize_t) n)
        return 0;
    look(&bp_io_posix, fd, with, false);
    look(&bp_io_posix, fd, without, true);
    look(&bp_io_posix, fd, with, false);
    memcpy(journal, p, n);
    if (bp_journal_unseal(&journal, &left, with) == 0 && left > n + 4096)
        abort();
    free(journal);
    (void) close(fd);
    return 0;
}
