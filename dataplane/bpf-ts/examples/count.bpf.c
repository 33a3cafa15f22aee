// SPDX-License-Identifier: Apache-2.0
// Counts the packets of each IP protocol, and passes them all.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct count);
	__uint(max_entries, 256);
} counts SEC(".maps");

/* Packets of this length and above are counted; set before loading. */
const volatile __u32 min_bytes = 0;

SEC("xdp")
int count_packets(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	__u32 protocol = ip->protocol, length = end - data;
	struct count *count = bpf_map_lookup_elem(&counts, &protocol);
	if (count && length >= min_bytes) {
		count->packets++;
		count->bytes += length;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
