/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map. The agent sets the sizes before load; those here are what a small cluster needs. All are pinned. */
#ifndef SHOAL_MAPS_H
#define SHOAL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

/* Address, port and protocol -> frontend slot. Asked once for every packet that arrives: a miss is not ours. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct frontend_key);
	__type(value, __u32);
} frontend_slots SEC(".maps");

/* By frontend slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct frontend);
} frontends SEC(".maps");

/* The Maglev tables of all frontends, one after the other. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1048576);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

/* By endpoint slot, the same slots on every node. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* By node slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct node);
} nodes SEC(".maps");

/*
 * By a hash of the destination: next hops that were looked up a moment ago. Written by uplink_xdp only, each CPU its
 * own, so that no entry is ever read half written.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

/* Addresses of attached namespaces and of the nodes themselves, network order. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __be32);
	__type(value, struct mesh_address);
} mesh_addresses SEC(".maps");

/* Connections whose endpoint lives on this node, two entries each. Written by the programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* By enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, enum drop_reason);
	__type(value, __u64);
} drops SEC(".maps");

/* By enum packet_counter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PACKETS_COUNTERS);
	__type(key, enum packet_counter);
	__type(value, __u64);
} packets SEC(".maps");

#endif
