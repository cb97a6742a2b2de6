/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh/message.h: the kinds of messages between nodes. Each begins with its kind, u16
 * little-endian; so does each datagram. Every layer has a range of its own; docs/wire.md has the
 * formats.
 */
#ifndef MESH_MESSAGE_H
#define MESH_MESSAGE_H

#define MESSAGE_KIND_SIZE 2

/* Peers: 0x0001 to 0x00ff, on LANE_CONTROL (mesh/peers.h, mesh/peers_codec.h). */
#define MESSAGE_PEERS_FIRST 0x0001
#define MESSAGE_PEERS_LAST  0x00ff
enum {
    MESSAGE_HELLO = 0x0001,   /* first on every session, both ways */
    MESSAGE_RECORDS = 0x0002, /* signed peer records */
    MESSAGE_PING = 0x0003,    /* as a datagram where there are any */
    MESSAGE_PONG = 0x0004,
    MESSAGE_LEAVE = 0x0005,
    MESSAGE_KNOWN_PEERS = 0x0006, /* whom the sender knows, and whom it reaches */
    MESSAGE_WHO_REACHES = 0x0007,
    MESSAGE_USE = 0x0008,         /* of several sessions between two nodes, this one */
    MESSAGE_RECORD_SUMS = 0x0009, /* of all records that the sender has (mesh/sums.h) */
    MESSAGE_RECORD_LIST = 0x000a  /* which it has where the sums differ */
};

/* The directory: 0x0100 to 0x01ff, on the lane of what they are about (mesh/directory.h). */
enum {
    MESSAGE_DIRECTORY_WHERE = 0x0101,    /* where does an origin live? */
    MESSAGE_DIRECTORY_HINT = 0x0102,     /* it lives here, says its key */
    MESSAGE_DIRECTORY_NOT_HERE = 0x0103, /* not here, and nothing newer is known */
    MESSAGE_DIRECTORY_CONFLICT = 0x0104, /* two nodes have it, at one epoch */
    MESSAGE_DIRECTORY_NAME = 0x0105,     /* nonce u64, name: which daemon of yours is called so? */
    MESSAGE_DIRECTORY_NAMED = 0x0106     /* nonce u64, origin u64, 0: none */
};

/* Flows: 0x0200 to 0x02ff; events on LANE_EVENT, the rest on LANE_CONTROL (mesh/flow.h). */
enum { MESSAGE_FLOW_EVENTS = 0x0201, MESSAGE_FLOW_ACK = 0x0202, MESSAGE_FLOW_CLOSE = 0x0203 };

/* Calls: 0x0300 to 0x03ff, on LANE_CALL (mesh/call.h). */
enum {
    MESSAGE_CALL_REQUEST = 0x0301,
    MESSAGE_CALL_ANSWER = 0x0302,
    MESSAGE_CALL_CANCEL = 0x0303, /* the caller does not wait for these any more */
    MESSAGE_CALL_ACK = 0x0304     /* the caller has the answers to these */
};

/* Capabilities: 0x0400 to 0x04ff, on LANE_CONTROL (mesh/announcements.h). */
enum {
    MESSAGE_ANNOUNCEMENT = 0x0400,      /* the text of one, to the end of the message */
    MESSAGE_ANNOUNCEMENT_SUMS = 0x0401, /* of all that the sender knows (mesh/sums.h) */
    MESSAGE_ANNOUNCEMENT_LIST = 0x0402  /* what it knows where the sums differ */
};

/* Realms: 0x0700 to 0x07ff, on LANE_BULK (mesh/mesh_revocations.c). */
enum {
    MESSAGE_REVOCATIONS = 0x0701 /* a realm's list, to the end of the message */
};

/* Relays: 0x0600 to 0x06ff, as datagrams, or on LANE_CALL what is too large (docs/wire.md). */
enum {
    MESSAGE_RELAY = 0x0601 /* to u64, from u64 (nodes), and a packet of theirs */
};

/* Migration: 0x0800 to 0x08ff, on LANE_CALL, or LANE_BULK what is large (migrate/wire.h). */
#define MESSAGE_MOVE_FIRST 0x0800
#define MESSAGE_MOVE_LAST  0x08ff
enum {
    MESSAGE_MOVE_ORDER = 0x0801, /* to the source: move it */
    MESSAGE_MOVE_OFFER = 0x0802, /* source to target, and so on in turn */
    MESSAGE_MOVE_ACCEPT = 0x0803,
    MESSAGE_MOVE_CHUNK = 0x0804, /* LANE_BULK */
    MESSAGE_MOVE_GOT = 0x0805,
    MESSAGE_MOVE_SEAL = 0x0806, /* LANE_BULK, behind the last chunk */
    MESSAGE_MOVE_PREPARED = 0x0807,
    MESSAGE_MOVE_COMMIT = 0x0808,
    MESSAGE_MOVE_OWNED = 0x0809,
    MESSAGE_MOVE_REFUSED = 0x080a, /* of the target, or the source to an orchestrator */
    MESSAGE_MOVE_ABORT = 0x080b,   /* of the source, or an orchestrator to it */
    MESSAGE_MOVE_ASK = 0x080c,     /* a prepared target: what became of it? */
    MESSAGE_MOVE_STATE = 0x080d,   /* source to orchestrator */
    MESSAGE_MOVE_LOOK = 0x080e,    /* orchestrator to source */
    MESSAGE_MOVE_KEY = 0x080f,     /* source to target, before the first chunk */
    MESSAGE_MOVE_READY = 0x0810,   /* target to source: it is worked in */
    MESSAGE_MOVE_ROUND = 0x0811,   /* LANE_BULK, behind the last chunk of a round */
    MESSAGE_MOVE_BUILT = 0x0812,   /* of the target: that round */
    MESSAGE_MOVE_FETCH = 0x0813,   /* of a target that lacks the kind: its plugin */
    MESSAGE_MOVE_PLUGIN = 0x0814,  /* of the source: what there is of it */
    MESSAGE_MOVE_PART = 0x0815,    /* LANE_BULK */
    MESSAGE_MOVE_HEARS = 0x0816,   /* a target that has it, to the source: its subscriptions */
    MESSAGE_MOVE_INQUIRE = 0x0817, /* to the source, before an order: of what kind is it? */
    MESSAGE_MOVE_KIND = 0x0818     /* its answer */
};

/* Channels: 0x0500 to 0x05ff, on LANE_CONTROL (mesh/channel_message.h). */
enum {
    MESSAGE_CHANNEL_SUBSCRIBE = 0x0500,
    MESSAGE_CHANNEL_UNSUBSCRIBE = 0x0501,
    MESSAGE_CHANNEL_ACK = 0x0502,
    MESSAGE_CHANNEL_ENDED = 0x0503
};

#endif
