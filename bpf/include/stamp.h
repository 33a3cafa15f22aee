/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The stamp: the decision about a packet, written into the Ethernet addresses in front of its IP header. It is the
 * inner Ethernet header inside the tunnel, and the only one between the hooks of one node, so both halves of the
 * path read the same twelve bytes and no metadata has to survive a driver.
 *
 *   destination  5a 53 | kind:4 hop:4 | endpoint slot:24     (REPLY: the slot is of the ingress node)
 *   source       5a | node the client came through:16 | nodes asked:8 | frontend slot:16
 *
 * Both are locally administered unicast addresses. The agent refuses an uplink whose own address begins with
 * 5a:53, and the uplink's XDP program drops what arrives from the wire with such a destination.
 */
#ifndef SHOAL_STAMP_H
#define SHOAL_STAMP_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define STAMP_BYTE_0 0x5a
#define STAMP_BYTE_1 0x53

enum stamp_kind {
	/* A client's packet for an endpoint: find or make the flow, translate, deliver. */
	STAMP_SERVE = 1,
	/* A reply on its way back through the node that the client uses: send it to the client. */
	STAMP_REPLY = 2,
	/* Between two addresses of the mesh, nothing to translate. */
	STAMP_DIRECT = 3,
	/* Never on the wire: complete, but XDP knew no next hop; let the neighbour subsystem send it. */
	STAMP_TRANSMIT = 4,
};

/* Most passes from owner to owner that a packet may have behind it; tables that agree need fewer. */
#define STAMP_HOP_LIMIT 4
/* The hop of a packet that came back to the current owner, since no earlier one knew its flow. */
#define STAMP_HOP_FINAL 15

struct stamp {
	__u8 kind;
	/* Bit n: the node of slot n has no flow for this packet. Nodes of higher slots leave no bit. */
	__u8 asked;
	/* How often it was passed on to another owner; STAMP_HOP_FINAL: make the flow here. */
	__u8 hop;
	__u32 slot;
	/* 0 where no frontend's table is behind it. */
	__u32 frontend;
	__u32 node;
};

static __always_inline int is_stamped(const struct ethhdr *ethernet)
{
	return ethernet->h_dest[0] == STAMP_BYTE_0 && ethernet->h_dest[1] == STAMP_BYTE_1;
}

static __always_inline void write_stamp(struct ethhdr *ethernet, const struct stamp *stamp)
{
	ethernet->h_dest[0] = STAMP_BYTE_0;
	ethernet->h_dest[1] = STAMP_BYTE_1;
	ethernet->h_dest[2] = stamp->kind << 4 | stamp->hop;
	ethernet->h_dest[3] = stamp->slot >> 16;
	ethernet->h_dest[4] = stamp->slot >> 8;
	ethernet->h_dest[5] = stamp->slot;
	ethernet->h_source[0] = STAMP_BYTE_0;
	ethernet->h_source[1] = stamp->node >> 8;
	ethernet->h_source[2] = stamp->node;
	ethernet->h_source[3] = stamp->asked;
	ethernet->h_source[4] = stamp->frontend >> 8;
	ethernet->h_source[5] = stamp->frontend;
	ethernet->h_proto = bpf_htons(ETH_P_IP);
}

static __always_inline void read_stamp(const struct ethhdr *ethernet, struct stamp *stamp)
{
	stamp->kind = ethernet->h_dest[2] >> 4;
	stamp->hop = ethernet->h_dest[2] & 0xf;
	stamp->slot = ethernet->h_dest[3] << 16 | ethernet->h_dest[4] << 8 | ethernet->h_dest[5];
	stamp->node = ethernet->h_source[1] << 8 | ethernet->h_source[2];
	stamp->asked = ethernet->h_source[3];
	stamp->frontend = ethernet->h_source[4] << 8 | ethernet->h_source[5];
}

#endif
