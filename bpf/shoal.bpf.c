/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The one object that the agent loads: every hook, sharing every map. Each hook has a file of its own. */
#include "uplink_xdp.bpf.c"
#include "uplink_ingress.bpf.c"
#include "uplink_egress.bpf.c"
#include "mesh_ingress.bpf.c"

char _license[] SEC("license") = "Dual BSD/GPL";
