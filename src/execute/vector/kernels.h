/* SPDX-License-Identifier: MIT
 *
 * The kernels that steps run on, for one level of vector units. A kernels_*.c sets the level:
 *
 *   LEVEL, LEVEL_NAME  suffix and name
 *   VECTOR_BYTES       of a vector; not set: the compiler has no vector types
 *   TILE               vectors of lanes in a matrix tile; with 4 outputs, TILE * 4 sums stay in registers
 *
 * Elementwise kernels are the cells of the operation table in a loop: vmath.h replaces the library's
 * functions by ones that the compiler can turn into vector code.
 *
 * With FLOAT32, numbers of samples are floats: twice as many fit a vector. Sums over them are sums of doubles.
 */
#include "ops/vmath.h"

#include "program.h"

#ifdef FLOAT32
#include "ops/vmath_float32.h"
#endif

#include <string.h>

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define LEVEL_FUNCTION(name) PASTE(name, LEVEL)

#include "kernels_vectors.h"

#include "kernels_elementwise.h"

/* -- where a step's operands stand ------------------------------------------------------------------ */

typedef struct {
    const Real *at;
    size_t step;   /* from one member's to the next's, in numbers */
    int is_number; /* one for all lanes */
} Operand;

FORCE_INLINE Real *row_at(const Frame *frame, Ref ref) { return (Real *)frame->rows + ref.at * frame->lanes; }
FORCE_INLINE const Real *once_at(const Frame *frame) {
#ifdef FLOAT32
    return frame->narrow;
#else
    return frame->once;
#endif
}

FORCE_INLINE Operand operand_at(const Frame *frame, Ref ref) {
    if (ref.space == IN_ROWS) return (Operand){row_at(frame, ref), ref.stride * frame->lanes, 0};
    if (ref.space == IN_ONCE) return (Operand){once_at(frame) + ref.at, ref.stride, 1};
    return (Operand){frame->scratch, 0, 0}; /* nobody reads it */
}

/* Once rows have one lane, and so have blocks of a single sample, but in float32. */
#ifdef FLOAT32
#define ONE_LANE(frame) 0
#else
#define ONE_LANE(frame) ((frame)->lanes == 1)
#endif

/* One lane for a row: members are then lanes, and one row for all members is one number. */
FORCE_INLINE void as_lanes(Operand *operand) { operand->is_number = operand->step == 0; }

FORCE_INLINE int variant_of(Operand x, Operand y) {
    return x.is_number ? FIRST_IS_NUMBER : y.is_number ? SECOND_IS_NUMBER : VECTORS;
}

/* An operand as lanes: its row, or its number in all lanes of the k-th scratch row. */
static const Real *lanes_of(const Frame *frame, Ref ref, size_t k) {
    if (ref.space == IN_ROWS) return row_at(frame, ref);
    Real *row = (Real *)frame->scratch + k * frame->lanes;
    if (ref.space == IN_ONCE) fill(row, once_at(frame)[ref.at], frame->lanes);
    return row; /* what is nowhere is not read */
}

static void run_map3(const Step *step, Frame *frame) {
    map3_kernels[step->op](row_at(frame, step->out), lanes_of(frame, step->x, 0), lanes_of(frame, step->y, 1),
                           lanes_of(frame, step->w, 2), frame->lanes);
}

/* Member m of a row or of rows. */
FORCE_INLINE Ref member(Ref ref, uint32_t m) {
    ref.at += m * ref.stride;
    return ref;
}

/* What an operand of three gains, of n lanes or members: the scratch row, then as for any gain. */
FORCE_INLINE void run_gain3_of(const Step *step, Frame *frame, uint32_t m, size_t n, int reduce) {
    const Real *x = lanes_of(frame, member(step->x, m), 0), *y = lanes_of(frame, member(step->y, m), 1);
    const Real *w = lanes_of(frame, member(step->w, m), 2), *g = row_at(frame, member(step->g, m));
    const Real *z = step->z.space == IN_ROWS ? row_at(frame, member(step->z, m)) : g;
    Real *restrict gain = (Real *)frame->scratch + 3 * frame->lanes;
    gain3_kernels[step->op][step->which](gain, g, x, y, w, z, n);
    Ref to = member(step->out, m);
    if (to.space == IN_ONCE) {
        double *total = frame->once_adjoint + to.at;
        if (reduce) *total += row_sum(gain, ONE_LANE(frame) ? n : frame->valid);
        else if (step->add)
            for (size_t k = 0; k < n; k++) total[k] += gain[k];
        else
            for (size_t k = 0; k < n; k++) total[k] = gain[k];
        return;
    }
    Real *restrict out = row_at(frame, to);
    if (reduce) *out = (Real)(*out + row_sum(gain, ONE_LANE(frame) ? n : frame->valid));
    else if (step->add)
        for (size_t k = 0; k < n; k++) out[k] += gain[k];
    else
        for (size_t k = 0; k < n; k++) out[k] = gain[k];
}

static void run_gain3(const Step *step, Frame *frame) {
    if (ONE_LANE(frame)) run_gain3_of(step, frame, 0, step->count, step->count > 1 && step->out.stride == 0);
    else
        for (uint32_t m = 0; m < step->count; m++)
            run_gain3_of(step, frame, m, frame->lanes, step->out.space == IN_ONCE);
}

static void run_map(const Step *step, Frame *frame) {
    if (op_info[step->op].shape == TERNARY) {
        run_map3(step, frame);
        return;
    }
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    Real *out = row_at(frame, step->out), number = (Real)step->number;
    size_t n = frame->lanes;
    uint32_t members = step->count;
    if (op_info[step->op].shape == SCALED) y.at = &number;
    int is_copy = step->op == OP_same && x.step == 0; /* to all members */
    if (n == 1 && is_copy) {
        fill(out, *x.at, members);
        return;
    }
    if (n == 1 || step->flat) {
        if (n == 1) {
            as_lanes(&x);
            if (step->y.space != NOWHERE) as_lanes(&y);
        }
        n *= members;
        members = 1;
    }
    MapKernel kernel = map_kernels[step->op][variant_of(x, y)];
    for (uint32_t m = 0; m < members; m++) {
        kernel(out, x.at, y.at, n);
        out += n;
        x.at += x.step;
        y.at += y.step;
    }
}

static void run_chain(const Step *step, Frame *frame) {
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    Real *out = row_at(frame, step->out);
    size_t n = frame->lanes;
    for (uint32_t m = 0; m < step->count; m++) {
        map_kernels[step->op][variant_of(x, y)](out, x.at, y.at, n);
        x = (Operand){out, 0, 0};
        y.at += y.step;
        out += n;
    }
}

static void run_chain_gain(const Step *step, Frame *frame) {
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    Operand z = operand_at(frame, step->z), g = operand_at(frame, step->g);
    Real *out = row_at(frame, step->out);
    size_t n = frame->lanes;
    GainKernel kernel = gain_kernels[step->op][step->which][step->add][variant_of(x, y)];
    for (size_t m = step->count; m-- > 0;)
        kernel(out + m * n, g.at + m * g.step, x.at + m * x.step, y.at + m * y.step, z.at + m * z.step, n);
}

#ifndef FLOAT32
/* Of one member, whose rows are numbers: most steps of a batch of one sample are such. */
FORCE_INLINE void run_gain_of_one(const Step *step, Frame *frame) {
    double *out = step->out.space == IN_ONCE ? frame->once_adjoint + step->out.at : row_at(frame, step->out);
    const double *y = op_info[step->op].shape == SCALED ? &step->number : operand_at(frame, step->y).at;
    gain_kernels[step->op][step->which][step->add][VECTORS](out, row_at(frame, step->g), operand_at(frame, step->x).at,
                                                            y, operand_at(frame, step->z).at, 1);
}
#endif

static void run_gain(const Step *step, Frame *frame) {
    if (op_info[step->op].shape == TERNARY) {
        run_gain3(step, frame);
        return;
    }
#ifndef FLOAT32
    if (frame->lanes == 1 && step->count == 1) {
        run_gain_of_one(step, frame);
        return;
    }
#endif
    Operand x = operand_at(frame, step->x), y = operand_at(frame, step->y);
    Operand z = operand_at(frame, step->z), g = operand_at(frame, step->g);
    size_t n = frame->lanes, valid = frame->valid;
    uint32_t members = step->count;
    int to_once = step->out.space == IN_ONCE, reduce = to_once && !ONE_LANE(frame), add = step->add;
    Real *scratch = frame->scratch, number = (Real)step->number;
#ifdef FLOAT32
    double *total = reduce ? frame->once_adjoint + step->out.at : NULL;
    Real *out = reduce ? NULL : row_at(frame, step->out);
#else
    double *total = NULL, *out = to_once ? frame->once_adjoint + step->out.at : row_at(frame, step->out);
#endif
    size_t out_step = to_once ? step->out.stride : step->out.stride * n;
    if (op_info[step->op].shape == SCALED) y.at = &number;
    if (ONE_LANE(frame) && members > 1) {
        as_lanes(&x);
        as_lanes(&y);
        reduce = step->out.stride == 0;
        if (step->g.stride == 0) {
            fill(scratch + members, *g.at, members);
            g.at = scratch + members;
        }
        n = valid = members;
        members = 1;
        if (step->x.space == NOWHERE) x.is_number = 0;
        if (step->y.space == NOWHERE) y.is_number = 0;
    } else if (step->flat && !reduce) {
        n *= members;
        members = 1;
    }
    const GainKernel *kernels = gain_kernels[step->op][step->which][reduce ? 0 : add];
    GainKernel kernel = kernels[variant_of(x, y)];
    for (uint32_t m = 0; m < members; m++) {
        if (reduce) {
            kernel(scratch, g.at, x.at, y.at, z.at, n);
            if (total) *total += row_sum(scratch, valid);
            else *out = (Real)(*out + row_sum(scratch, valid));
        } else {
            kernel(out, g.at, x.at, y.at, z.at, n);
        }
        if (total) total += out_step;
        else out += out_step;
        g.at += g.step;
        x.at += x.step;
        y.at += y.step;
        z.at += z.step;
    }
}

/* -- sums ------------------------------------------------------------------------------------------- */

enum { SUM_TILE = 4 };

/* out = start + the run's terms, for lanes of a tile; start: a row, or NULL for `number`. */
FORCE_INLINE void sum_tile(Real *out, const Real *start, double number, Operand a, Operand b, int b_kind,
                           uint32_t count, int vectors) {
    Vector total[SUM_TILE];
    for (int v = 0; v < vectors; v++) total[v] = start ? load(start + v * WIDTH) : splat((Real)number);
    for (uint32_t k = 0; k < count; k++) {
        if (b_kind == IN_ONCE) {
            Vector weight = splat(*b.at);
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH) * weight;
        } else if (b_kind == IN_ROWS) {
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH) * load(b.at + v * WIDTH);
        } else {
            for (int v = 0; v < vectors; v++) total[v] += load(a.at + v * WIDTH);
        }
        a.at += a.step;
        b.at += b.step;
    }
    for (int v = 0; v < vectors; v++) store(out + v * WIDTH, total[v]);
}

FORCE_INLINE void sum_run(Real *out, const Real *start, double number, Operand a, Operand b, int b_kind, uint32_t count,
                          size_t lanes) {
    size_t k = 0;
    for (; k + SUM_TILE * WIDTH <= lanes; k += SUM_TILE * WIDTH) {
        sum_tile(out + k, start ? start + k : NULL, number, a, b, b_kind, count, SUM_TILE);
        a.at += SUM_TILE * WIDTH;
        if (b_kind != IN_ONCE) b.at += SUM_TILE * WIDTH;
    }
    for (; k < lanes; k += WIDTH) {
        sum_tile(out + k, start ? start + k : NULL, number, a, b, b_kind, count, 1);
        a.at += WIDTH;
        if (b_kind != IN_ONCE) b.at += WIDTH;
    }
}

/* The terms of a run that no sample changes. */
static double sum_once(Operand a, Operand b, int has_b, uint32_t count) {
    double total = 0.0;
    if (a.step == 1 && (!has_b || b.step == 1)) return has_b ? row_dot(a.at, b.at, count) : row_sum(a.at, count);
    for (uint32_t k = 0; k < count; k++) total += (double)a.at[k * a.step] * (has_b ? b.at[k * b.step] : 1.0);
    return total;
}

static void run_linear(const Step *step, Frame *frame) {
    Real *out = row_at(frame, step->out);
    double number = 0.0;
    const Real *start = NULL;
    size_t lanes = frame->lanes;
    for (uint32_t r = 0; r < step->n_runs; r++) { /* what is one number for all lanes */
        const Run *run = &step->runs[r];
        if (lanes > 1 && run->a.space == IN_ROWS) continue;
        number += sum_once(operand_at(frame, run->a), operand_at(frame, run->b), run->b.space != NOWHERE, run->count);
    }
    if (lanes == 1) {
        *out = (Real)number;
        return;
    }
    for (uint32_t r = 0; r < step->n_runs; r++) {
        const Run *run = &step->runs[r];
        if (run->a.space != IN_ROWS) continue;
        Operand a = operand_at(frame, run->a), b = operand_at(frame, run->b);
        switch ((Space)run->b.space) {
        case IN_ROWS: sum_run(out, start, number, a, b, IN_ROWS, run->count, lanes); break;
        case IN_ONCE: sum_run(out, start, number, a, b, IN_ONCE, run->count, lanes); break;
        case NOWHERE: sum_run(out, start, number, a, b, NOWHERE, run->count, lanes); break;
        }
        start = out;
    }
    if (!start) fill(out, number, lanes);
}

#include "kernels_matrix.h"

/* -- the rest --------------------------------------------------------------------------------------------- */

static void run_take(const Step *step, Frame *frame) {
    Operand index = operand_at(frame, step->refs[0]);
    Real *out = row_at(frame, step->out);
    for (size_t k = 0; k < frame->lanes; k++) {
        double wanted = index.at[index.is_number ? 0 : k];
        uint32_t element = element_of(wanted, step->n_refs - 1);
        if (element == NONE) {
            if (frame->bad_lane == NONE || k < frame->bad_lane) {
                frame->bad_lane = (uint32_t)k;
                frame->bad_index = wanted;
                frame->bad_count = step->n_refs - 1;
            }
            element = 0;
        }
        Operand from = operand_at(frame, step->refs[1 + element]);
        out[k] = from.at[from.is_number ? 0 : k];
    }
}

static void run_take_gain(const Step *step, Frame *frame) {
    Operand index = operand_at(frame, step->x);
    const Real *g = row_at(frame, step->g);
    for (size_t k = 0; k < frame->valid; k++) {
        uint32_t element = element_of(index.at[index.is_number ? 0 : k], step->n_refs - 1);
        if (element == NONE) continue;
        Ref to = step->refs[1 + element];
        if (to.space == IN_ONCE) frame->once_adjoint[to.at] += g[k];
        else row_at(frame, to)[k] += g[k];
    }
}

static void run_draw(const Step *step, Frame *frame) {
    Drawing drawing = drawing_of(frame->batch, frame->first, frame->valid);
    drawing.pair = step->draw / 2;
    drawing.is_float32 = sizeof(Real) == sizeof(float);
    for (uint32_t m = 0; m < step->count; m++) {
        drawing.rows[(step->draw + m) % 2] = row_at(frame, member(step->out, m));
        drawing.kinds[(step->draw + m) % 2] = step->kinds[m];
    }
    LEVEL_FUNCTION(draw)(&drawing);
    for (uint32_t m = 0; m < step->count; m++) {
        Real *row = row_at(frame, member(step->out, m));
        for (size_t k = frame->valid; k < frame->lanes; k++) row[k] = row[frame->valid - 1];
    }
}

static void run_steps(const Step *steps, uint32_t n_steps, Frame *frame) {
    Real *rows = frame->rows; /* those of one lane */
    for (const Step *step = steps; step < steps + n_steps; step++) {
        switch ((StepKind)step->kind) {
        case STEP_MAP: run_map(step, frame); break;
        case STEP_CHAIN: run_chain(step, frame); break;
        case STEP_GAIN: run_gain(step, frame); break;
        case STEP_CHAIN_GAIN: run_chain_gain(step, frame); break;
        case STEP_LINEAR: run_linear(step, frame); break;
        case STEP_MATVEC: run_matvec(step, frame); break;
        case STEP_MATVEC_X: run_matvec_x(step, frame); break;
        case STEP_MATVEC_W: run_matvec_w(step, frame); break;
        case STEP_TAKE: run_take(step, frame); break;
        case STEP_TAKE_GAIN: run_take_gain(step, frame); break;
        case STEP_DRAW: run_draw(step, frame); break;
        case STEP_ZERO: fill(row_at(frame, step->out), 0.0, step->count * frame->lanes); break;
        case STEP_NUMBER: fill(row_at(frame, step->out), step->number, frame->lanes); break;
        case STEP_GATHER:
            for (uint32_t k = 0; k < step->count; k++) rows[step->out.at + k] = rows[step->refs[k].at];
            break;
        case STEP_SCATTER:
            for (uint32_t k = 0; k < step->count; k++) rows[step->refs[k].at] += rows[step->g.at + k];
            break;
        }
    }
}

#include "kernels_block.h"

/* A turn for those who know rows by their place alone. */
#define TURN_ANY(name, From, To)                                                                           \
    static void any_##name(void *to, size_t apart, const void *const *rows, size_t n_rows, size_t lanes) { \
        name(to, apart, (const From *const *)rows, n_rows, lanes);                                         \
    }
TURN_ANY(turn_rows, Real, Real)

#include "kernels_contract.h"

#ifdef FLOAT32
TURN_ANY(turn_doubles, double, Real)
TURN_ANY(turn_to_panel, Real, double)

const Kernels PASTE(LEVEL_FUNCTION(kernels), float32) = {.level = {LEVEL_NAME, WIDTH, NULL, NULL},
                                                         .number_bytes = REAL_BYTES,
                                                         .run = run_steps,
                                                         .run_block = run_block,
                                                         .turn = any_turn_rows,
                                                         .turn_doubles = any_turn_doubles,
                                                         .turn_out = any_turn_to_panel,
                                                         .contract = contract};
#else
#include "kernels_fold.h"

#include "train/rules.h"

const Kernels LEVEL_FUNCTION(kernels) = {.level = {LEVEL_NAME, WIDTH, update, LEVEL_FUNCTION(draw)},
                                         .number_bytes = REAL_BYTES,
                                         .run = run_steps,
                                         .run_block = run_block,
                                         .fold = fold,
                                         .turn = any_turn_rows,
                                         .contract = contract};
#endif
