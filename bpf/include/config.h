/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Constants of this node that the agent sets before load; the verifier then removes what they rule out. */
#ifndef SHOAL_CONFIG_H
#define SHOAL_CONFIG_H

#include <linux/types.h>

/* Slot and tunnel address (network order) of this node. */
const volatile __u32 self_node = 0;
const volatile __be32 self_vtep = 0;
/* This node's own address in the mesh, network order. */
const volatile __be32 self_mesh_address = 0;
/* Source of connections that the node itself makes to an endpoint of its own, network order. */
const volatile __be32 hairpin_address = 0;

/* The tunnel: UDP port (network order) and VNI of RFC 7348. */
const volatile __be16 tunnel_port = 0;
const volatile __u32 tunnel_vni = 0;

const volatile __u32 uplink_ifindex = 0;
/* The far end of the node's own mesh device. */
const volatile __u32 mesh_ifindex = 0;
/* Largest IP packet of the uplink, bytes. */
const volatile __u32 uplink_mtu_bytes = 1500;

/* The range that nodes' mesh addresses come from, host order: base + node slot. */
const volatile __u32 node_range_base = 0;
const volatile __u32 node_range_mask = 0;
/* The range that endpoints' own mesh addresses come from, host order: base + endpoint slot. */
const volatile __u32 endpoint_range_base = 0;
const volatile __u32 endpoint_range_mask = 0;

/* Ports (host order) that NAT to plain addresses takes on this node's address. */
const volatile __u32 nat_port_first = 61000;
const volatile __u32 nat_port_count = 4536;

/* One per cluster, so that all nodes pick the same bucket and no outsider can predict it. */
const volatile __u64 hash_seed = 0;

#endif
