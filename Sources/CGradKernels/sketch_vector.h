// The sketch and the dense projection in vectors.
//
// A sketch reads its input once and its accumulators, which are in a cache but not in registers,
// once for every sheet. So GK_SHEETS sheets are added in one pass over the accumulators: the input
// then comes in as many sequential streams, each prefetched by hand, since a core's prefetchers
// follow streams only within a page and start anew behind it. The order of additions to an
// accumulator is that of the sheets either way.
//
// The including file defines, beside what rotate_vector.h asks for:
//   gk_lanes, gk_lanes_of(m)   a permutation that brings lane i ^ m to lane i, m < GK_WIDTH
//   gk_move(v, lanes)          applies it
//   gk_flip_by(v, bits)        negates lane j where bit j of `bits` is 1; higher bits are ignored
#include "sketch_words.h"

#pragma STDC FP_CONTRACT OFF

#define GK_SHEETS 4
#define GK_UNIT_VECTORS (GK_UNIT / GK_WIDTH)
// How far ahead of a stream it is prefetched, in units. More would crowd the accumulators out of the
// L1 cache (Zen 4).
#define GK_UNITS_AHEAD 8
// With fewer units, sheet by sheet: the accumulators are in the L1 cache, and the streams so short
// that prefetching keeps missing their beginnings.
#define GK_FEW_UNITS 128

GK_INLINE void gk_prefetch_unit(const gk_f32 *x) {
#pragma clang loop unroll(full)
    for (int line = 0; line < GK_UNIT * 4 / 64; line++)
        __builtin_prefetch((const char *)x + line * 64);
}

// Consecutive units of one sheet to consecutive accumulators.
GK_INLINE void gk_sketch_run(const gk_f32 *x, uint64_t units, uint64_t counter, gk_f32 *sums) {
    for (uint64_t u = 0; u < units; u++, x += GK_UNIT, sums += GK_UNIT, counter += GK_GAMMA) {
        const uint64_t word = gk_mix(counter), exchange = gk_exchange(word);
        const gk_lanes lanes = gk_lanes_of((unsigned)exchange % GK_WIDTH);
        gk_prefetch_unit(x + GK_UNITS_AHEAD * GK_UNIT);
#pragma clang loop unroll(full)
        for (unsigned j = 0; j < GK_UNIT_VECTORS; j++) {
            const unsigned v = j ^ (unsigned)exchange / GK_WIDTH;
            const gk_vector part = gk_flip_by(gk_load(x + v * GK_WIDTH), word >> (v * GK_WIDTH));
            gk_store(sums + j * GK_WIDTH, gk_load(sums + j * GK_WIDTH) + gk_move(part, lanes));
        }
    }
}

// Units from `unit` on, all of one sheet.
static void gk_sketch_part(const gk_f32 *x, uint64_t count, uint64_t unit, uint64_t sign_key,
                           uint64_t place_key, uint64_t units, gk_f32 *sums) {
    const uint64_t place = unit % units;
    const uint64_t rotation = gk_rotation(place_key, unit / units, units);
    const uint64_t before = units - rotation;  // units of the sheet that are not wrapped round
    uint64_t done = 0;
    if (place < before) {
        done = before - place < count ? before - place : count;
        gk_sketch_run(x, done, gk_counter(sign_key, unit), sums + (place + rotation) * GK_UNIT);
    }
    const uint64_t wrapped = (place + done + rotation) % units;
    gk_sketch_run(x + done * GK_UNIT, count - done, gk_counter(sign_key, unit + done),
                  sums + wrapped * GK_UNIT);
}

// One of the sheets that are added together: where it is read, and the word that comes there.
typedef struct gk_sheet {
    const gk_f32 *x;
    uint64_t counter;
    uint64_t left;  // units until it goes on with its beginning
} gk_sheet;

// GK_SHEETS whole sheets, which lie one behind the other.
static void gk_sketch_sheets(const gk_f32 *x, uint64_t first_sheet, uint64_t sign_key,
                             uint64_t place_key, uint64_t units, gk_f32 *sums) {
    gk_sheet sheets[GK_SHEETS];
    for (int g = 0; g < GK_SHEETS; g++) {
        const uint64_t sheet = first_sheet + (uint64_t)g;
        // What comes to accumulator 0; the whole sheet where it is not rotated.
        const uint64_t left = gk_rotation(place_key, sheet, units);
        const uint64_t place = left ? units - left : 0;
        sheets[g].x = x + ((uint64_t)g * units + place) * GK_UNIT;
        sheets[g].counter = gk_counter(sign_key, sheet * units + place);
        sheets[g].left = left ? left : units;
        for (uint64_t u = 0; u < GK_UNITS_AHEAD; u++)
            gk_prefetch_unit(sheets[g].x + u * GK_UNIT);
    }
    for (uint64_t e = 0; e < units; e++, sums += GK_UNIT) {
        gk_lanes lanes[GK_SHEETS];
        unsigned exchange[GK_SHEETS];
        uint64_t words[GK_SHEETS];
#pragma clang loop unroll(full)
        for (int g = 0; g < GK_SHEETS; g++) {
            gk_sheet *sheet = &sheets[g];
            if (sheet->left == 0) {
                sheet->left = units;
                sheet->x -= units * GK_UNIT;
                sheet->counter -= units * GK_GAMMA;
            }
            words[g] = gk_mix(sheet->counter);
            const unsigned all = (unsigned)gk_exchange(words[g]);
            lanes[g] = gk_lanes_of(all % GK_WIDTH);
            exchange[g] = all / GK_WIDTH;
            const int64_t back = sheet->left > GK_UNITS_AHEAD ? 0 : (int64_t)units;
            gk_prefetch_unit(sheet->x + (GK_UNITS_AHEAD - back) * GK_UNIT);
            sheet->counter += GK_GAMMA;
            sheet->left--;
        }
#pragma clang loop unroll(full)
        for (unsigned j = 0; j < GK_UNIT_VECTORS; j++) {
            gk_vector sum = gk_load(sums + j * GK_WIDTH);
#pragma clang loop unroll(full)
            for (int g = 0; g < GK_SHEETS; g++) {
                const unsigned v = j ^ exchange[g];
                const gk_vector part = gk_load(sheets[g].x + v * GK_WIDTH);
                sum += gk_move(gk_flip_by(part, words[g] >> (v * GK_WIDTH)), lanes[g]);
            }
            gk_store(sums + j * GK_WIDTH, sum);
        }
#pragma clang loop unroll(full)
        for (int g = 0; g < GK_SHEETS; g++) sheets[g].x += GK_UNIT;
    }
}

static void gk_sketch(const float *x, size_t count, uint64_t first_unit, uint64_t sign_key,
                      uint64_t place_key, uint64_t units, float *sums) {
    uint64_t unit = first_unit, left = count / GK_UNIT;
    const gk_f32 *from = x;
    while (left > 0) {
        const uint64_t place = unit % units, sheets = GK_SHEETS * units;
        uint64_t step;
        if (place == 0 && left >= sheets && units >= GK_FEW_UNITS) {
            step = sheets;
            gk_sketch_sheets(from, unit / units, sign_key, place_key, units, sums);
        } else {
            step = units - place < left ? units - place : left;
            gk_sketch_part(from, step, unit, sign_key, place_key, units, sums);
        }
        from += step * GK_UNIT;
        unit += step;
        left -= step;
    }
    if (count % GK_UNIT) {
        float last[GK_UNIT] = {0};
        memcpy(last, from, count % GK_UNIT * sizeof *last);
        gk_sketch_part(last, 1, unit, sign_key, place_key, units, sums);
    }
}

// ---- the dense projection ----

// All elements to 64 sums, which stay in registers.
GK_INLINE void gk_add_signed_block(const gk_f32 *x, size_t count, uint64_t counter, uint64_t step,
                                   gk_f32 *sums) {
    gk_vector block[GK_UNIT_VECTORS];
#pragma clang loop unroll(full)
    for (int j = 0; j < GK_UNIT_VECTORS; j++) block[j] = gk_load(sums + j * GK_WIDTH);
    for (size_t i = 0; i < count; i++, counter += step) {
        const uint64_t word = gk_mix(counter);
        const gk_vector element = x[i] - (gk_vector){0};  // in every lane; -0 stays -0
#pragma clang loop unroll(full)
        for (int j = 0; j < GK_UNIT_VECTORS; j++)
            block[j] += gk_flip_by(element, word >> (j * GK_WIDTH));
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < GK_UNIT_VECTORS; j++) gk_store(sums + j * GK_WIDTH, block[j]);
}

static void gk_add_signed(const float *x, size_t count, uint64_t first, uint64_t key, size_t dims,
                          float *sums) {
    const uint64_t blocks = dims / GK_UNIT + (dims % GK_UNIT != 0);
    for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t counter = gk_counter(key, first * blocks + b);
        gk_f32 *to = (gk_f32 *)sums + b * GK_UNIT;
        const size_t rest = dims - b * GK_UNIT;
        if (rest >= GK_UNIT) {
            gk_add_signed_block(x, count, counter, blocks * GK_GAMMA, to);
        } else {
            float last[GK_UNIT] = {0};
            memcpy(last, to, rest * sizeof *last);
            gk_add_signed_block(x, count, counter, blocks * GK_GAMMA, last);
            memcpy(to, last, rest * sizeof *last);
        }
    }
}
