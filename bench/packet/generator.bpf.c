/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Measuring nanoseconds per packet with BPF_PROG_TEST_RUN and `repeat`: from the second round on, a program would get
 * what it made of the packet in the round before. So this one runs first in every round: it undoes what the program
 * under test did to the frame's size, writes the headers anew, varies the flow where asked, and tail-calls the program
 * under test. Floors to compare with stand below.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SHORT_BYTES 64
#define LONG_BYTES 128

struct packet_template {
	__u8 bytes[LONG_BYTES];
	__u32 length_bytes;
	/* SHORT_BYTES or LONG_BYTES of `bytes` are written in every round. */
	__u32 written_bytes;
	/* Of the number of flows that come in turn: that number - 1; 0 for one flow. */
	__u32 flow_mask;
	__u32 reserved;
};

/* The packet to make. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet_template);
} template SEC(".maps");

/* The program under test. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

__u64 rounds;

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct packet_template *packet;
	void *data, *data_end;
	__u32 zero = 0;
	long surplus;

	packet = bpf_map_lookup_elem(&template, &zero);
	if (!packet)
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	surplus = data_end - data - packet->length_bytes;
	if (surplus && bpf_xdp_adjust_head(ctx, surplus))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + SHORT_BYTES > data_end)
		return XDP_ABORTED;
	__builtin_memcpy(data, packet->bytes, SHORT_BYTES);
	if (packet->written_bytes == LONG_BYTES) {
		if (data + LONG_BYTES > data_end)
			return XDP_ABORTED;
		__builtin_memcpy(data + SHORT_BYTES, packet->bytes + SHORT_BYTES, LONG_BYTES - SHORT_BYTES);
	}
	if (packet->flow_mask) {
		__u32 flow = (__u32)(rounds++ * 2654435761U) & packet->flow_mask;
		struct iphdr *ip = data + sizeof(struct ethhdr);
		__be16 *port = (void *)(ip + 1);

		/* The address takes the low 16 bits, the port the rest; no program checks the client's checksums. */
		ip->saddr ^= bpf_htonl(flow & 0xffff);
		*port ^= bpf_htons(flow >> 16);
	}
	bpf_tail_call(ctx, &under_test, 0);
	return XDP_ABORTED;
}

/* Floor: what the generator itself costs. */
SEC("xdp")
int floor_transmit(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* Floor: parse Ethernet, IPv4 and TCP, swap the Ethernet addresses. The unit of every table. */
SEC("xdp")
int floor_parse(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u8 address[ETH_ALEN];

	if ((void *)(tcp + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	__builtin_memcpy(address, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, address, ETH_ALEN);
	return XDP_TX;
}

/* Floor: make room for a tunnel's headers and write them, with no look-up at all. */
SEC("xdp")
int floor_encapsulate(struct xdp_md *ctx)
{
	void *data, *data_end;

	if (bpf_xdp_adjust_head(ctx, -50))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + 64 > data_end)
		return XDP_ABORTED;
	__builtin_memset(data, 0, 64);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
