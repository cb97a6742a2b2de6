/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/template.h: sdk/template as data; the build makes template.c of its files.
 */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "base/buf.h"

#include <stdbool.h>

typedef struct template_file {
    const char *lang; /* folder below sdk/template */
    const char *path; /* below that */
    slice text;
    bool executable;
} template_file;

/* Ends with one without a lang. */
extern const template_file template_files[];

#endif
