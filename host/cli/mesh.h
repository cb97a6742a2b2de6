/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/mesh.h: how the mesh is shown, wherever it is.
 */
#ifndef CLI_MESH_H
#define CLI_MESH_H

#include "cli/fields.h"
#include "cli/output.h"

/* Rows of a page: how many peers are connected, how far away they are, what is lost. */
void mesh_add_health(tab *t, struct json_object *mesh);
/* Of an object with packets_out and packets_lost. */
void mesh_add_loss(tab *t, struct json_object *counts);
/* A row of the array's strings; none: what stands there without any. */
void mesh_add_words(tab *t, const char *name, struct json_object *array, const char *none);

#endif
