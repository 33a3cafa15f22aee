/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The Internet checksum (RFC 1071) over short headers. */
#ifndef SHOAL_CHECKSUM_H
#define SHOAL_CHECKSUM_H

#include <linux/ip.h>
#include <linux/types.h>

static __always_inline __u16 fold_checksum(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Sum of `length_bytes` (an even constant) at `data`, not folded. */
static __always_inline __u64 sum_words(const void *data, __u32 length_bytes)
{
	const __u16 *word = data;
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < length_bytes / 2; i++)
		sum += word[i];
	return sum;
}

/* Of a header without options whose check field is 0. */
static __always_inline __u16 ip_header_checksum(const struct iphdr *ip)
{
	return fold_checksum(sum_words(ip, sizeof(*ip)));
}

#endif
