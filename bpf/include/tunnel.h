/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The tunnel between nodes: VXLAN (RFC 7348) over IPv4, with the stamp as the inner Ethernet header. The outer
 * UDP checksum is 0, as the RFC prefers, and the inner packet travels unchanged.
 */
#ifndef SHOAL_TUNNEL_H
#define SHOAL_TUNNEL_H

#include "balance.h"
#include "checksum.h"

#define VXLAN_FLAG_VNI 0x08

struct vxlan_header {
	__u8 flags;
	__u8 reserved;
	/* Reserved in the RFC, ours within our VNI: slot of the node that sent this, to be checked with its VTEP. */
	__u8 sender[2];
	__u8 vni[3];
	__u8 reserved_tail;
};

/* What stands between the outer Ethernet header and the inner one. */
struct tunnel_header {
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan_header vxlan;
};

/* Added to an IP packet that goes into the tunnel: the headers above and the stamp. */
#define TUNNEL_OVERHEAD_BYTES (sizeof(struct tunnel_header) + sizeof(struct ethhdr))

/* Source ports of the tunnel are from here on (RFC 7348 asks for the dynamic range). */
#define TUNNEL_SOURCE_PORT_FIRST 0xc000

_Static_assert(TUNNEL_OVERHEAD_BYTES == 50, "VXLAN over IPv4 adds 50 bytes");

static __always_inline __be32 find_vtep(__u32 slot)
{
	struct node *node = bpf_map_lookup_elem(&nodes, &slot);

	return node ? node->vtep : 0;
}

static __always_inline int fits_tunnel(__u32 ip_length_bytes)
{
	return ip_length_bytes + TUNNEL_OVERHEAD_BYTES <= uplink_mtu_bytes;
}

/* `hash` spreads tunnelled flows over paths and queues by the outer source port. */
static __always_inline void write_tunnel_header(struct tunnel_header *header, __be32 vtep, __u32 inner_length_bytes,
						__u8 type_of_service, __u32 hash)
{
	__u32 udp_length = sizeof(header->udp) + sizeof(header->vxlan) + sizeof(struct ethhdr) + inner_length_bytes;

	header->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		/* Not ECN-capable outside (RFC 6040, compatibility mode), since decapsulation carries no mark inwards. */
		.tos = type_of_service & 0xfc,
		.tot_len = bpf_htons(sizeof(header->ip) + udp_length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = self_vtep,
		.daddr = vtep,
	};
	header->ip.check = ip_header_checksum(&header->ip);
	header->udp.source = bpf_htons(TUNNEL_SOURCE_PORT_FIRST | (hash & 0x3fff));
	header->udp.dest = tunnel_port;
	header->udp.len = bpf_htons(udp_length);
	header->udp.check = 0;
	header->vxlan = (struct vxlan_header){
		.flags = VXLAN_FLAG_VNI,
		.sender = { self_node >> 8, self_node },
		.vni = { tunnel_vni >> 16, tunnel_vni >> 8, tunnel_vni },
	};
}

#endif
