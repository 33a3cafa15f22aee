/** Which node serves an address that no agent is next to: the same answer on every node, without talking. */

/** Mixes 32 bits so that every input bit reaches every output bit (the finaliser of MurmurHash3). */
function mix(hash: number): number {
  let value = hash;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** FNV-1a over the UTF-16 units of `text`, going on from `hash`. */
function fnv1a(text: string, hash: number): number {
  let value = hash;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    value = Math.imul(value ^ (unit & 0xff), 0x01000193);
    value = Math.imul(value ^ (unit >>> 8), 0x01000193);
  }
  return value >>> 0;
}

/** 32-bit weight of a node for an endpoint. The ids are hashed with a separator, as `a`+`bc` is not `ab`+`c`. */
export function rendezvousWeight(nodeId: string, endpointId: string): number {
  return mix(fnv1a(endpointId, fnv1a('\0', fnv1a(nodeId, 0x811c9dc5))));
}

/**
 * Home node of an endpoint: the node with the highest weight (rendezvous hashing, Thaler and Ravishankar 1998), so
 * that a node that comes or goes moves only the endpoints that it gains or had. Independent of the order of
 * `readyNodeIds`; equal weights go to the smaller id. Null if there are no nodes.
 */
export function homeNode(endpointId: string, readyNodeIds: Iterable<string>): string | null {
  let best: string | null = null;
  let bestWeight = -1;
  for (const nodeId of readyNodeIds) {
    const weight = rendezvousWeight(nodeId, endpointId);
    if (weight > bestWeight || (weight === bestWeight && best !== null && nodeId < best)) {
      best = nodeId;
      bestWeight = weight;
    }
  }
  return best;
}
