// SPDX-License-Identifier: MIT
/* The networks' training steps as written by hand for one machine: the limit to steer by.

   Explicit vectors over a layer's units, one register tile for all three matrix products of a
   layer (its outputs, its inputs' adjoints, its weights' gradients), samples in blocks that stay
   in the cache, no heap. Parameters come and go as layer after layer: weights by output, biases. */

#include <stdint.h>
#include <string.h>

#if defined __AVX512F__
#define LANES 8
#elif defined __AVX__
#define LANES 4
#else
#define LANES 2
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef double vec __attribute__((vector_size(8 * LANES), aligned(8 * LANES)));
typedef int64_t bits __attribute__((vector_size(8 * LANES)));
typedef double four __attribute__((vector_size(32), aligned(32)));
typedef int64_t four_bits __attribute__((vector_size(32)));

/* -- exp and tanh ------------------------------------------------------------------------------ */

/* x = n ln 2 + r; expm1(r) = r + r^2 q(r), q a Chebyshev fit on |r| <= ln 2 / 2, good to 1.3e-17.
   The caller keeps |x| below 700. */
#define DEFINE_EXP(vec, bits, name)                                                                                  \
    INLINE vec name##_parts(vec x, vec *scale) {                                                                     \
        const double shift = 0x1.8p52; /* adding it leaves the rounded integer in the low bits */                    \
        vec shifted = x * 0x1.71547652b82fep0 + shift;                                                               \
        vec n = shifted - shift;                                                                                     \
        vec r = x - n * 0x1.62e42fefa39efp-1 - n * 0x1.abc9e3b39803fp-56;                                            \
        vec r2 = r * r, r4 = r2 * r2;                                                                                \
        vec q = ((0.5000000000000001 + 0.16666666666666669 * r) +                                                    \
                 (0.04166666666662413 + 0.008333333333330062 * r) * r2) +                                            \
                ((0.0013888888917213717 + 0.00019841269863053618 * r) +                                              \
                 (2.4801521295954376e-05 + 2.7557268459997064e-06 * r) * r2 +                                        \
                 (2.7620088445409746e-07 + 2.510038549551032e-08 * r) * r4) *                                        \
                    r4;                                                                                              \
        *scale = (vec)(((bits)shifted << 52) + (bits)((vec){} + 1.0));                                               \
        return r + r2 * q;                                                                                           \
    }                                                                                                                \
    INLINE vec exp_##name(vec x) {                                                                                   \
        vec scale, part = name##_parts(x, &scale);                                                                   \
        return part * scale + scale;                                                                                 \
    }                                                                                                                \
    INLINE vec tanh_##name(vec x) /* expm1(2x) / (expm1(2x) + 2) */                                                  \
    {                                                                                                                \
        bits over = x > 20.0, under = x < -20.0;                                                                     \
        x = (vec)((over & (bits)((vec){} + 20.0)) | (under & (bits)((vec){} - 20.0)) | (~(over | under) & (bits)x)); \
        vec scale, part = name##_parts(x + x, &scale);                                                               \
        vec e = part * scale + (scale - 1.0);                                                                        \
        return e / (e + 2.0);                                                                                        \
    }

DEFINE_EXP(vec, bits, vec)
DEFINE_EXP(four, four_bits, four)

/* -- the lesson's 3-4-4-1 tanh network on 4 samples: all of it in registers -------------------- */

/* Lane k of the result is the sum of the lanes of rows[k]. */
INLINE four sums_of_rows(const four *rows) {
    four sum = {};
    UNROLL for (int k = 0; k < 4; k++) sum += (four){rows[0][k], rows[1][k], rows[2][k], rows[3][k]};
    return sum;
}

INLINE double sum4(four x) { return (x[0] + x[2]) + (x[1] + x[3]); }

/* Squared errors summed; lanes are a layer's units. w2 and its transpose are both kept, and both
   trained: for so small a matrix that is cheaper than a transposition. */
void lesson(double *parameters, const double *x, const double *y, double rate, long steps, double *losses) {
    double *p1 = parameters, *p2 = p1 + 16, *p3 = p2 + 20;
    four in1[3], in2[4], out2[4], a1[4], a2[4], d1[4], d2[4];
    four b1, b2, w3, targets;
    double b3 = p3[4];
    memcpy(&b1, p1 + 12, sizeof b1);
    memcpy(out2, p2, sizeof out2);
    memcpy(&b2, p2 + 16, sizeof b2);
    memcpy(&w3, p3, sizeof w3);
    memcpy(&targets, y, sizeof targets);
    for (int o = 0; o < 4; o++) {
        for (int i = 0; i < 3; i++) in1[i][o] = p1[3 * o + i];
        for (int i = 0; i < 4; i++) in2[i][o] = p2[4 * o + i];
    }
    for (long step = 0; step < steps; step++) {
        four rows[4];
        UNROLL for (int s = 0; s < 4; s++)
            a1[s] = tanh_four((b1 + in1[0] * x[3 * s]) + (in1[1] * x[3 * s + 1] + in1[2] * x[3 * s + 2]));
        UNROLL for (int s = 0; s < 4; s++)
            a2[s] = tanh_four((b2 + in2[0] * a1[s][0] + in2[1] * a1[s][1]) + (in2[2] * a1[s][2] + in2[3] * a1[s][3]));
        UNROLL for (int s = 0; s < 4; s++) rows[s] = a2[s] * w3;
        four out = tanh_four(sums_of_rows(rows) + b3);
        four error = out - targets;
        losses[step] = sum4(error * error);
        four d3 = 2.0 * error * (1.0 - out * out);
        UNROLL for (int s = 0; s < 4; s++) d2[s] = d3[s] * (w3 * (1.0 - a2[s] * a2[s]));
        UNROLL for (int s = 0; s < 4; s++)
            d1[s] = ((out2[0] * d2[s][0] + out2[1] * d2[s][1]) + (out2[2] * d2[s][2] + out2[3] * d2[s][3])) *
                    (1.0 - a1[s] * a1[s]);
        d3 *= rate;
        b3 -= sum4(d3);
        UNROLL for (int s = 0; s < 4; s++) {
            w3 -= a2[s] * d3[s];
            four rated2 = d2[s] * rate, rated1 = d1[s] * rate;
            b2 -= rated2;
            b1 -= rated1;
            UNROLL for (int k = 0; k < 4; k++) {
                in2[k] -= rated2 * a1[s][k];
                out2[k] -= a1[s] * rated2[k];
            }
            UNROLL for (int i = 0; i < 3; i++) in1[i] -= rated1 * x[3 * s + i];
        }
    }
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 3; i++) p1[3 * o + i] = in1[i][o];
    memcpy(p1 + 12, &b1, sizeof b1);
    memcpy(p2, out2, sizeof out2);
    memcpy(p2 + 16, &b2, sizeof b2);
    memcpy(p3, &w3, sizeof w3);
    p3[4] = b3;
}

/* -- matrix products --------------------------------------------------------------------------- */

#define TALL (LANES == 8 ? 8 : 4) /* with WIDE: a tile's sums, its row of b and a spare fit */
#define SHORT 4
#define WIDE 2

struct matrix {
    const double *at;
    int row, column; /* distance between neighbours: in a column, in a row */
};

/* c[r][v] = start + sum over k of a[r][k] b[k][v], for `rows` rows and WIDE vectors. Rows of b and
   c are `width` vectors long; those of start `start_row` (0: the same row for all). With a gate, of
   c's shape, c is 0 where the gate is not above 0; c may be its own gate (relu) or its start. */
INLINE void tile(int rows, int depth, int width, struct matrix a, const vec *b, const vec *start, int start_row, vec *c,
                 const vec *gate) {
    vec sum[TALL][WIDE];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < WIDE; v++)
        sum[r][v] = start ? start[r * start_row + v] : (vec){};
    for (int k = 0; k < depth; k++)
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < WIDE; v++)
            sum[r][v] += b[k * width + v] * a.at[r * a.row + k * a.column];
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < WIDE; v++) {
        vec *place = c + r * width + v;
        bits open = (gate == c ? sum[r][v] : gate ? gate[r * width + v] : (vec){}) > 0.0;
        *place = gate ? (vec)((bits)sum[r][v] & open) : sum[r][v];
    }
}

/* The matrix from its row r on. */
INLINE struct matrix row_of(struct matrix a, int r) { return (struct matrix){a.at + r * a.row, a.row, a.column}; }

/* The whole product; `width` is a multiple of WIDE. */
INLINE void multiply(int rows, int depth, int width, struct matrix a, const vec *b, const vec *start, int start_row,
                     vec *c, const vec *gate) {
    for (int v = 0; v < width; v += WIDE) {
        int r = 0;
        for (; r + TALL <= rows; r += TALL)
            tile(TALL, depth, width, row_of(a, r), b + v, start ? start + r * start_row + v : 0, start_row,
                 c + r * width + v, gate ? gate + r * width + v : 0);
        for (; r + SHORT <= rows; r += SHORT)
            tile(SHORT, depth, width, row_of(a, r), b + v, start ? start + r * start_row + v : 0, start_row,
                 c + r * width + v, gate ? gate + r * width + v : 0);
        for (; r < rows; r++)
            tile(1, depth, width, row_of(a, r), b + v, start ? start + r * start_row + v : 0, start_row,
                 c + r * width + v, gate ? gate + r * width + v : 0);
    }
}

INLINE double sum_lanes(vec x) {
    double sum[4] = {};
    UNROLL for (int k = 0; k < LANES; k++) sum[k % 4] += x[k];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* to[j][i] = from[i][j], both `size` squared. */
INLINE void transpose(int size, const double *from, double *to) {
    for (int j = 0; j < size; j++)
        for (int i = 0; i < size; i++) to[j * size + i] = from[i * size + j];
}

/* -- relu networks of 2 inputs, two hidden layers of one size and a score; hinge loss ---------- */

#define MOST_UNITS 64
#define MOST_BLOCK 128
#define L2 1e-4

/* A parameter's step downhill; adds to `penalty` the squares of what the step started from. */
INLINE void descend(vec *p, const vec *gradient, int count, double rate, vec *penalty) {
    for (int k = 0; k < count; k++) {
        *penalty += p[k] * p[k];
        p[k] = p[k] * (1.0 - 2.0 * L2 * rate) - gradient[k] * rate;
    }
}

/* `points`: x, y and 1, so that the first layer's biases are one more row of its weights. */
INLINE void hinge_training(int units, int samples, int block, double *parameters, const double *points,
                           const double *labels, double rate, long steps, double *losses) {
    static vec in1[3 * MOST_UNITS / LANES], out2[MOST_UNITS * MOST_UNITS / LANES];
    static vec in2[MOST_UNITS * MOST_UNITS / LANES], b2[MOST_UNITS / LANES], w3[MOST_UNITS / LANES];
    static vec g1[3 * MOST_UNITS / LANES], g2[MOST_UNITS * MOST_UNITS / LANES];
    static vec gb2[MOST_UNITS / LANES], g3[MOST_UNITS / LANES];
    static vec h1[MOST_BLOCK * MOST_UNITS / LANES], d1[MOST_BLOCK * MOST_UNITS / LANES];
    static vec h2[MOST_BLOCK * MOST_UNITS / LANES];
    const int width = units / LANES;
    const size_t row = units * sizeof(double), square = units * row;
    double *w2 = parameters + 3 * units, *last = w2 + units * (units + 1), b3 = last[units];
    for (int o = 0; o < units; o++)
        for (int i = 0; i < 3; i++) ((double *)in1)[i * units + o] = parameters[i < 2 ? 2 * o + i : 2 * units + o];
    memcpy(out2, w2, square);
    memcpy(b2, w2 + units * units, row);
    memcpy(w3, last, row);
    for (long step = 0; step < steps; step++) {
        double loss = 0.0, gb3 = 0.0;
        transpose(units, (double *)out2, (double *)in2);
        memset(g1, 0, 3 * row);
        memset(g2, 0, square);
        memset(gb2, 0, row);
        memset(g3, 0, row);
        for (int first = 0; first < samples; first += block) {
            const double *x = points + 3 * first;
            multiply(block, 3, width, (struct matrix){x, 3, 1}, in1, 0, 0, h1, h1);
            multiply(block, units, width, (struct matrix){(double *)h1, units, 1}, in2, b2, 0, h2, h2);
            /* Scores and losses, the last layer's gradients; h2's adjoints take its place. */
            for (int s = 0; s < block; s++) {
                vec *h = h2 + s * width, dot = {};
                UNROLL for (int v = 0; v < width; v++) dot += h[v] * w3[v];
                double label = labels[first + s];
                double margin = 1.0 - label * (sum_lanes(dot) + b3);
                double d = margin > 0.0 ? -label / samples : 0.0;
                loss += margin > 0.0 ? margin : 0.0;
                gb3 += d;
                UNROLL for (int v = 0; v < width; v++) {
                    g3[v] += h[v] * d;
                    h[v] = (vec)((bits)(w3[v] * d) & (h[v] > 0.0));
                    gb2[v] += h[v];
                }
            }
            multiply(block, units, width, (struct matrix){(double *)h2, units, 1}, out2, 0, 0, d1, h1);
            multiply(units, block, width, (struct matrix){(double *)h2, 1, units}, h1, g2, width, g2, 0);
            multiply(3, block, width, (struct matrix){x, 1, 3}, d1, g1, width, g1, 0);
        }
        vec penalty = {};
        descend(in1, g1, 3 * width, rate, &penalty);
        descend(out2, g2, units * width, rate, &penalty);
        descend(b2, gb2, width, rate, &penalty);
        descend(w3, g3, width, rate, &penalty);
        losses[step] = loss / samples + L2 * (sum_lanes(penalty) + b3 * b3);
        b3 = b3 * (1.0 - 2.0 * L2 * rate) - gb3 * rate;
    }
    for (int o = 0; o < units; o++)
        for (int i = 0; i < 3; i++) parameters[i < 2 ? 2 * o + i : 2 * units + o] = ((double *)in1)[i * units + o];
    memcpy(w2, out2, square);
    memcpy(w2 + units * units, b2, row);
    memcpy(last, w3, row);
    last[units] = b3;
}

void moons(double *parameters, const double *points, const double *labels, double rate, long steps, double *losses) {
    hinge_training(16, 100, 100, parameters, points, labels, rate, steps, losses);
}

void wide(double *parameters, const double *points, const double *labels, double rate, long steps, double *losses) {
    hinge_training(64, 1000, 40, parameters, points, labels, rate, steps, losses);
}

/* -- digits: 64-32-10 tanh, softmax cross-entropy, Adam, minibatches of 64 in order ------------ */

#define PIXELS 64
#define HIDDEN 32
#define DIGITS 10
#define PADDED 16 /* scores: whole vectors; what is beyond the digits has no chance */
#define MINIBATCH 64
#define MINIBATCHES 22
#define AT_B1 (PIXELS * HIDDEN)
#define AT_IN2 (AT_B1 + HIDDEN)
#define AT_B2 (AT_IN2 + HIDDEN * PADDED)
#define ALL (AT_B2 + PADDED)
#define GIVEN ((PIXELS + 1) * HIDDEN + (HIDDEN + 1) * DIGITS)
#define NO_CHANCE -600.0 /* its exp is below every rounding error, and still a normal number */

/* Where the k-th given parameter stands while training: weights by input. */
static int place_of(int k) {
    if (k < AT_B1) return k % PIXELS * HIDDEN + k / PIXELS;
    if (k < AT_IN2) return k;
    k -= AT_IN2;
    if (k < HIDDEN * DIGITS) return AT_IN2 + k % HIDDEN * PADDED + k / HIDDEN;
    return AT_B2 + k - HIDDEN * DIGITS;
}

/* One image's loss; its scores become their adjoints. */
INLINE double cross_entropy(double *scores, int label) {
    double top = scores[0];
    for (int k = 1; k < DIGITS; k++) top = scores[k] > top ? scores[k] : top;
    double loss = top - scores[label];
    vec *s = (vec *)scores, total = {};
    UNROLL for (int v = 0; v < PADDED / LANES; v++) {
        s[v] = exp_vec(s[v] - top);
        total += s[v];
    }
    double sum = sum_lanes(total);
    UNROLL for (int v = 0; v < PADDED / LANES; v++) s[v] *= 1.0 / (sum * MINIBATCH);
    scores[label] -= 1.0 / MINIBATCH;
    return loss + __builtin_log(sum);
}

/* `parameters`: as given, then Adam's two moments of each, then its steps so far. */
void digits(double *parameters, const double *images, const double *labels, double rate, long steps, double *losses) {
    const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    static _Alignas(64) double p[ALL], g[ALL], m[ALL], v[ALL], w2[PADDED * HIDDEN];
    static _Alignas(64) double h[MINIBATCH * HIDDEN], dh[MINIBATCH * HIDDEN];
    static _Alignas(64) double scores[MINIBATCH * PADDED];
    double *moments = parameters + GIVEN, *count = parameters + 3 * GIVEN;
    memset(p, 0, sizeof p);
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    for (int k = DIGITS; k < PADDED; k++) p[AT_B2 + k] = NO_CHANCE;
    for (int k = 0; k < GIVEN; k++) {
        p[place_of(k)] = parameters[k];
        m[place_of(k)] = moments[k];
        v[place_of(k)] = moments[GIVEN + k];
    }
    for (long step = 0; step < steps; step++) {
        const long first = step % MINIBATCHES * MINIBATCH;
        const double *x = images + first * PIXELS;
        const int wide = HIDDEN / LANES, narrow = PADDED / LANES;
        double loss = 0.0;
        multiply(MINIBATCH, PIXELS, wide, (struct matrix){x, PIXELS, 1}, (vec *)p, (vec *)(p + AT_B1), 0, (vec *)h, 0);
        for (int k = 0; k < MINIBATCH * wide; k++) ((vec *)h)[k] = tanh_vec(((vec *)h)[k]);
        multiply(MINIBATCH, HIDDEN, narrow, (struct matrix){h, HIDDEN, 1}, (vec *)(p + AT_IN2), (vec *)(p + AT_B2), 0,
                 (vec *)scores, 0);
        for (int s = 0; s < MINIBATCH; s++) loss += cross_entropy(scores + s * PADDED, (int)labels[first + s]);
        losses[step] = loss / MINIBATCH;

        for (int o = 0; o < DIGITS; o++)
            for (int i = 0; i < HIDDEN; i++) w2[o * HIDDEN + i] = p[AT_IN2 + i * PADDED + o];
        multiply(HIDDEN, MINIBATCH, narrow, (struct matrix){h, 1, HIDDEN}, (vec *)scores, 0, 0, (vec *)(g + AT_IN2), 0);
        multiply(MINIBATCH, DIGITS, wide, (struct matrix){scores, PADDED, 1}, (vec *)w2, 0, 0, (vec *)dh, 0);
        memset(g + AT_B1, 0, HIDDEN * sizeof *g);
        memset(g + AT_B2, 0, PADDED * sizeof *g);
        for (int s = 0; s < MINIBATCH; s++) {
            for (int k = 0; k < HIDDEN; k++) {
                double value = h[s * HIDDEN + k];
                g[AT_B1 + k] += dh[s * HIDDEN + k] *= 1.0 - value * value;
            }
            for (int k = 0; k < PADDED; k++) g[AT_B2 + k] += scores[s * PADDED + k];
        }
        multiply(PIXELS, MINIBATCH, wide, (struct matrix){x, 1, PIXELS}, (vec *)dh, 0, 0, (vec *)g, 0);

        *count += 1.0;
        const double pace = rate / (1.0 - __builtin_pow(beta1, *count));
        const double unbias = 1.0 / __builtin_sqrt(1.0 - __builtin_pow(beta2, *count));
        for (int k = 0; k < ALL; k++) {
            m[k] = beta1 * m[k] + (1.0 - beta1) * g[k];
            v[k] = beta2 * v[k] + (1.0 - beta2) * g[k] * g[k];
            p[k] -= pace * m[k] / (__builtin_sqrt(v[k]) * unbias + eps);
        }
    }
    for (int k = 0; k < GIVEN; k++) {
        parameters[k] = p[place_of(k)];
        moments[k] = m[place_of(k)];
        moments[GIVEN + k] = v[place_of(k)];
    }
}
