#include "net/s3-priv.h"

#include <strings.h>

static const struct bp_s3_quirks table[] = {
    { .name = "aws",
      .host = ".amazonaws.com",
      .virtual_style = true,
      .checksums = true,
      .conditional = true,
      .conditional_complete = true },
    { .name = "aws",
      .host = ".amazonaws.com.cn",
      .virtual_style = true,
      .checksums = true,
      .conditional = true,
      .conditional_complete = true },
    { .name = "r2", .host = ".r2.cloudflarestorage.com", .equal_parts = true, .conditional = true },
    { .name = "gcs", .host = "storage.googleapis.com" },
    { .name = "wasabi", .host = ".wasabisys.com" },
    { .name = "supabase", .host = ".supabase.co" },
    { .name = "backblaze", .host = ".backblazeb2.com" },
    { .name = "spaces", .host = ".digitaloceanspaces.com" },
    { .name = "minio", .checksums = true, .conditional = true, .conditional_complete = true },
    { .name = "ceph", .conditional = true },
    { .name = "swift" },
    { .name = "generic" },
};

const struct bp_s3_quirks *bp_s3_quirks_named(const char *name) {
    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (bp_streq(table[i].name, name))
            return &table[i];
    return NULL;
}

const struct bp_s3_quirks *bp_s3_quirks_of(const char *host) {
    size_t n = strcspn(host, ":");

    for (size_t i = 0; i < BP_COUNT(table); i++) {
        const char *end = table[i].host;

        if (end && strlen(end) <= n && strncasecmp(host + n - strlen(end), end, strlen(end)) == 0)
            return &table[i];
    }
    return bp_s3_quirks_named("generic");
}
