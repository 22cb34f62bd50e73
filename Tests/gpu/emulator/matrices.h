// What units for matrices of 16-bit floats may do to a sum: worse than those that are known. Products are exact.
// Some of them at a time, in any order, are brought to the exponent of the greatest, the sum so far among them,
// and cut off at so many bits; the result is cut off again. Results too small to be normal may be lost.
// GRADDB_EMULATED_UNITS makes them worse than may be relied on: `coarse` keeps 13 bits, `flushing` takes
// subnormal f16 for zeros.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct MatrixUnit {
    int at_once;  // products
    int bits;     // of the greatest addend that are kept, at least 23
    bool rounds_down;  // or towards zero
    bool loses_tiny;
    bool is_flushing = false;

    explicit MatrixUnit(uint64_t seed) {
        uint64_t v = seed * 0x9e3779b97f4a7c15ull;
        v ^= v >> 29;
        at_once = 4 << (v % 3);
        bits = 23 + (v >> 8 & 3) % 3;
        rounds_down = v >> 16 & 1;
        loses_tiny = v >> 17 & 1;
        const char *worse = getenv("GRADDB_EMULATED_UNITS");
        if (worse && strcmp(worse, "coarse") == 0) bits = 13;
        if (worse && strcmp(worse, "flushing") == 0) is_flushing = true;
    }

    double cut(double v, int exponent) const {
        const double step = ldexp(1, exponent - bits);
        return (rounds_down ? floor(v / step) : trunc(v / step)) * step;
    }

    // `start`: which of the products comes first.
    float add(float sum, const double *row, const double *column, uint32_t start) const {
        double so_far = sum;
        for (int done = 0; done < 16; done += at_once) {
            double addends[17] = {so_far}, greatest = fabs(so_far);
            bool are_finite = isfinite(so_far);
            for (int i = 0; i < at_once; i++) {
                const int k = (int)(start * 5 + (uint32_t)(done + i) * 7) % 16;
                addends[i + 1] = row[k] * column[k];
                greatest = fmax(greatest, fabs(addends[i + 1]));
                are_finite = are_finite && isfinite(addends[i + 1]);
            }
            if (!are_finite) return NAN;
            if (greatest == 0) {
                so_far = 0;
                continue;
            }
            double total = 0;
            const int exponent = ilogb(greatest) + 1;  // |v| < 2^exponent
            for (int i = 0; i <= at_once; i++) total += cut(addends[i], exponent);
            so_far = total == 0 ? 0 : cut(total, ilogb(total) + 1);
            if (loses_tiny && fabs(so_far) < 0x1p-126) so_far = 0;
            if (fabs(so_far) >= 0x1p128) so_far = copysign(INFINITY, so_far);
        }
        return (float)so_far;
    }
};
