/* SPDX-License-Identifier: MIT
 *
 * Gradients that are too long, as torch.nn.utils.clip_grad_norm_ shortens them.
 */
#include "clip.h"

#include <math.h>

double gradients_norm(const Stretch *stretches, size_t n, double p) {
    double largest = 0, sum = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < stretches[k].size; j++) {
            double size = fabs(stretches[k].grads[j]);
            if (size > largest || isnan(size)) largest = size;
        }
    if (!(largest > 0 && largest < INFINITY) || p == INFINITY) return largest;
    /* Of numbers up to 1, so that no power overflows. */
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < stretches[k].size; j++) {
            double part = fabs(stretches[k].grads[j]) / largest;
            sum += p == 2 ? part * part : pow(part, p);
        }
    return largest * (p == 2 ? sqrt(sum) : pow(sum, 1 / p));
}

void gradients_clip(const Stretch *stretches, size_t n, double norm, double longest) {
    double factor = longest / (norm + 1e-6);
    if (factor >= 1) return;
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < stretches[k].size; j++) stretches[k].grads[j] *= factor;
}
