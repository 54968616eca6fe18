#include "base/ulid.h"

#include <errno.h>
#include <sys/random.h>

#include "base/mutex.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* The last id given out, as 128 bits. */
static struct {
    struct bp_mutex lock; /* leaf */
    uint64_t ms;          /* [lock] */
    uint16_t high;        /* [lock] upper 16 random bits */
    uint64_t low;         /* [lock] the other 64 */
} last = { .lock = BP_MUTEX_INIT };

static uint64_t random64(void) {
    uint64_t v = 0;

    /* before the kernel has gathered any, time is the best there is */
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) != (ssize_t) sizeof v)
        v = (uint64_t) bp_mono_ns() * 0x9e3779b97f4a7c15U;
    return v;
}

static void write_text(uint64_t ms, uint16_t high, uint64_t low, char text[static BP_ULID_TEXT]) {
    /* 130 bits in 26 digits of 5, the first two bits are zero */
    for (int i = 25; i >= 0; i--) {
        text[i] = digits[low & 31];
        low = low >> 5 | (uint64_t) (high & 31) << 59;
        high = (uint16_t) (high >> 5 | (ms & 31) << 11);
        ms >>= 5;
    }
    text[BP_ULID_TEXT - 1] = 0;
}

char *bp_ulid_new(char text[static BP_ULID_TEXT]) {
    uint64_t now = (uint64_t) (bp_wall_ns() / BP_MS), low = random64();
    uint16_t high = (uint16_t) (random64() >> 49); /* 15 bits: room to count up */

    bp_mutex_lock(&last.lock);
    if (now > last.ms) {
        last.ms = now;
        last.high = high;
        last.low = low;
    } else if (++last.low == 0 && ++last.high == 0) {
        last.ms++; /* the future, by a millisecond, after 2^79 ids in one */
    }
    now = last.ms;
    high = last.high;
    low = last.low;
    bp_mutex_unlock(&last.lock);

    write_text(now, high, low, text);
    return text;
}

char *bp_ulid_of(bp_ns_t wall_ns, const uint8_t bits[static 10], char text[static BP_ULID_TEXT]) {
    uint64_t low = 0;

    for (int i = 2; i < 10; i++)
        low = low << 8 | bits[i];
    write_text((uint64_t) (wall_ns / BP_MS), (uint16_t) (bits[0] << 8 | bits[1]), low, text);
    return text;
}

static int digit_value(char c) {
    const char *at;

    if (c >= 'a' && c <= 'z')
        c = (char) (c - 'a' + 'A');
    if (c == 'I' || c == 'L')
        return 1;
    if (c == 'O')
        return 0;
    at = c ? strchr(digits, c) : NULL;
    return at ? (int) (at - digits) : -1;
}

int bp_ulid_parse(const char *text, size_t n, bp_ns_t *ret_wall_ns) {
    int64_t ms = 0;

    if (n != BP_ULID_TEXT - 1 || digit_value(text[0]) > 7)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        int v = digit_value(text[i]);

        if (v < 0)
            return -EINVAL;
        if (i < 10)
            ms = ms << 5 | v;
    }

    if (ret_wall_ns)
        *ret_wall_ns = ms <= INT64_MAX / BP_MS ? ms * BP_MS : INT64_MAX;
    return 0;
}
