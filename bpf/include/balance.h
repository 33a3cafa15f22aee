/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a packet to the endpoint that gets it: frontend, bucket, owner. No state is kept. */
#ifndef SHOAL_BALANCE_H
#define SHOAL_BALANCE_H

#include "config.h"
#include "maps.h"
#include "parse.h"
#include "stamp.h"

/* 64-bit multiply and xor-shift over the 5-tuple; dataplane/flow-hash.ts computes the same. */
static __always_inline __u32 flow_hash(const struct packet *packet)
{
	__u64 hash = hash_seed ^ ((__u64)bpf_ntohl(packet->source) << 32 | bpf_ntohl(packet->destination));

	hash *= 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	hash += (__u64)packet->protocol << 32 | (__u32)bpf_ntohs(packet->source_port) << 16 |
		bpf_ntohs(packet->destination_port);
	hash *= 0xd6e8feb86659fd93ULL;
	hash ^= hash >> 32;
	return (__u32)hash;
}

/* The slot of the frontend that the packet is for, or 0 if it is for none of ours. */
static __always_inline __u32 find_frontend_slot(const struct packet *packet)
{
	struct frontend_key key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	__u32 *slot = bpf_map_lookup_elem(&frontend_slots, &key);

	return slot ? *slot : 0;
}

static __always_inline struct bucket *find_bucket(const struct frontend *frontend, const struct packet *packet)
{
	__u32 index = frontend->bucket_base + (flow_hash(packet) & frontend->bucket_mask);

	return bpf_map_lookup_elem(&buckets, &index);
}

/* The endpoint that the frontend gives this packet, or NULL if it must be refused. Writes the stamp. */
static __always_inline struct endpoint *choose_endpoint(__u32 frontend_slot, const struct packet *packet, struct stamp *stamp)
{
	struct frontend *frontend = bpf_map_lookup_elem(&frontends, &frontend_slot);
	struct endpoint *endpoint;
	struct bucket *bucket;
	__u32 owner;

	if (!frontend)
		return NULL;
	/* Open connections of endpoints that take no new ones go on. */
	if (frontend->refuse && packet->protocol == IPPROTO_TCP && starts_connection(packet))
		return NULL;
	bucket = find_bucket(frontend, packet);
	if (!bucket)
		return NULL;
	owner = bucket->owner[0];
	endpoint = bpf_map_lookup_elem(&endpoints, &owner);
	if (!endpoint || endpoint->kind == ENDPOINT_NONE)
		return NULL;
	stamp->kind = STAMP_SERVE;
	stamp->hop = 0;
	stamp->slot = owner;
	stamp->frontend = frontend_slot;
	stamp->node = self_node;
	return endpoint;
}

static __always_inline struct endpoint *find_endpoint(__u32 slot)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

	return endpoint && endpoint->kind != ENDPOINT_NONE ? endpoint : NULL;
}

#endif
