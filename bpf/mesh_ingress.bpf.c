/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * tcx, ingress of the host's end of every veth of ours: what an attached namespace sends, or the node itself
 * through its own mesh device. Replies are translated back; packets to a frontend are balanced right here, since
 * this node is their ingress; packets to an address of the mesh are delivered.
 */
#include "include/serve.h"

/* The endpoint whose own mesh address this is, 0 if it is none. */
static __always_inline __u32 addressed_endpoint(__be32 destination)
{
	__u32 offset = bpf_ntohl(destination) - endpoint_range_base;

	return offset <= endpoint_range_mask ? offset : 0;
}

/* A namespace may send only from its own address, the node only through its own mesh device. */
static __always_inline int is_own_source(struct __sk_buff *skb, const struct packet *packet)
{
	struct mesh_address *address;

	if (packet->source == self_mesh_address)
		return skb->ifindex == mesh_ifindex;
	address = bpf_map_lookup_elem(&mesh_addresses, &packet->source);
	if (!address || address->node != self_node)
		return 0;
	return skb->ifindex == (address->ifindex ? address->ifindex : mesh_ifindex);
}

/* A reply counts as the endpoint's only if it comes out of the device behind which that endpoint is. */
static __always_inline int is_sent_by_endpoint(struct __sk_buff *skb, const struct flow *flow)
{
	struct endpoint *endpoint = find_endpoint(flow->endpoint);

	if (!endpoint || endpoint->node != self_node)
		return 0;
	return skb->ifindex == (endpoint->kind == ENDPOINT_NAMESPACE ? endpoint->ifindex : mesh_ifindex);
}

static __always_inline int hand_to_owner(struct __sk_buff *skb, const struct packet *packet, const struct stamp *stamp,
					 const struct endpoint *endpoint)
{
	if (endpoint->node == self_node)
		return serve(skb, packet, stamp);
	return tunnel_to_node(skb, packet, stamp, endpoint->node);
}

SEC("tc")
int mesh_ingress(struct __sk_buff *skb)
{
	struct stamp stamp = { .kind = STAMP_SERVE, .node = self_node };
	struct mesh_address *address;
	struct endpoint *endpoint;
	struct packet packet = {};
	__u32 frontend_slot, node;
	struct flow *flow;
	int result;

	result = parse_skb(skb, &packet);
	if (count_malformed(result))
		return TC_ACT_SHOT;
	if (result == PARSE_FRAGMENT)
		return skb_drop(DROP_FRAGMENT);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return skb_drop(DROP_NO_ROUTE);
	count(PACKETS_FROM_MESH);
	if (result == PARSE_OK) {
		flow = find_reply_flow(&packet);
		if (flow && is_sent_by_endpoint(skb, flow)) {
			node = flow->node;
			if (translate_reply(skb, &packet, flow))
				return skb_drop(DROP_INTERNAL);
			return return_to_client(skb, &packet, node);
		}
	}
	if (!is_own_source(skb, &packet))
		return skb_drop(DROP_SPOOFED_SOURCE);
	if (result == PARSE_OK) {
		frontend_slot = find_frontend_slot(&packet);
		if (frontend_slot) {
			endpoint = choose_endpoint(frontend_slot, &packet, &stamp);
			if (endpoint)
				return hand_to_owner(skb, &packet, &stamp, endpoint);
			/* Nobody to give it to: it is refused here. */
			stamp.frontend = frontend_slot;
			return serve(skb, &packet, &stamp);
		}
		stamp.slot = addressed_endpoint(packet.destination);
		endpoint = stamp.slot ? find_endpoint(stamp.slot) : NULL;
		if (endpoint)
			return hand_to_owner(skb, &packet, &stamp, endpoint);
	}
	address = bpf_map_lookup_elem(&mesh_addresses, &packet.destination);
	if (!address)
		return skb_drop(DROP_NO_ROUTE);
	if (address->node == self_node)
		return deliver_to_mesh(skb, address);
	stamp.kind = STAMP_DIRECT;
	stamp.slot = 0;
	return tunnel_to_node(skb, &packet, &stamp, address->node);
}
