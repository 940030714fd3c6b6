/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: a block of samples, from the arguments to the outputs, or to the adjoints of once rows.
 */
enum { IS_FLOAT32 = sizeof(Real) == sizeof(float) };

/* How many of a plan's columns from the c-th on stand side by side, and so do their rows. */
static uint32_t rows_together(const Plan *plan, const Column *columns, uint32_t c) {
    uint32_t count = columns_together(columns, plan->columns + c, plan->n_columns - c, IS_FLOAT32), n = 1;
    while (n < count && plan->column_rows[c + n] == plan->column_rows[c] + n) n++;
    return n;
}

static void read_columns(const Plan *plan, const Batch *batch, Frame *frame, size_t first) {
    const uint32_t *samples = batch->samples;
    const Real **pointers = frame->pointers;
    size_t lanes = frame->lanes, valid = frame->valid;
    for (uint32_t c = 0, n; c < plan->n_columns; c += n) {
        const Column *column = &batch->columns[plan->columns[c]];
        Real *row = (Real *)frame->rows + plan->column_rows[c] * lanes;
        n = rows_together(plan, batch->columns, c);
        if (lanes == 1 && n > 1) {
            memcpy(row, column->data + (ptrdiff_t)(samples ? samples[first] : first) * column->stride, n * REAL_BYTES);
            continue;
        }
        if (n >= 4) {
            n -= n % 4;
            for (size_t k = 0; k < lanes; k++) {
                size_t at = first + (k < valid ? k : valid - 1);
                const char *sample = column->data + (ptrdiff_t)(samples ? samples[at] : at) * column->stride;
                pointers[k] = (const Real *)(const void *)sample;
            }
            turn_rows(row, lanes, pointers, lanes, n);
            continue;
        }
        n = 1;
        for (size_t k = 0; k < valid; k++)
            row[k] = (Real)column_number(column, samples ? samples[first + k] : first + k);
        for (size_t k = valid; k < lanes; k++) row[k] = row[valid - 1];
    }
}

static void write_outputs(const Plan *plan, const Batch *batch, const Frame *frame, size_t first) {
    for (uint32_t r = 0; r < plan->n_roots; r++) {
        const Target target = batch->targets[r];
        double *out = target.data + first * target.stride;
        Ref root = plan->roots[r];
        if (root.space == IN_ROWS) {
            const Real *row = row_at(frame, root);
            for (size_t k = 0; k < frame->valid; k++) out[k * target.stride] = row[k];
        } else {
            for (size_t k = 0; k < frame->valid; k++) out[k * target.stride] = frame->once[root.at];
        }
    }
}

static RunStatus run_block(const Plan *plan, const Batch *batch, int gradients, Frame *frame, size_t first,
                           double *loss) {
    size_t left = batch->size - first;
    frame->valid = left < frame->lanes ? left : frame->lanes;
    frame->bad_lane = NONE;
    frame->batch = batch;
    frame->first = first;
    read_columns(plan, batch, frame, first);
    run_steps(plan->forward.items, plan->forward.size, frame);
    if (frame->bad_lane != NONE) return RUN_BAD_INDEX;
    if (!gradients) {
        write_outputs(plan, batch, frame, first);
        return RUN_DONE;
    }
    *loss += row_sum(row_at(frame, plan->roots[0]), frame->valid);
    Real *seed = (Real *)frame->rows + plan->root_adjoint * frame->lanes;
    const Real number = IS_FLOAT32 ? 1 : (Real)sample_seed(batch); /* of floats, sums are multiplied by it */
    for (size_t k = 0; k < frame->lanes; k++) seed[k] = k < frame->valid ? number : 0;
    run_steps(plan->backward.items, plan->backward.size, frame);
    return RUN_DONE;
}
