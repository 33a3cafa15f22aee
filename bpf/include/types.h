/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The structures that the programs and the agent share. This file is their one source of truth: the TypeScript
 * types and codecs are generated from the object's BTF. Fields of type __be16/__be32 hold network byte order.
 */
#ifndef SHOAL_TYPES_H
#define SHOAL_TYPES_H

#include <linux/types.h>

/* Owners that a bucket remembers: the current one and, newest first, those before it (second hop). */
#define OWNERS_PER_BUCKET 4

/* What a client connects to: one address, port and protocol (IPPROTO_TCP or IPPROTO_UDP). */
struct frontend_key {
	__be32 address;
	__be16 port;
	__u8 protocol;
	__u8 reserved;
};

/* A published port. Several addresses (the VIP, every node's own) lead to one frontend slot. */
struct frontend {
	/* Its table is buckets[bucket_base .. bucket_base + bucket_mask]. */
	__u32 bucket_base;
	/* Table size - 1; the size is a power of two. */
	__u32 bucket_mask;
	/* Port to translate to; 0 means the endpoint's own. */
	__be16 target_port;
	/* 1 if no endpoint may be given a new connection: refuse those. */
	__u8 refuse;
	__u8 reserved;
};

/* Endpoint slots: [0] owns the bucket now, the others owned it before; 0 ends the list. */
struct bucket {
	__u32 owner[OWNERS_PER_BUCKET];
};

/* How an endpoint is reached on its node. */
enum endpoint_kind {
	ENDPOINT_NONE = 0,
	/* A socket of the node itself. */
	ENDPOINT_HOST = 1,
	/* A socket in a network namespace behind a veth of ours. */
	ENDPOINT_NAMESPACE = 2,
	/* A plain address that no agent serves: full NAT from its home node. */
	ENDPOINT_NAT = 3,
} __attribute__((packed));

struct endpoint {
	/* Slot of the node that serves it. */
	__u32 node;
	__be32 address;
	__be16 port;
	enum endpoint_kind kind;
	__u8 reserved;
	/* Only on its own node. Namespace: the host's end of the veth. NAT: the device towards it. */
	__u32 ifindex;
	/* Only on its own node. Namespace: Ethernet address of the inner end of the veth. */
	__u8 mac[6];
	__u8 reserved_tail[2];
};

/* A node of the mesh; `vtep` is 0 where the slot is free. */
struct node {
	__be32 vtep;
};

/* The kernel's answer for one destination, kept for a moment. */
struct next_hop {
	__be32 destination;
	__u32 ifindex;
	/* On the coarse monotonic clock; 0: nothing is kept. */
	__u64 expires_ns;
	__u8 destination_mac[6];
	__u8 source_mac[6];
	/* Largest packet for it, bytes. */
	__u32 mtu_bytes;
};

/* An address of the mesh: an attached namespace's, or a node's own. */
struct mesh_address {
	/* Slot of the node that has it. */
	__u32 node;
	/* On that node: the host's end of the veth; 0 for an address of the node itself. */
	__u32 ifindex;
	__u8 mac[6];
	__u8 reserved[2];
};

enum flow_direction {
	/* As the client's packet arrives: client -> frontend. */
	FLOW_FORWARD = 0,
	/* As the endpoint's packet leaves: `client` is its destination, `server` its source. */
	FLOW_REPLY = 1,
} __attribute__((packed));

struct flow_key {
	__be32 client;
	__be32 server;
	__be16 client_port;
	__be16 server_port;
	__u8 protocol;
	enum flow_direction direction;
	__u16 reserved;
};

/* Bits of flow.seen, each set by the side whose entry it stands in. */
enum flow_seen {
	FLOW_SEEN_SYN = 1,
	FLOW_SEEN_ACK = 2,
	FLOW_SEEN_FIN = 4,
	FLOW_SEEN_RST = 8,
};

/*
 * One direction of a connection, on the endpoint's node only. Each connection has two entries, one per direction,
 * and each holds what its packets are rewritten to.
 */
struct flow {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	/* Endpoint slot. */
	__u32 endpoint;
	/* Slot of the node that the client's packets come through; replies go back through it. */
	__u32 node;
	/* Bits of this direction only. */
	enum flow_seen seen;
	__u64 packets;
	__u64 bytes;
	__u64 created_ns;
	__u64 last_seen_ns;
};

/* Why a packet was dropped or refused. Index into the drops map; texts in dataplane/drops.ts. */
enum drop_reason {
	DROP_NONE = 0,
	DROP_MALFORMED_IP,
	DROP_MALFORMED_TRANSPORT,
	DROP_MALFORMED_TUNNEL,
	DROP_FORGED_STAMP,
	DROP_FORGED_TUNNEL,
	DROP_LOOPBACK_ON_WIRE,
	DROP_SPOOFED_SOURCE,
	DROP_NO_ENDPOINT,
	DROP_NO_FLOW,
	DROP_ENDPOINT_GONE,
	DROP_NODE_GONE,
	DROP_TOO_BIG,
	DROP_FLOW_TABLE_FULL,
	DROP_NAT_PORTS_EXHAUSTED,
	DROP_NO_ROUTE,
	DROP_FRAGMENT,
	DROP_INTERNAL,
	DROP_REASONS,
};

/* What the programs did with packets they handled, index into the packets map. */
enum packet_counter {
	PACKETS_XDP_SEEN = 0,
	PACKETS_XDP_PASSED,
	PACKETS_XDP_TO_LOCAL_ENDPOINT,
	PACKETS_XDP_ENCAPSULATED,
	PACKETS_XDP_DECAPSULATED,
	PACKETS_XDP_RETURNED,
	PACKETS_XDP_REFUSED,
	PACKETS_XDP_NEXT_HOP_UNRESOLVED,
	PACKETS_SERVED,
	PACKETS_FLOWS_CREATED,
	PACKETS_SECOND_HOP,
	PACKETS_REPLIES_DIRECT,
	PACKETS_REPLIES_TUNNELLED,
	PACKETS_FROM_MESH,
	PACKETS_COUNTERS,
};

#endif
