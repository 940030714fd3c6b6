/* SPDX-License-Identifier: MIT
 *
 * Part of kernels.h: one step of an optimiser, on numbers that stand side by side.
 */
/* -- optimisers ---------------------------------------------------------------------------------------------- */

/* As PyTorch's torch.optim.SGD, Adam and AdamW compute them. Without contraction, so that a step is that of
 * Python's own arithmetic, on every level; memory is what it waits for. */
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
/* Numbers stand where the tape has them: most wide vectors of them would be on two lines of the cache, and division
 * is no faster in wide ones. */
#if defined(VECTOR_BYTES) && VECTOR_BYTES == 64 && defined(__GNUC__) && !defined(__clang__)
__attribute__((target("prefer-vector-width=256")))
#endif
static void update(const ParameterGroup *group, double *restrict p, const double *grads, size_t n, size_t from) {
    const Rule *rule = &group->rule;
    const Moments *moments = &group->moments;
    const double decay = rule->weight_decay, sign = rule->maximize ? -1.0 : 1.0, lr = rule->lr;
    double *restrict m = moments->m ? moments->m + from : NULL;
    double *restrict v = moments->v ? moments->v + from : NULL;
    if (rule->kind == SGD) {
        const double momentum = rule->momentum;
        if (momentum == 0 && decay == 0) {
            for (size_t k = 0; k < n; k++) p[k] -= lr * (sign * grads[k]);
        } else if (momentum == 0) {
            for (size_t k = 0; k < n; k++) p[k] -= lr * (sign * grads[k] + decay * p[k]);
        } else {
            const double keep = moments->steps > 1 ? momentum : 0.0;
            const double ahead = rule->nesterov ? momentum : 0.0, now = rule->nesterov ? 1.0 : 0.0;
            for (size_t k = 0; k < n; k++) {
                double g = sign * grads[k] + decay * p[k];
                m[k] = keep * m[k] + g;
                p[k] -= lr * (rule->nesterov ? now * g + ahead * m[k] : m[k]);
            }
        }
        return;
    }
    const double beta1 = rule->beta1, beta2 = rule->beta2, eps = rule->eps;
    const double rate = lr / moments->bias1, root = sqrt(moments->bias2);
    const double l2 = rule->kind == ADAM ? decay : 0.0, shrink = rule->kind == ADAMW ? 1.0 - lr * decay : 1.0;
    double *restrict v_max = rule->amsgrad ? moments->v_max + from : NULL;
    for (size_t k = 0; k < n; k++) {
        double g = sign * grads[k] + l2 * p[k];
        double square = beta2 * v[k] + (1.0 - beta2) * g * g;
        m[k] += (g - m[k]) * (1.0 - beta1);
        v[k] = square;
        if (v_max) {
            square = v_max[k] > square ? v_max[k] : square;
            v_max[k] = square;
        }
        p[k] = p[k] * shrink - rate * m[k] / (sqrt(square) / root + eps);
    }
}
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
