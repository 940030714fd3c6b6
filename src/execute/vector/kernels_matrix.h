/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: matrix-vector products for a block of lanes, and their gradients.
 *
 * All three are one sum: out[j] (+)= sum over k of matrix[j, k] * rows[k], for rows of lanes. Forward, the
 * matrix holds the weights; for the gradient by the inputs, the same weights, turned; for the gradient by the
 * weights, the outputs' adjoints: there, k counts samples, and lanes are inputs, whose rows are turned for it.
 */
/* -- sums of rows --------------------------------------------------------------------------------------- */

enum {
    LINE = 64 / REAL_BYTES,  /* numbers of a cache's line */
    STRIP_BYTES = 20 * 1024, /* of the rows that one strip of lanes reads: they stay in the first cache */
    STRIP = TILE * WIDTH     /* lanes of the narrowest strip */
};

/* starts: where sums begin; NULL: at 0, or, to add, at what they are.
 * matrix: weight j, k stands at along_j[j] + k * along_k. */
#define SUMS_OF(Number, name)      \
    typedef struct {               \
        Number *const *sums;       \
        const Number *starts;      \
        int add;                   \
        const Number *const *rows; \
        size_t n_rows;             \
        const Number *matrix;      \
        const size_t *along_j;     \
        size_t along_k;            \
    } name;
SUMS_OF(Real, Sums)

/* OUTS sums from the first on, for VECS vectors of lanes. They stay in registers. */
FORCE_INLINE void sum_rows_tile(const size_t OUTS, const size_t VECS, const Sums s, size_t first, size_t lane) {
    Vector total[4][TILE];
    for (size_t j = 0; j < OUTS; j++)
        for (size_t v = 0; v < VECS; v++)
            total[j][v] = s.add ? load(s.sums[first + j] + lane + v * WIDTH)
                                : splat(s.starts ? s.starts[first + j] : 0);
    const Real *weights[4];
    for (size_t j = 0; j < OUTS; j++) weights[j] = s.matrix + s.along_j[first + j];
    size_t along_k = s.along_k, at = 0;
    for (size_t k = 0; k < s.n_rows; k++, at += along_k) {
        Vector row[TILE];
        for (size_t v = 0; v < VECS; v++) row[v] = load(s.rows[k] + lane + v * WIDTH);
        for (size_t j = 0; j < OUTS; j++) {
            Vector weight = splat(weights[j][at]);
            for (size_t v = 0; v < VECS; v++) total[j][v] += weight * row[v];
        }
    }
    for (size_t j = 0; j < OUTS; j++)
        for (size_t v = 0; v < VECS; v++) store(s.sums[first + j] + lane + v * WIDTH, total[j][v]);
}

/* How many of what is left the next tile takes: the most, but so that no few are left behind, for sums that
 * wait for each other need company. */
FORCE_INLINE size_t share(size_t left, size_t most) {
    if (left <= most) return left;
    return most > 2 && left - most < most - 1 ? most - 1 : most;
}

#define SUM_ROWS(OUTS)                                                                      \
    static void sum_rows_##OUTS(const Sums *given, size_t first, size_t lane, size_t end) { \
        const Sums s = *given;                                                              \
        for (size_t n; lane < end; lane += n * WIDTH) {                                     \
            n = share((end - lane) / WIDTH, TILE);                                          \
            switch (n) {                                                                    \
            case 1: sum_rows_tile(OUTS, 1, s, first, lane); break;                          \
            case 2: sum_rows_tile(OUTS, TILE > 2 ? 2 : TILE, s, first, lane); break;        \
            case 3: sum_rows_tile(OUTS, TILE > 3 ? 3 : TILE, s, first, lane); break;        \
            default: sum_rows_tile(OUTS, TILE, s, first, lane); break;                      \
            }                                                                               \
        }                                                                                   \
    }
SUM_ROWS(1)
SUM_ROWS(2)
SUM_ROWS(3)
SUM_ROWS(4)

/* So many sums, for so many lanes, strip by strip. */
static void sum_rows(const Sums *s, size_t n_sums, size_t lanes) {
    size_t strip = STRIP_BYTES / sizeof(Real) / (s->n_rows + 1) / STRIP * STRIP;
    if (strip < STRIP) strip = STRIP;
    for (size_t lane = 0, end; lane < lanes; lane = end) {
        end = lane + strip < lanes ? lane + strip : lanes;
        for (size_t j = 0, n; j < n_sums; j += n) {
            n = share(n_sums - j, 4);
            switch (n) {
            case 1: sum_rows_1(s, j, lane, end); break;
            case 2: sum_rows_2(s, j, lane, end); break;
            case 3: sum_rows_3(s, j, lane, end); break;
            default: sum_rows_4(s, j, lane, end); break;
            }
        }
    }
}

/* -- of one sample -------------------------------------------------------------------------------------- */

#ifndef FLOAT32
/* Rows of one lane are numbers: lanes of vectors are inputs here. */

/* The numbers in these rows, in scratch memory. */
static void gather(double *restrict to, const Frame *frame, const Ref *refs, size_t n) {
    for (size_t k = 0; k < n; k++) to[k] = *row_at(frame, refs[k]);
}

static const double *side_by_side(const Frame *frame, const Ref *refs, size_t n) {
    gather(frame->scratch, frame, refs, n);
    return frame->scratch;
}

/* ROWS outputs, each the sum of a row of the matrix times the inputs. */
FORCE_INLINE void multiply_rows(const size_t ROWS, double *out, const double *matrix, const double *inputs,
                                const double *biases, size_t n_in) {
    Vector total[4];
    size_t k = 0;
    for (size_t j = 0; j < ROWS; j++) total[j] = splat(0.0);
    for (; k + WIDTH <= n_in; k += WIDTH) {
        Vector in = load(inputs + k);
        for (size_t j = 0; j < ROWS; j++) total[j] += load(matrix + j * n_in + k) * in;
    }
    sum_each(ROWS, total, out);
    for (size_t j = 0; j < ROWS; j++) {
        double sum = out[j] + (biases ? biases[j] : 0.0);
        for (size_t i = k; i < n_in; i++) sum += matrix[j * n_in + i] * inputs[i];
        out[j] = sum;
    }
}

static void multiply(double *out, const double *matrix, const double *inputs, const double *biases, size_t n_out,
                     size_t n_in) {
    size_t j = 0;
    for (; j + 4 <= n_out; j += 4)
        multiply_rows(4, out + j, matrix + j * n_in, inputs, biases ? biases + j : NULL, n_in);
    for (; j < n_out; j++) multiply_rows(1, out + j, matrix + j * n_in, inputs, biases ? biases + j : NULL, n_in);
}

/* VECS vectors of columns, each the sum of g times the column. */
FORCE_INLINE void multiply_columns(const size_t VECS, double *out, const double *matrix, const double *g, size_t n_out,
                                   size_t n_in) {
    Vector total[4];
    for (size_t v = 0; v < VECS; v++) total[v] = splat(0.0);
    for (size_t j = 0; j < n_out; j++, matrix += n_in) {
        Vector factor = splat(g[j]);
        for (size_t v = 0; v < VECS; v++) total[v] += factor * load(matrix + v * WIDTH);
    }
    for (size_t v = 0; v < VECS; v++) store(out + v * WIDTH, total[v]);
}

static void multiply_turned(double *out, const double *matrix, const double *g, size_t n_out, size_t n_in) {
    size_t k = 0;
    for (; k + 4 * WIDTH <= n_in; k += 4 * WIDTH) multiply_columns(4, out + k, matrix + k, g, n_out, n_in);
    for (; k + 2 * WIDTH <= n_in; k += 2 * WIDTH) multiply_columns(2, out + k, matrix + k, g, n_out, n_in);
    for (; k + WIDTH <= n_in; k += WIDTH) multiply_columns(1, out + k, matrix + k, g, n_out, n_in);
    for (; k < n_in; k++) {
        double sum = 0.0;
        for (size_t j = 0; j < n_out; j++) sum += matrix[j * n_in + k] * g[j];
        out[k] = sum;
    }
}

/* VECS vectors of columns of ROWS rows: what each number gains from all of a bundle, which is a list of outputs'
 * adjoints and inputs, `apart` numbers from one to the next. */
FORCE_INLINE void add_products(const size_t ROWS, const size_t VECS, double *to, const double *g, const double *inputs,
                               size_t n_in, size_t apart, size_t count) {
    Vector total[4][2];
    for (size_t j = 0; j < ROWS; j++)
        for (size_t v = 0; v < VECS; v++) total[j][v] = load(to + j * n_in + v * WIDTH);
    for (size_t n = 0; n < count; n++, g += apart, inputs += apart)
        for (size_t j = 0; j < ROWS; j++)
            for (size_t v = 0; v < VECS; v++) total[j][v] += splat(g[j]) * load(inputs + v * WIDTH);
    for (size_t j = 0; j < ROWS; j++)
        for (size_t v = 0; v < VECS; v++) store(to + j * n_in + v * WIDTH, total[j][v]);
}

FORCE_INLINE void add_products_of_rows(const size_t ROWS, double *to, const double *g, const double *inputs,
                                       size_t n_in, size_t apart, size_t count) {
    size_t k = 0;
    for (; k + 2 * WIDTH <= n_in; k += 2 * WIDTH) add_products(ROWS, 2, to + k, g, inputs + k, n_in, apart, count);
    for (; k + WIDTH <= n_in; k += WIDTH) add_products(ROWS, 1, to + k, g, inputs + k, n_in, apart, count);
    for (; k < n_in; k++)
        for (size_t j = 0; j < ROWS; j++)
            for (size_t n = 0; n < count; n++) to[j * n_in + k] += g[n * apart + j] * inputs[n * apart + k];
}

static void add_outer(double *to, const double *g, const double *inputs, size_t n_out, size_t n_in, size_t apart,
                      size_t count) {
    size_t j = 0;
    for (; j + 4 <= n_out; j += 4) add_products_of_rows(4, to + j * n_in, g + j, inputs, n_in, apart, count);
    for (; j < n_out; j++) add_products_of_rows(1, to + j * n_in, g + j, inputs, n_in, apart, count);
}

static void add_outer_of_one(const Step *step, Frame *frame) {
    size_t n_out = step->count, n_in = step->n_refs, apart = n_out + n_in;
    const double *g = row_at(frame, step->g);
    double *to = frame->once_adjoint + step->x.at;
    if (step->nth == 0 && step->is_last) {
        add_outer(to, g, side_by_side(frame, step->refs, n_in), n_out, n_in, 0, 1);
    } else {
        double *bundle = frame->bundles + (size_t)step->number, *mine = bundle + step->nth * apart;
        memcpy(mine, g, n_out * sizeof(double));
        gather(mine + n_out, frame, step->refs, n_in);
        if (step->is_last) add_outer(to, bundle, bundle + n_out, n_out, n_in, apart, (size_t)step->nth + 1);
    }
    for (size_t j = 0; j < n_out && step->y.space == IN_ONCE; j++) frame->once_adjoint[step->y.at + j] += g[j];
}
#endif

/* -- matrix-vector products ------------------------------------------------------------------------------ */

/* What a step needs lists for, in the frame's room for pointers. */
typedef struct {
    const Real **rows, **sums;
    size_t *along;
} Lists;

static Lists lists_for(const Frame *frame, size_t n_rows, size_t n_sums) {
    const Real **pointers = frame->pointers;
    Lists lists = {pointers, pointers + n_rows, NULL};
    lists.along = (size_t *)(lists.sums + n_sums);
    return lists;
}

static void run_matvec(const Step *step, Frame *frame) {
#ifndef FLOAT32
    if (frame->lanes == 1) {
        const double *inputs = side_by_side(frame, step->refs, step->n_refs);
        const double *biases = step->y.space == IN_ONCE ? frame->once + step->y.at : NULL;
        multiply(row_at(frame, step->out), frame->once + step->x.at, inputs, biases, step->count, step->n_refs);
        return;
    }
#endif
    Lists lists = lists_for(frame, step->n_refs, step->count);
    for (uint32_t k = 0; k < step->n_refs; k++) lists.rows[k] = row_at(frame, step->refs[k]);
    for (uint32_t j = 0; j < step->count; j++) {
        lists.sums[j] = row_at(frame, step->out) + j * frame->lanes;
        lists.along[j] = (size_t)j * step->n_refs;
    }
    Sums sums = {(Real *const *)lists.sums,
                 step->y.space == IN_ONCE ? once_at(frame) + step->y.at : NULL,
                 0,
                 lists.rows,
                 step->n_refs,
                 once_at(frame) + step->x.at,
                 lists.along,
                 1};
    sum_rows(&sums, step->count, frame->lanes);
}

static void run_matvec_x(const Step *step, Frame *frame) {
#ifndef FLOAT32
    if (frame->lanes == 1) {
        double *sums = frame->scratch;
        multiply_turned(sums, frame->once + step->x.at, row_at(frame, step->g), step->count, (size_t)step->number);
        for (uint32_t k = 0; k < step->n_refs; k++) {
            double *to = row_at(frame, step->refs[k]);
            *to = (step->add ? *to : 0.0) + sums[step->columns[k]];
        }
        return;
    }
#endif
    Lists lists = lists_for(frame, step->count, step->n_refs);
    for (uint32_t j = 0; j < step->count; j++) lists.rows[j] = row_at(frame, step->g) + j * frame->lanes;
    for (uint32_t k = 0; k < step->n_refs; k++) {
        lists.sums[k] = row_at(frame, step->refs[k]);
        lists.along[k] = step->columns[k];
    }
    Sums sums = {(Real *const *)lists.sums,   NULL,        step->add,           lists.rows, step->count,
                 once_at(frame) + step->x.at, lists.along, (size_t)step->number};
    sum_rows(&sums, step->n_refs, frame->lanes);
}

/* -- the gradient by the weights ------------------------------------------------------------------------- */

/* Rows turned: lane k of the rows stands side by side from to + k * apart on. As many rows, and lanes, as turns
 * take together. */
#define TURN_ROWS(name, From, To, turned, turn)                                                                 \
    static void name(To *to, size_t apart, const From *const *rows, size_t n_rows, size_t lanes) {              \
        for (size_t first = 0, end; first < lanes; first = end) { /* a line of each row, while it is at hand */ \
            end = first + LINE < lanes ? first + LINE : lanes;                                                  \
            for (size_t row = 0; row < n_rows; row += (turned))                                                 \
                for (size_t lane = first; lane < end; lane += (turned))                                         \
                    turn(to + lane * apart + row, apart, rows + row, lane);                                     \
        }                                                                                                       \
    }

#if WIDTH >= 4
TURN_4(turn, Real, Real, AS_IT_IS)
TURN_ROWS(turn_rows, Real, Real, 4, turn)
#elif WIDTH == 2
TURN_2(turn, Real, Real)
TURN_ROWS(turn_rows, Real, Real, 2, turn)
#else
TURN_1(turn, Real, Real)
TURN_ROWS(turn_rows, Real, Real, 1, turn)
#endif

/* This gradient is a sum over the batch, and so a sum of doubles: panels and the outputs' adjoints are such. Of
 * floats, products are exact then. */
#ifdef FLOAT32
SUMS_OF(double, DoubleSums)
void LEVEL_FUNCTION(sum_double_rows)(const DoubleSums *s, size_t n_sums, size_t lanes);
#define SUM_DOUBLE_ROWS LEVEL_FUNCTION(sum_double_rows)

#if DOUBLES >= 4
TURN_4(turn_wide, Real, double, __builtin_convertvector)
TURN_ROWS(turn_to_panel, Real, double, 4, turn_wide)
TURN_4(turn_narrow, double, Real, __builtin_convertvector)
TURN_ROWS(turn_doubles, double, Real, 4, turn_narrow)
#elif DOUBLES == 2
TURN_2(turn_wide, Real, double)
TURN_ROWS(turn_to_panel, Real, double, 2, turn_wide)
TURN_2(turn_narrow, double, Real)
TURN_ROWS(turn_doubles, double, Real, 2, turn_narrow)
#else
TURN_1(turn_wide, Real, double)
TURN_ROWS(turn_to_panel, Real, double, 1, turn_wide)
TURN_1(turn_narrow, double, Real)
TURN_ROWS(turn_doubles, double, Real, 1, turn_narrow)
#endif

static const double *as_doubles(const Frame *frame, const Real *rows, size_t n_rows) {
    for (size_t k = 0; k < n_rows * frame->lanes; k++) frame->outputs[k] = (double)rows[k];
    return frame->outputs;
}
#else
typedef Sums DoubleSums;
#define SUM_DOUBLE_ROWS sum_rows
#define turn_to_panel turn_rows
#define as_doubles(frame, rows, n_rows) (rows)

/* For the kernels of floats. */
void LEVEL_FUNCTION(sum_double_rows)(const Sums *s, size_t n_sums, size_t lanes);
void LEVEL_FUNCTION(sum_double_rows)(const Sums *s, size_t n_sums, size_t lanes) { sum_rows(s, n_sums, lanes); }
#endif

enum { PANEL = TILE * DOUBLES }; /* the most inputs that are turned at once */

_Static_assert((int)PANEL <= (int)SCRATCH_ROWS, "inputs are turned into scratch rows");

static void run_matvec_w(const Step *step, Frame *frame) {
#ifndef FLOAT32
    if (frame->lanes == 1) {
        add_outer_of_one(step, frame);
        return;
    }
#endif
    size_t n_in = step->n_refs, n_out = step->count, lanes = frame->lanes, valid = frame->valid, k = 0;
    const double **rows = frame->pointers;
    double **to_rows = (double **)(rows + valid);
    size_t *along = (size_t *)(to_rows + n_out);
    const Real **inputs = (const Real **)(along + n_out), *g = row_at(frame, step->g);
    double *to = frame->once_adjoint + step->x.at, *panel = frame->scratch;
    for (size_t i = 0; i < n_in; i++) inputs[i] = row_at(frame, step->refs[i]);
    if (n_out > 1) { /* else, turning costs more than it brings */
        DoubleSums sums = {to_rows, NULL, 1, rows, valid, as_doubles(frame, g, n_out), along, 1};
        for (size_t i = 0; i < valid; i++) rows[i] = panel + i * PANEL;
        for (size_t j = 0; j < n_out; j++) along[j] = j * lanes;
        for (size_t width; k + DOUBLES <= n_in; k += width) {
            width = share((n_in - k) / DOUBLES, TILE) * DOUBLES;
            turn_to_panel(panel, PANEL, inputs + k, width, lanes);
            for (size_t j = 0; j < n_out; j++) to_rows[j] = to + j * n_in + k;
            SUM_DOUBLE_ROWS(&sums, n_out, width);
        }
    }
    for (size_t j = 0; j < n_out; j++)
        for (size_t i = k; i < n_in; i++) to[j * n_in + i] += row_dot(g + j * lanes, inputs[i], valid);
    if (step->y.space == IN_ONCE)
        for (size_t j = 0; j < n_out; j++) frame->once_adjoint[step->y.at + j] += row_sum(g + j * lanes, valid);
}
