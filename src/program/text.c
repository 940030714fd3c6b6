/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put(Text *to, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || to->failed) return;
    if ((size_t)length >= sizeof line) length = sizeof line - 1;
    if (to->size + (size_t)length + 1 > to->capacity) {
        size_t capacity = 2 * to->capacity + 1024;
        char *text = realloc(to->text, capacity);
        if (!text) {
            to->failed = 1;
            return;
        }
        to->text = text;
        to->capacity = capacity;
    }
    memcpy(to->text + to->size, line, (size_t)length + 1);
    to->size += (size_t)length;
}

char *finished(Text *text) {
    if (!text->failed) return text->text;
    free(text->text);
    return NULL;
}
