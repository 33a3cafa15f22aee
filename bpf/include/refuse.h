/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Refusals: what a host without a listener would answer, so that a client learns at once. TCP gets a reset
 * (RFC 9293, 3.10.7.1), UDP an ICMP port unreachable (RFC 792) that quotes the IP header and eight bytes.
 * The headers are built on the stack and the hooks put them in the frame's place.
 */
#ifndef SHOAL_REFUSE_H
#define SHOAL_REFUSE_H

#include "checksum.h"
#include "parse.h"

struct reset_headers {
	struct iphdr ip;
	struct tcphdr tcp;
};

struct unreachable_headers {
	struct iphdr ip;
	__u8 type;
	__u8 code;
	__u16 check;
	__u32 unused;
	/* Of the packet refused. */
	struct iphdr quoted_ip;
	__u8 quoted_transport[8];
} __attribute__((packed, aligned(4)));

#define ICMP_DESTINATION_UNREACHABLE 3
#define ICMP_PORT_UNREACHABLE 3

static __always_inline void write_refusal_ip(struct iphdr *ip, const struct packet *packet, __u8 protocol, __u32 length_bytes)
{
	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = bpf_htons(length_bytes),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = 64,
		.protocol = protocol,
		.saddr = packet->destination,
		.daddr = packet->source,
	};
	ip->check = ip_header_checksum(ip);
}

/* `tcp` is the header of the packet refused, a copy or in the frame. */
static __always_inline void write_reset(struct reset_headers *reset, const struct packet *packet, const struct tcphdr *tcp)
{
	__u32 payload = packet->ip_length_bytes - (packet->transport_offset_bytes - sizeof(struct ethhdr)) - tcp->doff * 4;
	__u8 flags = packet->tcp_flags;
	__u64 sum;

	write_refusal_ip(&reset->ip, packet, IPPROTO_TCP, sizeof(*reset));
	reset->tcp = (struct tcphdr){
		.source = packet->destination_port,
		.dest = packet->source_port,
		.doff = 5,
		.rst = 1,
	};
	if (flags & TCP_ACK) {
		reset->tcp.seq = tcp->ack_seq;
	} else {
		reset->tcp.ack = 1;
		reset->tcp.ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + payload + !!(flags & TCP_SYN) + !!(flags & TCP_FIN));
	}
	sum = sum_words(&reset->tcp, sizeof(reset->tcp));
	sum += (__u64)packet->source + packet->destination + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(reset->tcp));
	reset->tcp.check = fold_checksum(sum);
}

/* `quoted` is the IP header (its first 20 bytes) and `transport` the first eight bytes behind it. */
static __always_inline void write_unreachable(struct unreachable_headers *unreachable, const struct packet *packet,
					      const struct iphdr *quoted, const void *transport)
{
	write_refusal_ip(&unreachable->ip, packet, IPPROTO_ICMP, sizeof(*unreachable));
	unreachable->type = ICMP_DESTINATION_UNREACHABLE;
	unreachable->code = ICMP_PORT_UNREACHABLE;
	unreachable->check = 0;
	unreachable->unused = 0;
	unreachable->quoted_ip = *quoted;
	/* The quote leaves out options, and says so. */
	unreachable->quoted_ip.ihl = 5;
	unreachable->quoted_ip.tot_len = bpf_htons(packet->ip_length_bytes - (quoted->ihl * 4 - sizeof(*quoted)));
	unreachable->quoted_ip.check = 0;
	unreachable->quoted_ip.check = ip_header_checksum(&unreachable->quoted_ip);
	__builtin_memcpy(unreachable->quoted_transport, transport, sizeof(unreachable->quoted_transport));
	unreachable->check = fold_checksum(sum_words(&unreachable->type, sizeof(*unreachable) - sizeof(unreachable->ip)));
}

#endif
