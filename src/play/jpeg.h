#pragma once

#include <stdint.h>

#include "base/buf.h"

/**
 * Appends a picture as baseline JPEG (ITU-T T.81, JFIF 1.01, 4:2:0, the Huffman tables of its annex
 * K). For simulated cameras only; src/media will have libjpeg-turbo for real work.
 *
 * @param rgb      width * height * 3 bytes, rows from the top
 * @param width    1..65535, height the same
 * @param quality  1..100, on the scale of libjpeg
 */
void bp_jpeg_encode(struct bp_buf *out, const uint8_t *rgb, unsigned width, unsigned height,
                    int quality);
