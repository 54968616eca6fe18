/* rosbag2's file-wise compression (`x.mcap.zstd`, `x.db3.zstd`): the file is decompressed once into
 * a temporary file, which has no name any more when the recording is open, and read as what it then
 * is. Both formats need to seek, so there is no reading while decompressing. */
#include "bag/source-priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/temp.h"

static bool probe(const uint8_t *head, size_t n) {
    return n >= 4 && bp_ld_le32(head) == 0xFD2FB528;
}

/* Errors of what is inside name a file that nobody knows. */
static int name_original(int r, const char *temp, const char *path, struct bp_error *err) {
    char text[sizeof err->text];
    const char *at = err ? strstr(err->text, temp) : NULL;

    if (!at)
        return r;
    (void) snprintf(text, sizeof text, "%s", err->text);
    return bp_fail(err, r, "%.*s%s (decompressed)%s", (int) (at - err->text), text, path,
                   text + (at - err->text) + strlen(temp));
}

static int open_inside(const char *temp, struct bp_source **ret, struct bp_error *err) {
    static const struct bp_source_ops *const kinds[] = { &bp_source_mcap, &bp_source_sqlite };
    uint8_t head[16] = { 0 };
    BP_AUTO_FD int fd = open(temp, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);

    for (size_t i = 0; n > 0 && i < BP_COUNT(kinds); i++)
        if (kinds[i]->probe(head, (size_t) n))
            return kinds[i]->open(temp, ret, err);

    return bp_fail(err, BP_EFORMAT, "'%s' is neither an MCAP file nor a rosbag2 database", temp);
}

static int zstd_open(const char *path, struct bp_source **ret, struct bp_error *err) {
    char dir[4000], temp[4096];
    struct bp_source *s = NULL;
    struct stat st;
    int r = bp_temp_dir(dir, sizeof dir, err);

    if (r < 0)
        return r;
    (void) snprintf(temp, sizeof temp, "%s/plain", dir);
    r = bp_temp_unzstd(path, temp, err);
    if (r >= 0)
        r = open_inside(temp, &s, err);
    (void) unlink(temp); /* the source keeps it open */
    (void) rmdir(dir);
    if (r < 0 || !s)
        return name_original(r, temp, path, err);

    s->file.path = path;
    if (stat(path, &st) == 0)
        s->file.bytes = (uint64_t) st.st_size;
    s->compression = "zstd";
    *ret = s;
    return 0;
}

/* Only opens: what it returns is a source of the kind inside. */
const struct bp_source_ops bp_source_zstd = {
    .storage = "zstd",
    .probe = probe,
    .open = zstd_open,
};
