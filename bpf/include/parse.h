/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A cursor over the frame, and the one parser of Ethernet, IPv4, TCP and UDP that all hooks use. */
#ifndef SHOAL_PARSE_H
#define SHOAL_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Bits of the 14th byte of a TCP header (RFC 9293, 3.1). */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_FRAGMENTS 0x2000
#define IP_OFFSET_MASK 0x1fff

enum parse_result {
	PARSE_OK = 0,
	/* Not IPv4, or neither TCP nor UDP: none of our business. */
	PARSE_OTHER,
	/* A fragment: the ports are in the first one only. */
	PARSE_FRAGMENT,
	PARSE_MALFORMED_IP,
	PARSE_MALFORMED_TRANSPORT,
};

/* What the hooks need of a packet, by value, so that it stays valid when the frame is moved. */
struct packet {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	/* Total length of the IP packet, bytes, as its header says. */
	__u16 ip_length_bytes;
	/* Of the TCP or UDP header, from the start of the frame, bytes. */
	__u16 transport_offset_bytes;
	__u8 protocol;
	__u8 type_of_service;
	/* 0 for UDP. */
	__u8 tcp_flags;
	__u8 reserved;
};

/*
 * Reads the frame from `data`. Lengths are checked against the frame where the headers claim more than there is;
 * with `in_frame` 0 only against each other, for an skb whose payload is not all in the linear part.
 */
static __always_inline enum parse_result parse_packet(void *data, void *data_end, int in_frame, struct packet *packet)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	__u32 header_bytes, length;
	__u16 fragment;
	void *transport;

	if ((void *)(ethernet + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return PARSE_OTHER;
	if ((void *)(ip + 1) > data_end)
		return PARSE_MALFORMED_IP;
	header_bytes = ip->ihl * 4;
	length = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_bytes < sizeof(*ip) || length < header_bytes)
		return PARSE_MALFORMED_IP;
	if (in_frame && (void *)ip + length > data_end)
		return PARSE_MALFORMED_IP;

	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	packet->type_of_service = ip->tos;
	packet->ip_length_bytes = length;
	packet->transport_offset_bytes = sizeof(*ethernet) + header_bytes;
	packet->tcp_flags = 0;
	packet->reserved = 0;
	packet->source_port = 0;
	packet->destination_port = 0;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return PARSE_OTHER;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & (IP_MORE_FRAGMENTS | IP_OFFSET_MASK))
		return PARSE_FRAGMENT;

	transport = (void *)ip + header_bytes;
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > data_end || tcp->doff < 5 || header_bytes + tcp->doff * 4 > length)
			return PARSE_MALFORMED_TRANSPORT;
		packet->source_port = tcp->source;
		packet->destination_port = tcp->dest;
		packet->tcp_flags = ((__u8 *)tcp)[13];
	} else {
		struct udphdr *udp = transport;
		__u32 udp_length;

		if ((void *)(udp + 1) > data_end)
			return PARSE_MALFORMED_TRANSPORT;
		udp_length = bpf_ntohs(udp->len);
		if (udp_length < sizeof(*udp) || header_bytes + udp_length > length)
			return PARSE_MALFORMED_TRANSPORT;
		packet->source_port = udp->source;
		packet->destination_port = udp->dest;
	}
	return PARSE_OK;
}

/* A packet that may begin a connection. UDP has no beginning: every packet may. */
static __always_inline int starts_connection(const struct packet *packet)
{
	return packet->protocol != IPPROTO_TCP || (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static __always_inline int is_loopback(__be32 address)
{
	return (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

#endif
