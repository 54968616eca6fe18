#include <stdint.h>

#include "ingest/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

static void headers(const char *text) {
    uint8_t digest[BP_SHA256_LEN];
    uint64_t part;

    if (bp_ingest_read_digest(text, digest, NULL) == 0)
        require(strstr(text, "sha-256=:"));
    if (bp_ingest_read_sha256(text, digest, NULL) == 0)
        require(strlen(text) == BP_SHA256_HEX - 1);
    if (bp_ingest_read_part(text, &part, NULL) == 0)
        require(part < UINT64_C(1000000000000000000));
    if (bp_ingest_check_name(text, NULL) == 0)
        require(!strchr(text, '/') && text[0] != '.' && strlen(text) <= BP_SPOOL_NAME_MAX);
}

static void documents(const json_t *o) {
    BP_CLEANUP(bp_ingest_about_done) struct bp_ingest_about about = { 0 };
    enum bp_archive_kind kind;
    struct bp_spool_meta m;

    if (bp_ingest_read_upload(o, &m, &kind, NULL) == 0) {
        require(strlen(m.session) == BP_ULID_TEXT - 1);
        require(kind >= 0 && kind < BP_ARCHIVE_KIND_N_);
        require(bp_ingest_check_name(m.file, NULL) == 0);
    }
    if (bp_ingest_read_about(o, "01J8ZQ4K5T7Y9N3M2B6C8D0E1F", &about, NULL) == 0)
        for (size_t i = 0; i < about.about.nmarks; i++)
            require(about.about.marks[i].text && about.about.marks[i].values);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_AUTO_FREE char *text = strndup((const char *) p, n);
    json_t *o = json_loadb((const char *) p, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

    if (text)
        headers(text);
    documents(o);
    json_decref(o);
    return 0;
}
