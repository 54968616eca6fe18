#pragma once

#include "bag/reader.h"
#include "crypt/digest.h"

/* Proof that two readers see the same messages: SHA-256 over the JSON of [topic, log time as text,
 * decoded message] of every message in file order, each as JavaScript's JSON.stringify writes it,
 * so that any independent reader can compute it too. One owner thread. */
struct bp_digest {
    uint64_t decoded, failed;
    char hex[BP_SHA256_HEX];
    char why[160]; /* topic and reason of one that could not be decoded, or "" */
};

/**
 * Digest of all messages of `b` in file order.
 *
 * @return 0, or what kept the messages from being read
 */
BP_MUST_CHECK int bp_digest_bag(struct bp_bag *b, struct bp_digest *ret, struct bp_error *err);
