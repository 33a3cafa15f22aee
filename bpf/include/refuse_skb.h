/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Refusals from the tcx hooks: the skb becomes the reset or the ICMP error and goes back to the client. */
#ifndef SHOAL_REFUSE_SKB_H
#define SHOAL_REFUSE_SKB_H

#include "refuse.h"
#include "skb.h"

/* `node` is the one that the client's packet came through. Counts `reason`. */
static __always_inline int refuse_skb(struct __sk_buff *skb, const struct packet *packet, __u32 reason, __u32 node)
{
	struct packet answer = *packet;
	struct tcphdr tcp = {};

	count_drop(reason);
	answer.source = packet->destination;
	answer.destination = packet->source;
	answer.source_port = packet->destination_port;
	answer.destination_port = packet->source_port;
	answer.tcp_flags = 0;
	if (packet->protocol == IPPROTO_TCP) {
		struct reset_headers reset;

		if (packet->tcp_flags & TCP_RST)
			return TC_ACT_SHOT;
		if (bpf_skb_load_bytes(skb, packet->transport_offset_bytes, &tcp, sizeof(tcp)))
			return skb_drop(DROP_INTERNAL);
		write_reset(&reset, packet, &tcp);
		if (bpf_skb_change_tail(skb, IP_OFFSET + sizeof(reset), 0) || bpf_skb_store_bytes(skb, IP_OFFSET, &reset, sizeof(reset), 0))
			return skb_drop(DROP_INTERNAL);
		answer.ip_length_bytes = sizeof(reset);
	} else {
		struct unreachable_headers unreachable;
		struct iphdr quoted = {};
		__u8 transport[8] = {};

		if (bpf_skb_load_bytes(skb, IP_OFFSET, &quoted, sizeof(quoted)) ||
		    bpf_skb_load_bytes(skb, packet->transport_offset_bytes, transport, sizeof(transport)))
			return skb_drop(DROP_INTERNAL);
		write_unreachable(&unreachable, packet, &quoted, transport);
		if (bpf_skb_change_tail(skb, IP_OFFSET + sizeof(unreachable), 0) ||
		    bpf_skb_store_bytes(skb, IP_OFFSET, &unreachable, sizeof(unreachable), 0))
			return skb_drop(DROP_INTERNAL);
		answer.ip_length_bytes = sizeof(unreachable);
	}
	return return_to_client(skb, &answer, node);
}

#endif
