/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * XDP on the uplink: where every packet from the wire arrives first.
 *
 * - From the tunnel: checks the sender, takes the outer headers off, and either sends a reply on to its client or
 *   passes the stamped packet to uplink_ingress.
 * - For a frontend: picks the bucket's owner. On this node: stamps the packet and passes it to uplink_ingress.
 *   On another: encapsulates it and sends it there.
 * - Anything else passes untouched.
 *
 * It keeps no flow state: a packet costs the same with one flow or ten million.
 */
#include "include/tunnel.h"
#include "include/counters.h"
#include "include/refuse.h"

static __always_inline int xdp_drop(__u32 reason)
{
	count_drop(reason);
	return XDP_DROP;
}

/* Packets that XDP has completed but knows no next hop for go up to uplink_ingress, which asks the neighbour table. */
static __always_inline int leave_to_neighbours(struct ethhdr *ethernet)
{
	struct stamp stamp = { .kind = STAMP_TRANSMIT };

	write_stamp(ethernet, &stamp);
	count(PACKETS_XDP_NEXT_HOP_UNRESOLVED);
	return XDP_PASS;
}

/* How long a next hop is used without asking again: a change of route or neighbour is followed within this time. */
#define NEXT_HOP_LIFETIME_NS 100000000ULL
#define NEXT_HOPS 4096

static __always_inline struct next_hop *next_hop_entry(__be32 destination)
{
	__u32 index = (destination * 2654435761U) >> 20;

	_Static_assert(NEXT_HOPS == 1 << 12, "the index has 12 bits");
	return bpf_map_lookup_elem(&next_hops, &index);
}

static __always_inline int send_to(struct xdp_md *ctx, const struct next_hop *hop)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;

	if ((void *)(ethernet + 1) > data_end)
		return xdp_drop(DROP_INTERNAL);
	__builtin_memcpy(ethernet->h_dest, hop->destination_mac, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, hop->source_mac, ETH_ALEN);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	return hop->ifindex == ctx->ingress_ifindex ? XDP_TX : bpf_redirect(hop->ifindex, 0);
}

/*
 * Sends the frame, which must be complete, towards `destination`. The kernel's routes and neighbours decide; what they
 * said is kept for a moment, since asking costs more than all the rest of the way.
 */
static __always_inline int transmit(struct xdp_md *ctx, __be32 source, __be32 destination, __u16 length_bytes)
{
	struct next_hop *hop = next_hop_entry(destination);
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	struct bpf_fib_lookup lookup = {};
	void *data, *data_end;
	long result;

	if (!hop)
		return xdp_drop(DROP_INTERNAL);
	if (hop->destination == destination && now_ns < hop->expires_ns && length_bytes <= hop->mtu_bytes)
		return send_to(ctx, hop);

	lookup.family = 2; /* AF_INET */
	lookup.ipv4_src = source;
	lookup.ipv4_dst = destination;
	lookup.tot_len = length_bytes;
	lookup.ifindex = ctx->ingress_ifindex;
	result = bpf_fib_lookup(ctx, &lookup, sizeof(lookup), 0);
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return xdp_drop(DROP_TOO_BIG);
	if (result != BPF_FIB_LKUP_RET_SUCCESS) {
		data = (void *)(long)ctx->data;
		data_end = (void *)(long)ctx->data_end;
		if (data + sizeof(struct ethhdr) > data_end)
			return xdp_drop(DROP_INTERNAL);
		return leave_to_neighbours(data);
	}
	hop->destination = destination;
	hop->ifindex = lookup.ifindex;
	hop->expires_ns = now_ns + NEXT_HOP_LIFETIME_NS;
	hop->mtu_bytes = lookup.mtu_result;
	__builtin_memcpy(hop->destination_mac, lookup.dmac, ETH_ALEN);
	__builtin_memcpy(hop->source_mac, lookup.smac, ETH_ALEN);
	return send_to(ctx, hop);
}

static __always_inline int encapsulate(struct xdp_md *ctx, const struct packet *packet, const struct stamp *stamp, __be32 vtep)
{
	struct tunnel_header *header;
	void *data, *data_end;

	if (!fits_tunnel(packet->ip_length_bytes))
		return xdp_drop(DROP_TOO_BIG);
	if (bpf_xdp_adjust_head(ctx, -(int)TUNNEL_OVERHEAD_BYTES))
		return xdp_drop(DROP_INTERNAL);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	header = data + sizeof(struct ethhdr);
	if (data + sizeof(struct ethhdr) + TUNNEL_OVERHEAD_BYTES > data_end)
		return xdp_drop(DROP_INTERNAL);
	write_stamp((void *)(header + 1), stamp);
	write_tunnel_header(header, vtep, packet->ip_length_bytes, packet->type_of_service, flow_hash(packet));
	count(PACKETS_XDP_ENCAPSULATED);
	return transmit(ctx, self_vtep, vtep, packet->ip_length_bytes + TUNNEL_OVERHEAD_BYTES);
}

/* Sends a reset back out of the port that the segment came in by. */
static __always_inline int refuse_tcp(struct xdp_md *ctx, const struct packet *packet)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 offset = packet->transport_offset_bytes;
	struct reset_headers reset;
	struct ethhdr *ethernet = data;
	struct tcphdr *tcp;
	__u8 address[ETH_ALEN];

	if (offset > sizeof(*ethernet) + 60 || data + sizeof(*ethernet) + sizeof(reset) > data_end)
		return xdp_drop(DROP_INTERNAL);
	tcp = data + offset;
	if ((void *)(tcp + 1) > data_end)
		return xdp_drop(DROP_INTERNAL);
	write_reset(&reset, packet, tcp);
	__builtin_memcpy(address, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, address, ETH_ALEN);
	__builtin_memcpy(ethernet + 1, &reset, sizeof(reset));
	if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(*ethernet) + sizeof(reset)) - (int)(data_end - data)))
		return xdp_drop(DROP_INTERNAL);
	return XDP_TX;
}

static __always_inline int refuse_udp(struct xdp_md *ctx, const struct packet *packet)
{
	/* The quoted header stays where it is; what goes in front of it is the new Ethernet, IP and ICMP headers. */
	const int growth = sizeof(struct unreachable_headers) - 28;
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 offset = packet->transport_offset_bytes;
	struct unreachable_headers unreachable;
	struct ethhdr ethernet;
	__u8 address[ETH_ALEN];
	void *transport;

	if (offset > sizeof(ethernet) + 60 || data + sizeof(ethernet) + sizeof(struct iphdr) > data_end)
		return xdp_drop(DROP_INTERNAL);
	transport = data + offset;
	if (transport + 8 > data_end)
		return xdp_drop(DROP_INTERNAL);
	write_unreachable(&unreachable, packet, data + sizeof(ethernet), transport);
	__builtin_memcpy(&ethernet, data, sizeof(ethernet));
	__builtin_memcpy(address, ethernet.h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet.h_dest, ethernet.h_source, ETH_ALEN);
	__builtin_memcpy(ethernet.h_source, address, ETH_ALEN);

	if (bpf_xdp_adjust_head(ctx, -growth))
		return xdp_drop(DROP_INTERNAL);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(ethernet) + sizeof(unreachable) > data_end)
		return xdp_drop(DROP_INTERNAL);
	__builtin_memcpy(data, &ethernet, sizeof(ethernet));
	__builtin_memcpy(data + sizeof(ethernet), &unreachable, sizeof(unreachable));
	if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(ethernet) + sizeof(unreachable)) - (int)(data_end - data)))
		return xdp_drop(DROP_INTERNAL);
	return XDP_TX;
}

static __always_inline int refuse(struct xdp_md *ctx, const struct packet *packet)
{
	count_drop(DROP_NO_ENDPOINT);
	if (packet->tcp_flags & TCP_RST)
		return XDP_DROP;
	count(PACKETS_XDP_REFUSED);
	return packet->protocol == IPPROTO_TCP ? refuse_tcp(ctx, packet) : refuse_udp(ctx, packet);
}

/* A packet that a client sent to a frontend of ours. */
static __always_inline int balance(struct xdp_md *ctx, const struct packet *packet, __u32 frontend_slot)
{
	struct endpoint *endpoint;
	struct stamp stamp = {};
	__be32 vtep;

	endpoint = choose_endpoint(frontend_slot, packet, &stamp);
	if (!endpoint)
		return refuse(ctx, packet);
	if (endpoint->node == self_node) {
		void *data = (void *)(long)ctx->data;

		if (data + sizeof(struct ethhdr) > (void *)(long)ctx->data_end)
			return xdp_drop(DROP_INTERNAL);
		write_stamp(data, &stamp);
		count(PACKETS_XDP_TO_LOCAL_ENDPOINT);
		return XDP_PASS;
	}
	vtep = find_vtep(endpoint->node);
	if (!vtep)
		return xdp_drop(DROP_NODE_GONE);
	return encapsulate(ctx, packet, &stamp, vtep);
}

static __always_inline int is_mesh_address(__be32 address)
{
	return bpf_map_lookup_elem(&mesh_addresses, &address) != NULL;
}

/* A packet that came through the tunnel. Only nodes of the mesh may use it: the sender's slot and VTEP must match. */
static __always_inline int from_tunnel(struct xdp_md *ctx, const struct packet *outer)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const __u32 outer_bytes = TUNNEL_OVERHEAD_BYTES;
	struct packet inner = {};
	struct vxlan_header *vxlan;
	struct stamp stamp;
	__be32 vtep;
	int result;

	/* Other nodes of ours send no IP options, so the offsets are constant. */
	if (outer->transport_offset_bytes != sizeof(struct ethhdr) + sizeof(struct iphdr))
		return xdp_drop(DROP_MALFORMED_TUNNEL);
	if (data + outer_bytes + sizeof(struct ethhdr) > data_end ||
	    outer->ip_length_bytes < TUNNEL_OVERHEAD_BYTES + sizeof(struct iphdr))
		return xdp_drop(DROP_MALFORMED_TUNNEL);
	vxlan = data + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr);
	if (!(vxlan->flags & VXLAN_FLAG_VNI))
		return xdp_drop(DROP_MALFORMED_TUNNEL);
	if ((__u32)(vxlan->vni[0] << 16 | vxlan->vni[1] << 8 | vxlan->vni[2]) != tunnel_vni)
		goto pass;
	vtep = find_vtep(vxlan->sender[0] << 8 | vxlan->sender[1]);
	if (!vtep || vtep != outer->source || !is_stamped(data + outer_bytes))
		return xdp_drop(DROP_FORGED_TUNNEL);
	read_stamp(data + outer_bytes, &stamp);
	if (stamp.kind < STAMP_SERVE || stamp.kind > STAMP_DIRECT)
		return xdp_drop(DROP_MALFORMED_TUNNEL);

	result = parse_packet(data + outer_bytes, data_end, 1, &inner);
	/* Nothing but whole IPv4 packets is carried; of anything else no length was read. */
	if ((result == PARSE_OTHER && !inner.ip_length_bytes) ||
	    inner.ip_length_bytes + TUNNEL_OVERHEAD_BYTES > outer->ip_length_bytes)
		return xdp_drop(DROP_MALFORMED_TUNNEL);
	if (result == PARSE_MALFORMED_IP)
		return xdp_drop(DROP_MALFORMED_IP);
	if (result == PARSE_MALFORMED_TRANSPORT)
		return xdp_drop(DROP_MALFORMED_TRANSPORT);
	if (bpf_xdp_adjust_head(ctx, outer_bytes))
		return xdp_drop(DROP_INTERNAL);
	count(PACKETS_XDP_DECAPSULATED);
	if (stamp.kind != STAMP_REPLY || is_mesh_address(inner.destination))
		return XDP_PASS;
	count(PACKETS_XDP_RETURNED);
	return transmit(ctx, inner.source, inner.destination, inner.ip_length_bytes);
pass:
	/* Another tunnel's, on the same port: the kernel's own. */
	count(PACKETS_XDP_PASSED);
	return XDP_PASS;
}

SEC("xdp")
int uplink_xdp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct packet packet = {};
	__u32 frontend_slot;
	int result;

	count(PACKETS_XDP_SEEN);
	if (data + sizeof(struct ethhdr) > data_end)
		return xdp_drop(DROP_MALFORMED_IP);
	if (is_stamped(data))
		return xdp_drop(DROP_FORGED_STAMP);
	result = parse_packet(data, data_end, 1, &packet);
	if (result == PARSE_MALFORMED_IP)
		return xdp_drop(DROP_MALFORMED_IP);
	/* route_localnet is on, so that endpoints on 127.0.0.1 can be served; nobody outside may use it. */
	if (is_loopback(packet.destination) || is_loopback(packet.source))
		return xdp_drop(DROP_LOOPBACK_ON_WIRE);
	if (result == PARSE_MALFORMED_TRANSPORT)
		return xdp_drop(DROP_MALFORMED_TRANSPORT);
	if (result != PARSE_OK)
		goto pass;
	if (packet.destination == self_vtep && packet.protocol == IPPROTO_UDP && packet.destination_port == tunnel_port)
		return from_tunnel(ctx, &packet);
	frontend_slot = find_frontend_slot(&packet);
	if (frontend_slot)
		return balance(ctx, &packet, frontend_slot);
pass:
	count(PACKETS_XDP_PASSED);
	return XDP_PASS;
}
