/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * tcx, ingress of the uplink: what uplink_xdp passed up.
 *
 * - Stamped packets: a client's, to serve; a reply or a mesh packet, to deliver; a complete one, to transmit.
 * - Replies of plain addresses to the ports of NAT.
 * - Anything else goes to the stack.
 */
#include "include/serve.h"

static __always_inline int is_nat_port(__be16 port)
{
	__u32 offset = bpf_ntohs(port) - nat_port_first;

	return offset < nat_port_count;
}

static __always_inline int from_plain_address(struct __sk_buff *skb, struct packet *packet)
{
	struct flow *flow = find_reply_flow(packet);
	__u32 node;

	if (!flow)
		return VERDICT_NEXT;
	node = flow->node;
	if (translate_reply(skb, packet, flow))
		return skb_drop(DROP_INTERNAL);
	return return_to_client(skb, packet, node);
}

SEC("tc")
int uplink_ingress(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	struct mesh_address *address;
	struct packet packet = {};
	struct stamp stamp;
	int result;

	if (data + sizeof(struct ethhdr) > data_end)
		return VERDICT_NEXT;
	if (!is_stamped(data)) {
		result = parse_skb(skb, &packet);
		/* Also under a priority tag, which uplink_xdp does not look behind. */
		if (is_loopback(packet.destination) || is_loopback(packet.source))
			return skb_drop(DROP_LOOPBACK_ON_WIRE);
		if (result != PARSE_OK || packet.destination != self_vtep || !is_nat_port(packet.destination_port))
			return VERDICT_NEXT;
		return from_plain_address(skb, &packet);
	}
	read_stamp(data, &stamp);
	if (stamp.kind == STAMP_TRANSMIT)
		return bpf_redirect_neigh(uplink_ifindex, NULL, 0, 0);
	result = parse_skb(skb, &packet);
	if (count_malformed(result))
		return TC_ACT_SHOT;
	if (stamp.kind == STAMP_SERVE)
		return result == PARSE_OK ? serve(skb, &packet, &stamp) :
		       skb_drop(result == PARSE_FRAGMENT ? DROP_FRAGMENT : DROP_MALFORMED_TUNNEL);
	if (stamp.kind == STAMP_REPLY)
		return deliver_to_client(skb, &packet);
	address = bpf_map_lookup_elem(&mesh_addresses, &packet.destination);
	return address ? deliver_to_mesh(skb, address) : skb_drop(DROP_NO_ROUTE);
}
