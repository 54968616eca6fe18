#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* The XML that S3 answers with, and as much of XML 1.0 as that needs: elements, text, CDATA, the
 * five entities and numbered ones. Attributes, comments and processing instructions are stepped
 * over; a DTD is refused, so nothing grows and nothing is fetched. Prefixes of namespaces are
 * dropped. Pure; one owner thread. */

enum {
    BP_S3_XML_DEPTH = 12,      /* of elements */
    BP_S3_XML_PATH = 256,      /* of names, with slashes and NUL */
    BP_S3_XML_TEXT = 64 << 10, /* of one element, decoded */
    BP_S3_XML_SIZE = 8 << 20,  /* of a document */
};

/**
 * Called at the end of every element below the root.
 *
 * @param path  names below the root: "Part/ETag"; "Part" itself comes after its members
 * @param text  decoded, borrowed for the call; "" for an element that holds others
 * @return 0, or a negative code that ends the reading
 */
typedef int (*bp_s3_xml_leaf)(void *ctx, const char *path, struct bp_str text,
                              struct bp_error *err);

/**
 * Reads a document.
 *
 * @param root  the name its root must have
 * @return 0; BP_EFORMAT when it is no such XML, or its root is another; BP_ETRUNCATED when it ends
 *         early; BP_ELIMIT; -ENOMEM; what `leaf` returned
 */
BP_MUST_CHECK int bp_s3_xml_read(struct bp_str xml, const char *root, bp_s3_xml_leaf leaf,
                                 void *ctx, struct bp_error *err);

/** Name of the root, without prefix: "Error", "ListPartsResult"; empty when it is no XML. */
struct bp_str bp_s3_xml_root(struct bp_str xml);

/* What an answer from 300 on says, and now and then one of 200. Texts are cut to their place. */
struct bp_s3_xml_error {
    char code[64], message[256], request_id[64];
    char region[64]; /* where the bucket is, when it was asked elsewhere */
    char time[32];   /* "2026-11-28T20:00:00.000Z": the server's clock, when ours is refused */
};

/** @return as bp_s3_xml_read(); `ret` is then empty */
BP_MUST_CHECK int bp_s3_xml_error_read(struct bp_str xml, struct bp_s3_xml_error *ret);

/** Appends text so that it may stand in an element. Characters that XML 1.0 cannot hold become
 *  U+FFFD. */
void bp_s3_xml_put(struct bp_buf *b, const char *text, size_t n);

/** "2026-11-28T20:00:00.000Z" as wall clock. @return 0, -EINVAL */
BP_MUST_CHECK int bp_s3_xml_time(struct bp_str text, bp_ns_t *ret_wall);
/** A decimal number. @return 0, -EINVAL, -ERANGE */
BP_MUST_CHECK int bp_s3_xml_number(struct bp_str text, uint64_t *ret);
/** Decodes %XX and '+' in place (encoding-type=url). @return 0, -EINVAL for a bad code */
BP_MUST_CHECK int bp_s3_xml_unescape(char *text, size_t n, size_t *ret_n);
