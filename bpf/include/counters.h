/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* No drop is silent and every path is counted, per CPU. */
#ifndef SHOAL_COUNTERS_H
#define SHOAL_COUNTERS_H

#include "maps.h"

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&packets, &counter);

	if (value)
		*value += 1;
}

static __always_inline void count_drop(__u32 reason)
{
	__u64 *value = bpf_map_lookup_elem(&drops, &reason);

	if (value)
		*value += 1;
}

#endif
