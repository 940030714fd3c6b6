/* SPDX-License-Identifier: MIT
 *
 * A tape near the most nodes that 32 bits can count: too large to be filled in a test, so only its sizes
 * are real. While it is busy it cannot compact.
 */
#include <stdio.h>

#include "tape/tape.h"

int main(void) {
    const uint32_t sizes[] = {3700000000u, 3800000000u, 3900000000u, 4200000000u, UINT32_MAX - 80};
    int failed = 0;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        Tape tape;
        tape_init(&tape);
        tape.busy = 1;
        tape.capacity = UINT32_MAX - 64;
        tape.size = tape.collect_at = tape.limit = sizes[k];
        int granted = tape_make_room(&tape, 10, 0) == 0;
        if (granted && tape.limit - tape.size < 10) {
            printf("%u nodes: room for 10 was granted, there is room for %u\n", tape.size, tape.limit - tape.size);
            failed = 1;
        }
        if (!granted) {
            printf("%u nodes: refused\n", tape.size);
            failed = 1;
        }
        if (tape_make_room(&tape, 200, 0) == 0 && tape.limit - tape.size < 200) {
            printf("%u nodes: room for 200 was granted, there is room for %u\n", tape.size, tape.limit - tape.size);
            failed = 1;
        }
    }
    return failed;
}
