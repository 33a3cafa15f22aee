/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * tcx, egress of the uplink: what the node's own sockets send. A reply of an endpoint on this node gets the
 * frontend's address back, and leaves through the node that its client uses; all else passes.
 */
#include "include/serve.h"

SEC("tc")
int uplink_egress(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow *flow = NULL;
	__u32 node;
	int result;

	result = parse_skb(skb, &packet);
	/* Our own tunnel, on its way out: no client, which may use the same port, is at such a pair of ports. */
	if (packet.protocol == IPPROTO_UDP && packet.destination_port == tunnel_port && packet.source == self_vtep &&
	    bpf_ntohs(packet.source_port) >= TUNNEL_SOURCE_PORT_FIRST)
		return VERDICT_NEXT;
	if (result == PARSE_OK)
		flow = find_reply_flow(&packet);
	if (!flow) {
		/* A reply that cannot be translated, a fragment for one, must not show the endpoint's own address. */
		if (is_loopback(packet.source))
			return skb_drop(result == PARSE_FRAGMENT ? DROP_FRAGMENT : DROP_LOOPBACK_ON_WIRE);
		return VERDICT_NEXT;
	}
	node = flow->node;
	if (translate_reply(skb, &packet, flow))
		return skb_drop(DROP_INTERNAL);
	if (node == self_node) {
		/* Already on its way to the client: nothing but the addresses had to change. */
		count(PACKETS_REPLIES_DIRECT);
		return VERDICT_NEXT;
	}
	return return_to_client(skb, &packet, node);
}
