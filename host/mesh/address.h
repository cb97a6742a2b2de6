/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/address.h: where a node is, as people write it: 192.0.2.7:4700, [2001:db8::7]:4700, or with
 * a name, harbour.example.org:4700. Without a port it is ADDRESS_PORT.
 *
 * Nothing is looked up. Pure functions; any thread. Errors say what the text must be, without the
 * text itself: who asks knows where it stands.
 */
#ifndef MESH_ADDRESS_H
#define MESH_ADDRESS_H

#include "mesh/transport.h"

#define ADDRESS_PORT     4700
#define ADDRESS_HOST_MAX 253 /* of a name in the DNS */
#define ADDRESS_TEXT     56  /* "[", 45 of an IPv6 address, "]:65535", 0 */

typedef struct address_text {
    char host[ADDRESS_HOST_MAX + 1]; /* without brackets */
    uint16_t port;
    bool is_name;    /* to be looked up */
    address numeric; /* if it is none: the address, with its port */
} address_text;

/* INVALID. A name is letters, digits, '-', '_' and '.', as the DNS has them. */
berth_status address_parse(slice text, address_text *out, berth_error *error);

/* Numeric, port included. Returns out. */
char *address_format(char out[ADDRESS_TEXT], const address *a);

#endif
