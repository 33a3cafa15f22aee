/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A program that passes everything. A veth takes in what its peer sends by XDP_TX only while it has an XDP program
 * of its own, so the switch's ports of a lab carry this one. A NIC on a wire needs nothing of the kind.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int wire(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
