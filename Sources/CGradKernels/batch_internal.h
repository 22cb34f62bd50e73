// What the batch kernels of all variants share: how the elements of rows and queries are found.
#ifndef GRADDB_BATCH_INTERNAL_H
#define GRADDB_BATCH_INTERNAL_H

#include "kernels_internal.h"

// A codec is known by the bits of an element: element i of a row starts at bit i * codec. The
// functions that take one are inlined where it is a constant.
typedef enum gk_codec { GK_CODEC_BIT = 1, GK_CODEC_INT4 = 4, GK_CODEC_INT8 = 8 } gk_codec;

// Bytes before element `i` of a row, or of `i` elements.
GK_INLINE size_t gk_codec_bytes(gk_codec codec, size_t i) { return (i * codec + 7) / 8; }

// An element of a query: against bits it is the number that its lower six bits stand for.
GK_INLINE int gk_query_element(gk_codec codec, int8_t element) {
    return codec == GK_CODEC_BIT ? ((element & 63) ^ 32) - 32 : element;
}

GK_INLINE size_t gk_smaller(size_t a, size_t b) { return a < b ? a : b; }
GK_INLINE size_t gk_round_up(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

#endif
