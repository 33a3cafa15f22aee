/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The endpoint's node: a client's packet, with the stamp that says which endpoint it is for, becomes a packet to
 * that endpoint. Flow state is made and kept here and only here.
 */
#ifndef SHOAL_SERVE_H
#define SHOAL_SERVE_H

#include "flow.h"
#include "refuse_skb.h"

/* The bucket behind the packet, for its earlier owners; NULL if no frontend's table is behind it. */
static __always_inline struct bucket *stamped_bucket(const struct stamp *stamp, const struct packet *packet)
{
	struct frontend *frontend;

	if (!stamp->frontend)
		return NULL;
	frontend = bpf_map_lookup_elem(&frontends, &stamp->frontend);
	return frontend ? find_bucket(frontend, packet) : NULL;
}

/* Whether the node is known to have no flow for the packet. */
static __always_inline int was_asked(const struct stamp *stamp, __u32 node)
{
	return node < 8 && stamp->asked & 1 << node;
}

/*
 * The second hop (as in Unimog and GLB): no flow of this node's is known for the packet, so an earlier owner of its
 * bucket on another node may have it. The search goes on behind the owner that the packet was sent here for. For TCP
 * it then begins at the front, since for a moment this node's table may be older than the sender's, with the owner
 * that has the flow before the one that was asked. Nodes that were asked are left out, and passes are few, so nothing
 * loops. A UDP packet that nobody knew goes back to the current owner, which makes the flow. Fills in `next` and
 * returns the node; 0 if the search ends here, and `next` then names the current owner.
 */
static __always_inline __u32 second_hop(const struct stamp *stamp, const struct packet *packet, struct stamp *next)
{
	struct bucket *bucket = stamped_bucket(stamp, packet);
	struct endpoint *endpoint;
	int position = -1, index;
	__u32 owner;

	*next = *stamp;
	if (!bucket || stamp->hop >= STAMP_HOP_LIMIT)
		return 0;
	next->hop = stamp->hop + 1;
	if (self_node < 8)
		next->asked |= 1 << self_node;
#pragma unroll
	for (int i = 0; i < OWNERS_PER_BUCKET; i++) {
		if (bucket->owner[i] == stamp->slot)
			position = i;
	}
#pragma unroll
	for (int i = 1; i <= OWNERS_PER_BUCKET; i++) {
		index = position + i;
		if (index >= OWNERS_PER_BUCKET && packet->protocol != IPPROTO_TCP)
			break;
		owner = bucket->owner[index % OWNERS_PER_BUCKET];
		if (!owner || owner == stamp->slot)
			continue;
		endpoint = find_endpoint(owner);
		/* This node's own flows were asked already. */
		if (!endpoint || endpoint->node == self_node || was_asked(stamp, endpoint->node))
			continue;
		next->slot = owner;
		return endpoint->node;
	}
	if (packet->protocol == IPPROTO_TCP)
		return 0;
	owner = bucket->owner[0];
	next->slot = owner;
	endpoint = find_endpoint(owner);
	if (!endpoint || endpoint->node == self_node)
		return 0;
	next->hop = STAMP_HOP_FINAL;
	return endpoint->node;
}

/* Gives the packet to the endpoint of its flow, already translated. */
static __always_inline int deliver_to_endpoint(struct __sk_buff *skb, __u32 slot)
{
	struct endpoint *endpoint = find_endpoint(slot);

	if (!endpoint || endpoint->node != self_node)
		return skb_drop(DROP_ENDPOINT_GONE);
	count(PACKETS_SERVED);
	if (endpoint->kind == ENDPOINT_NAMESPACE)
		return deliver_to_namespace(skb, endpoint->ifindex, endpoint->mac);
	if (endpoint->kind == ENDPOINT_NAT)
		return bpf_redirect_neigh(endpoint->ifindex, NULL, 0, 0);
	return deliver_to_host(skb);
}

static __always_inline int forward_on_flow(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__be32 source = flow->source, destination = flow->destination;
	__be16 source_port = flow->source_port, destination_port = flow->destination_port;
	__u32 slot = flow->endpoint;

	if ((packet->tcp_flags & TCP_SYN) && clamp_mss(skb, packet))
		return skb_drop(DROP_INTERNAL);
	if (rewrite_end(skb, packet, 1, destination, destination_port) || rewrite_end(skb, packet, 0, source, source_port))
		return skb_drop(DROP_INTERNAL);
	return deliver_to_endpoint(skb, slot);
}

/* Whether the address is a node's own in the mesh: none but nodes can send from one. */
static __always_inline int is_node(__be32 address)
{
	return bpf_ntohl(address) - node_range_base <= node_range_mask;
}

static __always_inline int begin_flow(struct __sk_buff *skb, const struct packet *packet, const struct stamp *stamp)
{
	struct endpoint *endpoint = find_endpoint(stamp->slot);
	struct frontend *frontend = NULL;
	struct flow forward = {};
	int choose_port = 0;
	__u32 reason;

	if (stamp->frontend)
		frontend = bpf_map_lookup_elem(&frontends, &stamp->frontend);
	if (frontend && frontend->refuse)
		return refuse_skb(skb, packet, DROP_NO_ENDPOINT, stamp->node);
	/* Another node may know a new endpoint a moment before this one does: the client tries again. */
	if (!endpoint || endpoint->node != self_node)
		return skb_drop(DROP_ENDPOINT_GONE);
	forward.source = packet->source;
	forward.source_port = packet->source_port;
	forward.destination = endpoint->address;
	forward.destination_port = endpoint->port;
	if (frontend && frontend->target_port)
		forward.destination_port = frontend->target_port;
	else if (!stamp->frontend && is_node(packet->source))
		/* A node's own front end asks for the port that it means; attached namespaces get the endpoint's only. */
		forward.destination_port = packet->destination_port;
	forward.endpoint = stamp->slot;
	forward.node = stamp->node;
	forward.created_ns = bpf_ktime_get_ns();
	forward.packets = 1;
	forward.bytes = packet->ip_length_bytes;
	forward.last_seen_ns = forward.created_ns;
	forward.seen = packet->tcp_flags & TCP_SYN ? FLOW_SEEN_SYN : 0;
	if (endpoint->kind == ENDPOINT_NAT) {
		forward.source = self_vtep;
		choose_port = 1;
	} else if (endpoint->kind == ENDPOINT_HOST && packet->source == self_mesh_address) {
		/* The node talks to itself: only a source that is not its own comes back through the programs. */
		forward.source = hairpin_address;
		choose_port = 1;
	}
	reason = insert_flow(packet, &forward, choose_port);
	if (reason != DROP_NONE)
		return skb_drop(reason);
	return forward_on_flow(skb, packet, &forward);
}

static __always_inline int is_served_here(__u32 slot)
{
	struct endpoint *endpoint = find_endpoint(slot);

	return endpoint && endpoint->node == self_node;
}

SHARED_STEP int serve(struct __sk_buff *skb, const struct packet *packet, const struct stamp *stamp)
{
	struct flow_key key;
	struct stamp next;
	struct flow *flow;
	__u32 node;

	if (!packet || !stamp)
		return skb_drop(DROP_INTERNAL);
	next = *stamp;
	key = forward_key(packet);
	flow = bpf_map_lookup_elem(&flows, &key);
	/* A flow whose endpoint is gone is none: its packets begin anew, or are told so. */
	if (flow && is_served_here(flow->endpoint)) {
		struct flow *reverse = find_reverse(flow, packet->protocol);
		int begins_again = packet->protocol == IPPROTO_TCP && starts_connection(packet);

		if (reverse && !(begins_again && is_finished(flow, reverse))) {
			touch_flow(flow, packet);
			/* The client's packets come through another node now, and so must the replies. */
			if (reverse->node != stamp->node) {
				flow->node = stamp->node;
				reverse->node = stamp->node;
			}
			return forward_on_flow(skb, packet, flow);
		}
	}
	if (packet->protocol != IPPROTO_TCP || !starts_connection(packet)) {
		node = second_hop(stamp, packet, &next);
		if (node) {
			count(PACKETS_SECOND_HOP);
			return tunnel_to_node(skb, packet, &next, node);
		}
		if (packet->protocol == IPPROTO_TCP)
			return refuse_skb(skb, packet, DROP_NO_FLOW, stamp->node);
	}
	return begin_flow(skb, packet, &next);
}

/* A packet that an endpoint sent on a flow: translated back, and on its way to the client. */
static __always_inline int translate_reply(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	touch_flow(flow, packet);
	if ((packet->tcp_flags & TCP_SYN) && clamp_mss(skb, packet))
		return -1;
	if (rewrite_end(skb, packet, 0, flow->source, flow->source_port) ||
	    rewrite_end(skb, packet, 1, flow->destination, flow->destination_port))
		return -1;
	packet->source = flow->source;
	packet->source_port = flow->source_port;
	packet->destination = flow->destination;
	packet->destination_port = flow->destination_port;
	return 0;
}

#endif
