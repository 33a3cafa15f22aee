/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow table of the endpoint's node: who is talking to which endpoint, and how their packets are rewritten. */
#ifndef SHOAL_FLOW_H
#define SHOAL_FLOW_H

#include <stddef.h>
#include "skb.h"

/* Tries to find a free port before NAT gives up. */
#define NAT_PORT_TRIES 16

static __always_inline struct flow_key forward_key(const struct packet *packet)
{
	return (struct flow_key){
		.client = packet->source,
		.server = packet->destination,
		.client_port = packet->source_port,
		.server_port = packet->destination_port,
		.protocol = packet->protocol,
		.direction = FLOW_FORWARD,
	};
}

/* The key of a packet that an endpoint sent, or of the reply to a packet that is about to look like `flow` says. */
static __always_inline struct flow_key reply_key(__be32 client, __be16 client_port, __be32 server, __be16 server_port, __u8 protocol)
{
	return (struct flow_key){
		.client = client,
		.server = server,
		.client_port = client_port,
		.server_port = server_port,
		.protocol = protocol,
		.direction = FLOW_REPLY,
	};
}

static __always_inline struct flow *find_reply_flow(const struct packet *packet)
{
	struct flow_key key = reply_key(packet->destination, packet->destination_port, packet->source, packet->source_port,
					packet->protocol);

	return bpf_map_lookup_elem(&flows, &key);
}

static __always_inline struct flow *find_reverse(const struct flow *forward, __u8 protocol)
{
	struct flow_key key = reply_key(forward->source, forward->source_port, forward->destination, forward->destination_port,
					protocol);

	return bpf_map_lookup_elem(&flows, &key);
}

/* Counts the packet into its direction of the flow. Concurrent packets may lose a count, never a bit that matters. */
static __always_inline void touch_flow(struct flow *flow, const struct packet *packet)
{
	__u32 seen = 0;

	if (packet->tcp_flags & TCP_SYN)
		seen |= FLOW_SEEN_SYN;
	if (packet->tcp_flags & TCP_ACK)
		seen |= FLOW_SEEN_ACK;
	if (packet->tcp_flags & TCP_FIN)
		seen |= FLOW_SEEN_FIN;
	if (packet->tcp_flags & TCP_RST)
		seen |= FLOW_SEEN_RST;
	if ((flow->seen & seen) != seen)
		flow->seen |= seen;
	flow->packets += 1;
	flow->bytes += packet->ip_length_bytes;
	flow->last_seen_ns = bpf_ktime_get_ns();
}

/* Nothing more is expected of a connection that one side reset or that both sides have finished. */
static __always_inline int is_finished(const struct flow *forward, const struct flow *reverse)
{
	return ((forward->seen | reverse->seen) & FLOW_SEEN_RST) || (forward->seen & reverse->seen & FLOW_SEEN_FIN);
}

/*
 * Whether a new flow may take over the reply entry `existing` under `key`: it is of the same client and frontend, or
 * all that is left of a connection that has ended. The forward entry of such a one is deleted too.
 */
static __always_inline int may_replace(const struct flow *existing, const struct flow *reply, const struct flow_key *key)
{
	struct flow_key theirs = {
		.client = existing->destination,
		.server = existing->source,
		.client_port = existing->destination_port,
		.server_port = existing->source_port,
		.protocol = key->protocol,
		.direction = FLOW_FORWARD,
	};
	struct flow *partner;

	if (existing->source == reply->source && existing->source_port == reply->source_port &&
	    existing->destination == reply->destination && existing->destination_port == reply->destination_port)
		return 1;
	partner = bpf_map_lookup_elem(&flows, &theirs);
	/* Under the same client and frontend another connection may have begun since, with another reply entry. */
	if (!partner || partner->source != key->client || partner->source_port != key->client_port ||
	    partner->destination != key->server || partner->destination_port != key->server_port)
		return 1;
	if (!is_finished(partner, existing))
		return 0;
	bpf_map_delete_elem(&flows, &theirs);
	return 1;
}

/*
 * Makes both entries of a new flow. The source in `forward` is the client's address and port, or the node's address
 * where the endpoint is reached by NAT: then the port is chosen here, as it is where the client's own is taken.
 * Returns a drop reason, or DROP_NONE.
 */
static __always_inline __u32 insert_flow(const struct packet *packet, struct flow *forward, int choose_port)
{
	struct flow_key key = forward_key(packet);
	struct flow reply = {
		.source = packet->destination,
		.source_port = packet->destination_port,
		.destination = packet->source,
		.destination_port = packet->source_port,
		.endpoint = forward->endpoint,
		.node = forward->node,
		.created_ns = forward->created_ns,
		.last_seen_ns = forward->created_ns,
	};
	__u32 first = flow_hash(packet);
	long result = -1;

	for (int i = 0; i < NAT_PORT_TRIES; i++) {
		struct flow_key back;
		struct flow *existing;

		if (choose_port)
			forward->source_port = bpf_htons(nat_port_first + (first + i * 7919) % nat_port_count);
		back = reply_key(forward->source, forward->source_port, forward->destination, forward->destination_port, packet->protocol);
		result = bpf_map_update_elem(&flows, &back, &reply, BPF_NOEXIST);
		if (!result)
			break;
		existing = bpf_map_lookup_elem(&flows, &back);
		if (!existing)
			return DROP_FLOW_TABLE_FULL;
		if (may_replace(existing, &reply, &back)) {
			result = bpf_map_update_elem(&flows, &back, &reply, BPF_ANY);
			break;
		}
		/* Two connections that would look the same behind one endpoint: the later one gets another port. */
		choose_port = 1;
	}
	if (result)
		return DROP_NAT_PORTS_EXHAUSTED;
	if (bpf_map_update_elem(&flows, &key, forward, BPF_ANY))
		return DROP_FLOW_TABLE_FULL;
	count(PACKETS_FLOWS_CREATED);
	return DROP_NONE;
}

#endif
