/* SPDX-License-Identifier: MIT */
#include "train.h"

enum { LONG_STRETCH = 16 }; /* numbers side by side that are worth a call of a rule of their own */

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void shuffle(uint32_t *items, size_t n, uint64_t *random) {
    for (size_t k = n; k > 1; k--) {
        /* The high half of a product is a number below k, even up to k in 2^32. */
        size_t j = (size_t)((next_random(random) >> 32) * (uint64_t)k >> 32);
        uint32_t item = items[k - 1];
        items[k - 1] = items[j];
        items[j] = item;
    }
}

static void choose_batch(Training *training) {
    if (!training->order) return;
    training->batch.is_known = 0;
    if (training->position >= training->n_samples) training->position = 0;
    if (training->position == 0 && training->shuffle) shuffle(training->order, training->n_samples, &training->random);
    size_t left = training->n_samples - training->position;
    training->batch.samples = training->order + training->position;
    training->batch.size = left < training->batch_size ? left : training->batch_size;
}

/* Short stretches, weights and biases of a neuron in two groups, say, are brought together first. */
static void update(const Training *training, const TrainedGroup *group) {
    const Level *level = training->batch.level;
    const Stretch *first = training->stretches + group->first_stretch, *end = first + group->n_stretches;
    if (group->n_stretches <= 1 || group->n_stretches * LONG_STRETCH <= group->size) {
        for (const Stretch *s = first; s < end; s++) level->update(&group->own, s->p, s->grads, s->size, s->from);
        return;
    }
    double *p = training->work, *grads = p + group->size, *to = p;
    for (const Stretch *s = first; s < end; s++)
        for (size_t j = 0; j < s->size; j++, to++) {
            *to = s->p[j];
            to[group->size] = s->grads[j];
        }
    level->update(&group->own, p, grads, group->size, first->from);
    for (const Stretch *s = first; s < end; s++)
        for (size_t j = 0; j < s->size; j++) s->p[j] = *p++;
}

RunStatus program_train(Program *program, Training *training, size_t steps) {
    training->batch.is_known = 0;
    for (size_t end = training->done + steps; training->done < end; training->done++) {
        choose_batch(training);
        training->batch.stream.call = (uint32_t)training->done;
        RunStatus status = program->executor->gradients(program, &training->batch);
        if (training->meet) status = training->meet(training->ranks, program, &training->batch, status);
        if (status != RUN_DONE) return status;
        if (training->clip_norm < INFINITY) {
            double norm = gradients_norm(training->stretches, training->n_stretches, 2.0);
            gradients_clip(training->stretches, training->n_stretches, norm, training->clip_norm);
        }
        for (size_t k = 0; k < training->n_groups; k++) {
            TrainedGroup *group = &training->groups[k];
            if (training->rules) group->own.rule = *training->rules++;
            group_begin_step(&group->own);
            update(training, group);
        }
        training->losses[training->done] = training->batch.loss;
        training->position += training->batch.size;
    }
    return RUN_DONE;
}
