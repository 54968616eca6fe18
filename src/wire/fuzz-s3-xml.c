#include <errno.h>
#include <stdint.h>

#include "wire/s3-xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What a document holds is written anew, as a flat list, and read again: it must say the same. */
struct leaves {
    struct bp_buf text, xml;
};

static int leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct leaves *l = ctx;

    (void) err;
    bp_buf_put_str(&l->text, path);
    bp_buf_put_u8(&l->text, 0);
    bp_buf_put(&l->text, text.p, text.n);
    bp_buf_put_str(&l->xml, "<L>");
    bp_s3_xml_put(&l->xml, (const char *) l->text.p, l->text.n);
    bp_buf_put_str(&l->xml, "</L>");
    bp_buf_clear(&l->text);
    return l->xml.n > 1 << 20 ? -E2BIG : 0;
}

static int again(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct bp_buf *b = ctx;

    (void) err;
    (void) path;
    bp_buf_put_str(b, "<L>");
    bp_s3_xml_put(b, text.p, text.n);
    bp_buf_put_str(b, "</L>");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_str xml = { (const char *) p, n }, root = bp_s3_xml_root(xml);
    struct leaves l = { 0 };
    BP_AUTO_BUF copy = { 0 };
    struct bp_s3_xml_error e;
    char name[BP_S3_XML_PATH];
    bp_ns_t wall;
    uint64_t v;

    if (bp_s3_xml_error_read(xml, &e) < 0 && e.code[0])
        abort();
    if (bp_s3_xml_time(xml, &wall) == 0 && (wall < 0 || wall % BP_SEC != 0))
        abort();
    if (bp_s3_xml_number(xml, &v) == 0 && n == 0)
        abort();
    bp_buf_put_str(&l.xml, "<R>");
    if (root.n < sizeof name) {
        if (root.n > 0)
            memcpy(name, root.p, root.n);
        name[root.n] = '\0';
        if (bp_s3_xml_read(xml, name, leaf, &l, NULL) == 0 && l.xml.n < 1 << 20) {
            bp_buf_put_str(&copy, "<R>");
            bp_buf_put_str(&l.xml, "</R>");
            if (bp_s3_xml_read((struct bp_str){ (const char *) l.xml.p, l.xml.n }, "R", again,
                               &copy, NULL) < 0)
                abort();
            bp_buf_put_str(&copy, "</R>");
            if (copy.n != l.xml.n || memcmp(copy.p, l.xml.p, copy.n) != 0)
                abort();
        }
    }
    bp_buf_done(&l.text);
    bp_buf_done(&l.xml);
    bp_buf_put(&copy, p, n);
    if (!copy.failed && n > 0 &&
        bp_s3_xml_unescape((char *) copy.p + (copy.n - n), n, &(size_t){ 0 }) == 0 && copy.n < n)
        abort();
    return 0;
}
