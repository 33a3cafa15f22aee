/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the tcx hooks do to an skb: read its headers, rewrite addresses, put it into the tunnel. */
#ifndef SHOAL_SKB_H
#define SHOAL_SKB_H

#include <linux/pkt_cls.h>
#include "counters.h"
#include "tunnel.h"

/* The next program, or the stack: what a tcx program returns for a packet that is none of its business. */
#define VERDICT_NEXT TC_ACT_UNSPEC

/* Headers that must be in the linear part: Ethernet, IP with options, TCP without. */
#define LINEAR_HEADER_BYTES (sizeof(struct ethhdr) + 60 + sizeof(struct tcphdr))

static __always_inline int skb_drop(__u32 reason)
{
	count_drop(reason);
	return TC_ACT_SHOT;
}

/* Parses the skb, pulling headers into the linear part first where a driver left them in fragments. */
static __always_inline enum parse_result parse_skb(struct __sk_buff *skb, struct packet *packet)
{
	__u32 wanted = skb->len < LINEAR_HEADER_BYTES ? skb->len : LINEAR_HEADER_BYTES;

	if ((void *)(long)skb->data + wanted > (void *)(long)skb->data_end && bpf_skb_pull_data(skb, wanted))
		return PARSE_MALFORMED_IP;
	return parse_packet((void *)(long)skb->data, (void *)(long)skb->data_end, 0, packet);
}

static __always_inline int count_malformed(enum parse_result result)
{
	if (result == PARSE_MALFORMED_IP)
		count_drop(DROP_MALFORMED_IP);
	else if (result == PARSE_MALFORMED_TRANSPORT)
		count_drop(DROP_MALFORMED_TRANSPORT);
	else
		return 0;
	return 1;
}

#define IP_OFFSET sizeof(struct ethhdr)

/*
 * Big steps that several hooks share are functions of their own, which the verifier checks once instead of at every
 * call. It then knows nothing of their arguments, so each has to check its pointers.
 */
#define SHARED_STEP __attribute__((noinline))

/* Offset of the checksum in the TCP or UDP header. */
static __always_inline __u32 checksum_offset(const struct packet *packet)
{
	return packet->transport_offset_bytes + (packet->protocol == IPPROTO_TCP ? offsetof(struct tcphdr, check) :
										   offsetof(struct udphdr, check));
}

/*
 * Rewrites one end of the packet (the destination if `to_destination`), with both checksums, whether they are
 * complete or left to the device.
 */
static __always_inline int rewrite_end(struct __sk_buff *skb, const struct packet *packet, int to_destination, __be32 address,
				       __be16 port)
{
	__u32 address_offset = IP_OFFSET + (to_destination ? offsetof(struct iphdr, daddr) : offsetof(struct iphdr, saddr));
	__u32 port_offset = packet->transport_offset_bytes + (to_destination ? 2 : 0);
	__be32 old_address = to_destination ? packet->destination : packet->source;
	__be16 old_port = to_destination ? packet->destination_port : packet->source_port;
	__u32 check = checksum_offset(packet);
	/* A UDP checksum of 0 means none and must stay so; a computed 0 must become 0xffff. */
	__u64 mangled = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (old_address != address) {
		if (bpf_l4_csum_replace(skb, check, old_address, address, BPF_F_PSEUDO_HDR | mangled | 4))
			return -1;
		if (bpf_l3_csum_replace(skb, IP_OFFSET + offsetof(struct iphdr, check), old_address, address, 4))
			return -1;
		if (bpf_skb_store_bytes(skb, address_offset, &address, sizeof(address), 0))
			return -1;
	}
	if (old_port != port) {
		if (bpf_l4_csum_replace(skb, check, old_port, port, mangled | 2))
			return -1;
		if (bpf_skb_store_bytes(skb, port_offset, &port, sizeof(port), 0))
			return -1;
	}
	return 0;
}

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2

/*
 * Lowers the MSS option of a SYN (RFC 9293, 3.7.1) to what fits through the tunnel, so that neither side ever
 * sends a segment too big for it, whichever node the flow comes through later.
 */
SHARED_STEP int clamp_mss(struct __sk_buff *skb, const struct packet *packet)
{
	__u16 limit = uplink_mtu_bytes - TUNNEL_OVERHEAD_BYTES - sizeof(struct iphdr) - sizeof(struct tcphdr);
	__u8 header_words = 0;
	__u32 offset, end;

	if (!packet)
		return -1;
	offset = packet->transport_offset_bytes + sizeof(struct tcphdr);
	if (bpf_skb_load_bytes(skb, packet->transport_offset_bytes + 12, &header_words, 1))
		return -1;
	end = packet->transport_offset_bytes + (header_words >> 4) * 4;
	/* 40 bytes of options hold at most 40 of them. */
	for (int i = 0; i < 40; i++) {
		__u8 option[4] = {};
		__be16 old, new;

		if (offset + 4 > end || bpf_skb_load_bytes(skb, offset, option, sizeof(option)))
			return 0;
		if (option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_NOP) {
			offset += 1;
			continue;
		}
		if (option[0] == TCP_OPTION_MSS && option[1] == 4) {
			if ((option[2] << 8 | option[3]) <= limit)
				return 0;
			old = bpf_htons(option[2] << 8 | option[3]);
			new = bpf_htons(limit);
			/* The checksum works on 16-bit words of the segment: at an odd place the bytes stand swapped. */
			if ((offset - packet->transport_offset_bytes) & 1) {
				if (bpf_l4_csum_replace(skb, checksum_offset(packet), bpf_htons(bpf_ntohs(old) << 8 | bpf_ntohs(old) >> 8),
							bpf_htons(bpf_ntohs(new) << 8 | bpf_ntohs(new) >> 8), 2))
					return -1;
			} else if (bpf_l4_csum_replace(skb, checksum_offset(packet), old, new, 2)) {
				return -1;
			}
			return bpf_skb_store_bytes(skb, offset + 2, &new, sizeof(new), 0) ? -1 : 0;
		}
		if (option[1] < 2)
			return 0;
		offset += option[1];
	}
	return 0;
}

/* Puts the packet into the tunnel to `vtep` and leaves the next hop to the neighbour subsystem. */
static __always_inline int tunnel_skb(struct __sk_buff *skb, const struct packet *packet, const struct stamp *stamp, __be32 vtep)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
			    BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethhdr)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	__u32 inner_bytes = skb->len - sizeof(struct ethhdr);
	struct {
		struct tunnel_header header;
		struct ethhdr stamp;
	} __attribute__((aligned(8))) room = {};

	/* Segments of a GSO packet fit by the clamped MSS. */
	if (!skb->gso_segs && !fits_tunnel(inner_bytes))
		return skb_drop(DROP_TOO_BIG);
	if (bpf_skb_adjust_room(skb, TUNNEL_OVERHEAD_BYTES, BPF_ADJ_ROOM_MAC, flags))
		return skb_drop(DROP_INTERNAL);
	write_tunnel_header(&room.header, vtep, inner_bytes, packet->type_of_service, flow_hash(packet));
	write_stamp(&room.stamp, stamp);
	if (bpf_skb_store_bytes(skb, IP_OFFSET, &room, TUNNEL_OVERHEAD_BYTES, 0))
		return skb_drop(DROP_INTERNAL);
	return bpf_redirect_neigh(uplink_ifindex, NULL, 0, 0);
}

static __always_inline int tunnel_to_node(struct __sk_buff *skb, const struct packet *packet, const struct stamp *stamp, __u32 node)
{
	__be32 vtep = find_vtep(node);

	return vtep ? tunnel_skb(skb, packet, stamp, vtep) : skb_drop(DROP_NODE_GONE);
}

/* Hands the packet to the namespace behind a veth of ours, without a queue in between. */
static __always_inline int deliver_to_namespace(struct __sk_buff *skb, __u32 ifindex, const __u8 mac[ETH_ALEN])
{
	struct ethhdr ethernet = { .h_source = { 0x02, 0x53, 0x48, 0x4f, 0x41, 0x4c }, .h_proto = bpf_htons(ETH_P_IP) };

	__builtin_memcpy(ethernet.h_dest, mac, ETH_ALEN);
	if (bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0) || bpf_skb_change_type(skb, 0 /* PACKET_HOST */))
		return skb_drop(DROP_INTERNAL);
	return bpf_redirect_peer(ifindex, 0);
}

/* Hands the packet to the node's own stack, whatever its Ethernet destination says. */
static __always_inline int deliver_to_host(struct __sk_buff *skb)
{
	if (bpf_skb_change_type(skb, 0 /* PACKET_HOST */))
		return skb_drop(DROP_INTERNAL);
	return TC_ACT_OK;
}

/*
 * Delivers to an address of the mesh that is on this node. One on another node is not passed on: whoever sent the
 * packet here chose the node, and where tables differ for a moment it must not go round.
 */
static __always_inline int deliver_to_mesh(struct __sk_buff *skb, const struct mesh_address *address)
{
	if (address->node != self_node)
		return skb_drop(DROP_NO_ROUTE);
	if (!address->ifindex)
		return deliver_to_host(skb);
	return deliver_to_namespace(skb, address->ifindex, address->mac);
}

/* Delivers a packet whose destination is a client: in the mesh, or out of the uplink. */
static __always_inline int deliver_to_client(struct __sk_buff *skb, const struct packet *packet)
{
	struct mesh_address *address = bpf_map_lookup_elem(&mesh_addresses, &packet->destination);

	if (address)
		return deliver_to_mesh(skb, address);
	return bpf_redirect_neigh(uplink_ifindex, NULL, 0, 0);
}

/* Sends a reply (source: the frontend) to its client through the node that the client uses. */
static __always_inline int return_to_client(struct __sk_buff *skb, const struct packet *packet, __u32 node)
{
	struct stamp stamp = { .kind = STAMP_REPLY, .slot = node, .node = self_node };

	if (node == self_node) {
		count(PACKETS_REPLIES_DIRECT);
		return deliver_to_client(skb, packet);
	}
	count(PACKETS_REPLIES_TUNNELLED);
	return tunnel_to_node(skb, packet, &stamp, node);
}

#endif
